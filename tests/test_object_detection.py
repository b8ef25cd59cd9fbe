"""object-detection: what transformers' detectors find, and the embedded one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.detections import box_of
from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.models.embedded import prepare
from actors.seeing.detectors import load_detector, ordered
from actors.stage import Device, ModelFiles, Row
from actors.vision.object_detection import ObjectDetection
from actors.worker import Worker
from tests.close import assert_close, assert_same_things
from tests.tiny.detect import LABELS, d_fine, detr, rt_detr_v2, yolos
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]


@cache
def opened(folder: Path) -> tuple[Any, Any]:
    model = hf.AutoModelForObjectDetection.from_pretrained(folder).eval()
    return model, hf.AutoImageProcessor.from_pretrained(folder, backend="pil")


def plain(folder: Path, row: Row, threshold: float) -> list[Row]:
    """What transformers finds in one picture, best first, within the picture."""
    model, processor = opened(folder)
    image = decode(row["image"])
    with torch.inference_mode():
        outputs = model(**processor(image, return_tensors="pt"))
    size = torch.tensor([[image.height, image.width]])
    (found,) = processor.post_process_object_detection(outputs, threshold, size)
    edges = torch.tensor([image.width, image.height] * 2)
    boxes = found["boxes"].clamp(min=torch.zeros(4), max=edges).tolist()
    things = zip(found["labels"].tolist(), found["scores"].tolist(), boxes, strict=True)
    rows = [
        {"label": LABELS[n], "label_id": n, "score": score, "box": box_of(box)}
        for n, score, box in things
    ]
    return sorted(rows, key=lambda row: -row["score"])


def finds(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    stage = ObjectDetection(**{"threshold": 0.1, "decode": "full", **options})
    return Worker(stage, files).answer(rows)


@pytest.mark.parametrize("build", [rt_detr_v2, d_fine, detr, yolos])
def test_a_detector_finds_what_transformers_finds(build: Any, tiny: Build) -> None:
    files = tiny(build)
    answers = finds(files, PICTURES)
    for row, answer in zip(PICTURES, answers, strict=True):
        wanted = plain(files.folder, row, 0.1)
        assert_same_things(answer["detections"], wanted)
        assert wanted


def test_the_boxes_are_those_of_pipeline_but_not_cut_to_whole_pixels(tiny: Build) -> None:
    files = tiny(rt_detr_v2)
    pipe = hf.pipeline("object-detection", str(files.folder), image_processor=hf.AutoImageProcessor.
                       from_pretrained(files.folder, backend="pil"))  # fmt: skip
    row = PICTURES[0]  # 96 pixels wide
    wanted = sorted(pipe(decode(row["image"]), threshold=0.1), key=lambda one: -one["score"])
    (answer,) = finds(files, [row])
    assert [one["label"] for one in answer["detections"]] == [one["label"] for one in wanted]
    for found, one in zip(answer["detections"], wanted, strict=True):
        assert_close(found["score"], one["score"], 1e-5)
        inside = {name: min(max(value, 0), 96) for name, value in one["box"].items()}
        assert all(abs(found["box"][name] - inside[name]) <= 1 for name in ("xmin", "xmax"))


def test_a_box_beside_the_picture_is_none_and_nan_is_said() -> None:
    boxes = np.array([[-9.0, 2, -1, 8], [4, 2, 20, 8]], np.float32)
    found = ordered(np.array([0, 1]), np.array([0.9, 0.8], np.float32), boxes, 10, 12)
    assert [values.tolist() for values in found] == [[1], [np.float32(0.8)], [[4, 2, 12, 8]]]
    with pytest.raises(RowRejected, match="not_finite"):
        ordered(np.array([0, 1]), np.array([0.9, np.nan], np.float32), boxes, 10, 12)


def test_only_the_labels_that_are_asked_for_are_kept(tiny: Build) -> None:
    everything = finds(tiny(rt_detr_v2), PICTURES)
    cats = finds(tiny(rt_detr_v2), PICTURES, labels=["cat"])
    for answer, some in zip(everything, cats, strict=True):
        wanted = [one for one in answer["detections"] if one["label"] == "cat"]
        assert some == {"detections": wanted, "detection_count": len(wanted)}


def test_the_best_things_are_kept_and_all_are_counted(tiny: Build) -> None:
    (many,) = finds(tiny(rt_detr_v2), PICTURES[:1])
    (few,) = finds(tiny(rt_detr_v2), PICTURES[:1], max_detections=2)
    assert few["detections"] == many["detections"][:2]
    assert few["detection_count"] == many["detection_count"] == len(many["detections"]) > 2


def test_boxes_are_in_pixels_of_the_file_though_it_is_decoded_smaller(tiny: Build) -> None:
    data = encoded(photo(640, 480, 7), "JPEG", quality=95)
    found = [finds(tiny(rt_detr_v2), [{"image": data}], decode=how) for how in ("full", "reduced")]
    first, second = ([d["box"] for d in one[0]["detections"][:3]] for one in found)
    assert max(max(box.values()) for box in first) > 100
    assert_close(second, first, 30)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["PPOCRV6SmallDetForObjectDetection"], "model_type": "pp_ocrv6_det"},
         "that names what it finds"),
        ({"architectures": ["PPDocLayoutV2ForObjectDetection"], "model_type": "pp_doclayout_v2"},
         "needs torchvision"),
        ({"architectures": ["DetrForObjectDetection"], "use_timm_backbone": True}, "no_timm"),
        ({"architectures": ["DetrForObjectDetection"], "id2label": {"0": "cat"}},
         r"no 'bat' \(did you mean 'cat'\?\); it finds: cat"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_do_it_is_refused_with_the_reason(config: Row, said: str) -> None:
    import re

    reason = ObjectDetection(labels=["bat"]).check(config)
    assert reason is not None and re.search(said, reason)


def test_a_label_that_the_model_does_not_know_stops_the_stage(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="did you mean 'door'"):
        finds(tiny(rt_detr_v2), PICTURES, labels=["doors"])


def test_a_reader_of_text_is_no_detector(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "pp_ocrv6_small_det"}')
    with pytest.raises(StageFailed, match="names what it finds"):
        load_detector(tmp_path, Device())


@pytest.mark.embedded
def test_the_embedded_detector_answers_like_any_other(cache: Path) -> None:
    files = ModelFiles(prepare("nanodet-g", cache))
    rows = [{"image": encoded(photo(320, 200, n))} for n in range(2)]
    answers = finds(files, rows, threshold=0.05)
    for answer in answers:
        scores = [one["score"] for one in answer["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= b["xmin"] < b["xmax"] <= 320 and 0 <= b["ymin"] < b["ymax"] <= 200
                   for b in (one["box"] for one in answer["detections"]))  # fmt: skip
