"""OCR answers what its models answer when called the plain transformers way."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoModelForObjectDetection,
    AutoModelForTextRecognition,
    AutoProcessor,
    AutoTokenizer,
    VisionEncoderDecoderModel,
    pipeline,
)

from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.models.embedded import prepare
from actors.reading import florence, tesseract
from actors.reading.boxes import Box
from actors.reading.ctc import line_image
from actors.stage import Device, ModelFiles, Row
from actors.vision.ocr import Ocr, kind
from actors.worker import Worker
from actors.writing.generation import Written
from jobs.demo.documents import make_documents
from jobs.quality import character_error_rate
from tests.close import assert_close
from tests.tiny import reading, telling
from tests.tiny.reading import PAGES

Build = Callable[..., ModelFiles]


def normalised(image: Any, mean: Any, std: Any) -> torch.Tensor:
    """The networks' input, said as plainly as can be: blue first, one image."""
    pixels = (np.asarray(image, np.float32) / 255 - mean) / std
    return torch.from_numpy(pixels[:, :, ::-1].transpose(2, 0, 1).astype(np.float32).copy())[None]


def found(files: ModelFiles, row: Row) -> Row:
    """The row after the first pass, with its boxes."""
    detect = Ocr().load(files, Device()).passes[0]
    return detect.finish(row, detect.infer(detect.prepare([row])[0]))


@pytest.mark.parametrize("page", range(len(PAGES)))
def test_the_detector_is_the_plain_model(tiny: Build, page: int) -> None:
    files = tiny(reading.pp_ocr)
    plain = AutoModelForObjectDetection.from_pretrained(files.others["detector"])
    pixels = normalised(decode(PAGES[page]["image"]), (0.406, 0.456, 0.485), (0.225, 0.224, 0.229))
    detect = Ocr().load(files, Device()).passes[0]
    [(heat, _)] = detect.infer(detect.prepare([PAGES[page]])[0])
    with torch.no_grad():
        assert_close(heat, plain(pixels).last_hidden_state[0, 0].numpy(), 1e-5)


def plain_reading(model: Any, crop: Any) -> tuple[str, float]:
    with torch.no_grad():
        chances = model(normalised(crop, 0.5, 0.5)).last_hidden_state[0]
    steps = [(int(step.argmax()), float(step.max())) for step in chances]
    runs = [list(run) for _, run in itertools.groupby(steps, key=lambda step: step[0])]
    firsts = [run[0] for run in runs if run[0][0] != 0]
    text = "".join(reading.ALPHABET[index] for index, _ in firsts)
    return text, float(np.mean([chance for _, chance in firsts])) if firsts else 0.0


def test_ppocr_lines_are_what_the_plain_model_reads_in_each_crop(tiny: Build) -> None:
    files = tiny(reading.pp_ocr)
    plain = AutoModelForTextRecognition.from_pretrained(files.folder)
    answers = Worker(Ocr(), files).answer(PAGES)
    for row, answer in zip(PAGES, answers, strict=True):
        page = np.asarray(decode(row["image"]))
        reads = [plain_reading(plain, line_image(page, box)) for box in found(files, row)["boxes"]]
        expected = sorted((text.strip(), score) for text, score in reads if text.strip())
        got = sorted((line["text"], line["score"]) for line in answer["lines"])
        assert len(got) > 3
        assert_close(got, expected, 1e-5)


def test_crops_of_other_widths_in_the_batch_change_nothing(tiny: Build) -> None:
    reader = Ocr().load(tiny(reading.pp_ocr), Device()).passes[1]
    page = np.asarray(reading.page("some text", "and some more", size=(800, 200)))
    boxes = [Box(400, 60 + 3 * n, 300 + 4 * n, 20, 0.0, 1.0) for n in range(8)]
    items = reader.prepare([{"image": reading.png(Image.fromarray(page)), "boxes": boxes}])[0]
    assert {item.shape for item in items} == {item.data.shape[1] for item in items}
    for _, same in itertools.groupby(items, key=lambda item: item.shape):
        batch = list(same)
        assert_close(reader.infer(batch), [reader.infer([item])[0] for item in batch], 1e-5)


