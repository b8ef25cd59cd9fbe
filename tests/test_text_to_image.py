"""text-to-image and image-generation: each row from its own seed, in any batch."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected, StageFailed, UsageError
from actors.models.folder import locate
from actors.multimodal.text_to_image import TextToImage
from actors.stage import Device, ModelFiles, Row, Stage
from actors.vision.image_generation import ImageGeneration
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny.making import PROMPTS, ddpm, janus, stable_diffusion

Build = Callable[..., ModelFiles]


def seen(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file))).astype(int)


def answered(stage: Stage, files: ModelFiles, rows: list[Row]) -> list[Any]:
    return Worker(stage, files).answer([{**dict.fromkeys(stage.reads), **row} for row in rows])


def test_janus_paints_as_its_own_generate_does_where_nothing_is_drawn(tiny: Build) -> None:
    files = tiny(janus)
    model = hf.JanusForConditionalGeneration.from_pretrained(files.folder).eval()
    processor = hf.AutoProcessor.from_pretrained(files.folder)
    start = processor.tokenizer.boi_token_id
    model.generation_config.generation_kwargs = {"boi_token_id": start}
    model.generation_config.bos_token_id = processor.tokenizer.bos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    inputs = processor(text="a red sofa", generation_mode="image", return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**inputs, generation_mode="image", guidance_scale=3.0)
        pixels = model.decode_image_tokens(tokens)[0].numpy()
    wanted = ((pixels * 0.5 + 0.5) * 255).clip(0, 255).astype(np.uint8)
    stage = TextToImage(guidance=3.0, temperature=0.01)
    (answer,) = answered(stage, files, [{"prompt": "a red sofa"}])
    assert np.abs(seen(answer["image"]) - wanted).max() <= 1


def test_a_seed_decides_what_is_drawn_and_the_prompt_where_there_is_none(tiny: Build) -> None:
    asked = [
        {"prompt": "a cat"},
        {"prompt": "a cat"},
        {"prompt": "a cat", "seed": 1},
        {"prompt": "a dog", "seed": 1},
    ]
    first, same, other, dog = answered(TextToImage(), tiny(janus), asked)
    assert first == same
    assert (other["seed_used"], dog["seed_used"]) == (1, 1)
    assert len({first["image"], other["image"], dog["image"]}) == 3
    (moved,) = answered(TextToImage(seed=4), tiny(janus), asked[:1])
    assert moved["seed_used"] != first["seed_used"]


def test_stable_diffusion_paints_as_diffusers_does_row_by_row(tiny: Build) -> None:
    files = tiny(stable_diffusion)
    import diffusers

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(files.folder)
    pipe.set_progress_bar_config(disable=True)
    rows = [{**row, "seed": number} for number, row in enumerate(PROMPTS)]
    rows[2]["negative_prompt"] = "a dog"
    answers = answered(TextToImage(steps=3, guidance=4.0, width=32), files, rows)
    for row, answer in zip(rows, answers, strict=True):
        wanted = pipe(
            row["prompt"],
            negative_prompt=row.get("negative_prompt"),
            num_inference_steps=3,
            guidance_scale=4.0,
            width=32,
            generator=torch.Generator().manual_seed(row["seed"]),
        ).images[0]
        assert wanted.size == (answer["width"], answer["height"])
        assert np.abs(seen(answer["image"]) - np.asarray(wanted)).max() <= 1
    assert [answer["prompt_truncated"] for answer in answers] == [False, False, True, False, False]
    assert [answer["nsfw"] for answer in answers] == [None] * 5


def test_a_batch_of_diffusers_is_each_row_alone(tiny: Build) -> None:
    stage, files = TextToImage(steps=2), tiny(stable_diffusion)
    together = answered(stage, files, PROMPTS)
    assert len({answer["image"] for answer in together}) == len(PROMPTS)
    for row, answer in zip(PROMPTS, together, strict=True):
        assert_close(answered(stage, files, [row])[0], answer, 1e-5)


def test_pictures_are_generated_as_diffusers_does(tiny: Build) -> None:
    files = tiny(ddpm)
    import diffusers

    pipe = diffusers.DDPMPipeline.from_pretrained(files.folder)
    pipe.set_progress_bar_config(disable=True)
    chance = torch.Generator().manual_seed(7)
    wanted = pipe(num_inference_steps=4, generator=chance).images[0]
    answers = answered(ImageGeneration(steps=4), files, [{"seed": 3}, {"seed": 7}])
    assert np.abs(seen(answers[1]["image"]) - np.asarray(wanted)).max() <= 1
    assert answers[0]["image"] != answers[1]["image"]


@pytest.mark.parametrize("prompt", ["a" * 10_001, "good " * 2_100])
def test_a_prompt_that_is_no_prompt_is_rejected(prompt: str, tiny: Build) -> None:
    (answer,) = answered(TextToImage(), tiny(janus), [{"prompt": prompt}])
    assert isinstance(answer, RowRejected) and answer.reason == "too_long"


def test_a_folder_of_diffusers_is_a_model_and_pickles_in_it_are_refused(
    tiny: Build, tmp_path: Path
) -> None:
    folder = tiny(ddpm).folder
    assert locate(str(folder), tmp_path) == folder
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UsageError, match="has its weights only in pickles"):
        locate("copy", tmp_path)
    with pytest.raises(StageFailed, match="does not open as a pipeline of diffusers"):
        Worker(ImageGeneration(), ModelFiles(copy))


def test_a_pipeline_that_takes_another_kind_of_input_is_refused_by_the_plan() -> None:
    painter, dreamer = {"_class_name": "FluxPipeline"}, {"_class_name": "DDPMPipeline"}
    assert "paints without a prompt" in (TextToImage().check(dreamer) or "")
    assert "paints after a prompt" in (ImageGeneration().check(painter) or "")
    janus_config = {"architectures": ["JanusForConditionalGeneration"]}
    assert "no steps to set" in (TextToImage(steps=3).check(janus_config) or "")
    assert "option of Janus" in (TextToImage(temperature=0.5).check(painter) or "")


def test_a_prompt_longer_than_the_pipeline_reads_is_cut_whatever_its_tokenizer_takes(
    tiny: Build,
) -> None:
    files = tiny(stable_diffusion)
    from actors.painting.diffusion import Diffusion

    painter = Diffusion("AutoPipelineForText2Image", files.folder, Device(), {})
    assert not painter.is_cut("a red sofa in a garden")
    painter.settings["max_sequence_length"] = 4  # as for FLUX, of whose 512 it reads 256
    assert painter.is_cut("a red sofa in a garden") and not painter.is_cut("a")


def test_pictures_are_painted_in_lower_precision(tiny: Build) -> None:
    stage, files = ImageGeneration(steps=4), tiny(ddpm)
    rows = [{"seed": 3}, {"seed": 7}]
    plain = answered(stage, files, rows)
    lower = Worker(stage, files, Device(precision="bf16")).answer(rows)
    for one, other in zip(plain, lower, strict=True):
        assert isinstance(other, dict)
        apart = np.abs(seen(one["image"]).astype(int) - seen(other["image"]))
        assert 0 < apart.mean() < 8