def test_a_page_without_text_has_an_empty_text_and_no_lines(tiny: Build) -> None:
    worker = Worker(Ocr(), tiny(reading.pp_ocr, blind=True))
    assert worker.answer(PAGES) == [{"text": "", "lines": []}] * len(PAGES)


def test_every_line_lies_where_its_polygon_says(tiny: Build) -> None:
    [answer] = Worker(Ocr(), tiny(reading.pp_ocr)).answer(PAGES[:1])
    for line in answer["lines"]:
        xs, ys = line["polygon"][::2], line["polygon"][1::2]
        assert line["box"] == [min(xs), min(ys), max(xs), max(ys)]
        assert len(line["polygon"]) == 8 and 0 <= line["score"] <= 1


def test_trocr_lines_are_what_the_plain_model_reads_in_each_crop(tiny: Build) -> None:
    files = tiny(reading.trocr)
    plain = VisionEncoderDecoderModel.from_pretrained(files.folder)
    processor = AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(files.folder)
    [answer] = Worker(Ocr(max_new_tokens=6), files).answer(PAGES[:1])
    page = np.asarray(decode(PAGES[0]["image"]))
    crops = [Image.fromarray(box.crop(page)) for box in found(files, PAGES[0])["boxes"]]
    reads = [generated(plain, tokenizer, processor(crop, return_tensors="pt")) for crop in crops]
    expected = sorted(read for read in reads if read[0])
    assert_close(sorted((line["text"], line["score"]) for line in answer["lines"]), expected, 1e-5)


def generated(model: Any, tokenizer: Any, inputs: Any) -> tuple[str, float]:
    """Text and the mean chance of its tokens, by transformers' own transition scores."""
    settings = {"max_new_tokens": 6, "do_sample": False, "output_scores": True}
    out = model.generate(inputs.pixel_values, return_dict_in_generate=True, **settings)
    chances = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    text = tokenizer.batch_decode(out.sequences, skip_special_tokens=True)[0]
    return text.strip(), float(chances.exp().mean())


def test_donut_reads_pages_as_the_plain_model_does(tiny: Build) -> None:
    files = tiny(reading.donut)
    plain = VisionEncoderDecoderModel.from_pretrained(files.folder)
    processor = AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(files.folder)
    answers = Worker(Ocr(max_new_tokens=6), files).answer(PAGES)
    for row, answer in zip(PAGES, answers, strict=True):
        inputs = processor(decode(row["image"]), return_tensors="pt")
        text, score = generated(plain, tokenizer, inputs)
        line = {"text": text, "score": score, "polygon": None, "box": None}
        assert_close(answer, {"text": text, "lines": [line]}, 1e-5)


def test_a_chat_model_reads_pages_as_the_plain_model_does(tiny: Build) -> None:
    files = tiny(reading.got)
    plain = AutoModelForImageTextToText.from_pretrained(files.folder)
    processor = AutoProcessor.from_pretrained(files.folder)
    answers = Worker(Ocr(max_new_tokens=6), files).answer(PAGES[:2])
    for row, answer in zip(PAGES, answers, strict=False):
        inputs = processor(images=decode(row["image"]), return_tensors="pt")
        tokens = plain.generate(
            **inputs,
            max_new_tokens=6,
            do_sample=False,
            tokenizer=processor.tokenizer,
            stop_strings="<|im_end|>",
        )
        new = tokens[0, inputs.input_ids.shape[1] :]
        text = processor.tokenizer.decode(new, skip_special_tokens=True).strip()
        assert answer["text"] == text != ""


def test_a_model_with_a_chat_template_is_asked_as_the_pipeline_asks_it(tiny: Build) -> None:
    files = tiny(reading.idefics)
    plain = pipeline("image-text-to-text", str(files.folder))
    answers = Worker(Ocr(max_new_tokens=6, prompt="read it ."), files).answer(PAGES[:2])
    for row, answer in zip(PAGES, answers, strict=False):
        picture = {"type": "image", "image": decode(row["image"])}
        content = [picture, {"type": "text", "text": "read it ."}]
        [out] = plain(
            text=[{"role": "user", "content": content}],
            max_new_tokens=6,
            do_sample=False,
            return_full_text=False,
        )
        assert answer["text"] == out["generated_text"].strip() != ""


@pytest.mark.parametrize("prompt", ["</s> film", "film"])
def test_a_prompt_starts_what_donut_writes_and_is_not_part_of_it(tiny: Build, prompt: str) -> None:
    files = tiny(reading.donut)
    plain = VisionEncoderDecoderModel.from_pretrained(files.folder)
    processor = AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(files.folder)
    start = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    pixels = processor(decode(PAGES[0]["image"]), return_tensors="pt").pixel_values
    tokens = plain.generate(pixels, decoder_input_ids=start, max_new_tokens=6, do_sample=False)
    expected = tokenizer.decode(tokens[0, start.shape[1] :], skip_special_tokens=True).strip()
    [answer] = Worker(Ocr(max_new_tokens=6, prompt=prompt), files).answer(PAGES[:1])
    assert answer["text"] == expected


@pytest.mark.parametrize("build", [reading.trocr, reading.donut])
def test_a_bad_page_changes_nothing_for_pages_beside_it(tiny: Build, build: Any) -> None:
    worker = Worker(Ocr(max_new_tokens=6), tiny(build))
    clean = worker.answer(PAGES[:3])
    mixed = worker.answer([PAGES[0], {"image": b"broken"}, PAGES[1], {"image": None}, PAGES[2]])
    assert [a.reason for a in mixed if isinstance(a, RowRejected)] == [
        "unreadable_image",
        "null_input",
    ]
    assert_close([mixed[0], mixed[2], mixed[4]], clean, 1e-6)


def test_florence_reads_pages_as_the_plain_model_does(tiny: Build) -> None:
    files = tiny(telling.florence)
    plain = AutoModelForImageTextToText.from_pretrained(files.folder)
    processor = AutoProcessor.from_pretrained(files.folder, backend="pil")
    answers = Worker(Ocr(max_new_tokens=6), files).answer(PAGES)
    for row, answer in zip(PAGES, answers, strict=True):
        inputs = processor(decode(row["image"]), "<OCR_WITH_REGION>", return_tensors="pt")
        tokens = plain.generate(**inputs, max_new_tokens=6, do_sample=False)
        text = processor.decode(tokens[0], skip_special_tokens=True)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        assert answer["text"] == "\n".join(lines)


def test_florences_places_are_pixels_of_the_page() -> None:
    corners = "".join(f"<loc_{n}>" for n in (0, 100, 499, 100, 499, 200, 0, 200))
    written = Written(f"<s>a line{corners}two{corners}</s>", 20, True, 0.5)
    first, second = florence.lines_of(written, 1000, 500)
    box = [0.5, 50.25, 499.5, 100.25]
    assert (first["text"], first["score"], second["text"]) == ("a line", 0.5, "two")
    assert first["box"] == second["box"] == box
    assert first["polygon"] == [0.5, 50.25, 499.5, 50.25, 499.5, 100.25, 0.5, 100.25]


TABLE = """level page_num block_num par_num line_num word_num left top width height conf text
1 1 0 0 0 0 0 0 320 224 -1 -
5 1 1 1 1 1 20 24 10 16 90 a
5 1 1 1 1 2 38 22 60 20 80 "page
5 1 1 1 2 1 20 62 70 20 95 of
5 1 1 1 2 2 95 62 5 20 95 -
""".replace(" ", "\t").replace("\t-\n", "\t \n")


def test_words_of_tesseracts_table_become_lines() -> None:
    boxes, reads = tesseract.lines_of(TABLE)
    assert_close(reads, [('a "page', 0.85), ("of", 0.95)], 1e-6)
    assert boxes[0].polygon() == [20, 22, 98, 22, 98, 42, 20, 42]


def test_tesseract_reads_pages_in_place_of_a_model() -> None:
    if shutil.which("tesseract") is None:
        pytest.skip("the program tesseract is not installed")
    page = {"image": reading.png(reading.page("plain words", "of text"))}
    worker = Worker(Ocr(engine="tesseract"), ModelFiles.none())
    answer, bad = worker.answer([page, {"image": b"broken"}])
    assert answer["text"].split() == ["plain", "words", "of", "text"]
    assert [line["text"] for line in answer["lines"]] == ["plain words", "of text"]
    assert isinstance(bad, RowRejected) and bad.reason == "unreadable_image"
    with pytest.raises(StageFailed, match="no language 'xyz'"):
        Worker(Ocr(engine="tesseract", languages="eng+xyz"), ModelFiles.none())


def test_a_program_that_is_not_there_is_refused_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(Path("/usr/bin/env").parent / "nothing"))
    with pytest.raises(StageFailed, match="apt install tesseract-ocr"):
        Ocr(engine="tesseract").load(ModelFiles.none(), Device())


def test_options_of_tesseract_are_refused_where_a_model_reads() -> None:
    with pytest.raises(ValidationError, match="add  engine: tesseract"):
        Ocr(languages="deu")
    assert not Ocr(engine="tesseract", languages="deu").needs_model


def test_a_page_over_the_cap_is_rejected_and_not_decoded(tiny: Build) -> None:
    [answer] = Worker(Ocr(max_pixels=1000), tiny(reading.pp_ocr)).answer(PAGES[:1])
    assert isinstance(answer, RowRejected) and answer.reason == "image_too_large"


def config(files: ModelFiles) -> dict[str, Any]:
    return dict(json.loads((files.folder / "config.json").read_text("utf-8")))


def test_the_way_of_reading_follows_from_the_config(tiny: Build) -> None:
    builds = (reading.pp_ocr, reading.trocr, reading.donut)
    assert [kind(config(tiny(build))) for build in builds] == ["ctc", "line", "donut"]
    got = {"architectures": ["GotOcr2ForConditionalGeneration"], "vision_config": {}}
    assert kind({"model_type": "got_ocr2", **got}) == "chat"


def test_a_detector_given_as_the_reader_is_refused_with_advice(tiny: Build) -> None:
    folder = tiny(reading.pp_ocr).others["detector"]
    assert Ocr().check(config(ModelFiles(folder))) == (
        "PPOCRV6SmallDetForObjectDetection finds text but does not read it; name it as `detector`"
    )


def test_a_reader_without_characters_does_not_load(tiny: Build, tmp_path: Path) -> None:
    files = reading.pp_ocr(tmp_path)
    (files.folder / "vocab.json").unlink()
    with pytest.raises(StageFailed, match=r"a recogniser needs vocab\.json"):
        Ocr().load(files, Device())


def test_characters_are_read_from_a_hub_folder_too(tiny: Build, tmp_path: Path) -> None:
    files = reading.pp_ocr(tmp_path)
    (files.folder / "vocab.json").unlink()
    hub = {"character_list": reading.ALPHABET, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (files.folder / "preprocessor_config.json").write_text(json.dumps(hub), "utf-8")
    expected = Worker(Ocr(), tiny(reading.pp_ocr)).answer(PAGES[:1])
    assert_close(Worker(Ocr(), files).answer(PAGES[:1]), expected, 1e-6)


@pytest.mark.embedded
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_demos_scans_are_read_with_less_than_half_a_percent_of_errors(
    cache: Path, tmp_path: Path, precision: Literal["fp32", "bf16"]
) -> None:
    detector = prepare("pp-ocrv6-small-det", cache)
    files = ModelFiles(prepare("pp-ocrv6-small-rec", cache), {"detector": detector})
    pages = [p for p in make_documents(tmp_path) if p.file in ("article_scan.jpg", "invoice.png")]
    answers = Worker(Ocr(), files, Device(precision=precision)).answer(
        [{"image": (tmp_path / p.file).read_bytes()} for p in pages]
    )
    rates = [character_error_rate(p.text, a["text"]) for p, a in zip(pages, answers, strict=True)]
    assert len(rates) == 2 and max(rates) < 0.005
