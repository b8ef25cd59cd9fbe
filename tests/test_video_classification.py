"""video-classification equals the model called plainly, on clips that cover the video."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from transformers.models.vivit.image_processing_vivit import VivitImageProcessor

from actors.errors import StageFailed
from actors.film import Pixels
from actors.stage import ModelFiles, Row
from actors.vision.video_classification import VideoClassification
from actors.watching.clips import moments, stretches
from actors.watching.families import clip_seconds
from actors.watching.preparation import Preparation
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import video
from tests.tiny.films import FILMS, film, plain

Build = Callable[..., ModelFiles]


def watch(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(VideoClassification(**options), files).answer(rows)


def by_transformers(files: ModelFiles, frames: Sequence[Pixels]) -> torch.Tensor:
    """What the model's own processor makes of frames: (1, frames, 3, height, width)."""
    kind = json.loads((files.folder / "config.json").read_text())["model_type"]
    if kind == "vjepa2":
        return by_hand(frames, 36, 32)
    if kind == "vivit":
        processor: Any = VivitImageProcessor.from_pretrained(files.folder)
    else:
        processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    found: torch.Tensor = processor(list(frames), return_tensors="pt")["pixel_values"]
    return found


def by_hand(frames: Sequence[Pixels], edge: int, crop: int) -> torch.Tensor:
    """V-JEPA 2's: its processor has only a form that needs torchvision."""
    made = []
    for frame in frames:
        height, width, _ = frame.shape
        scale = edge / min(height, width)
        size = (int(width * scale + 1e-9), int(height * scale + 1e-9))
        small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        top, left = (small.shape[0] - crop) // 2, (small.shape[1] - crop) // 2
        middle = small[top : top + crop, left : left + crop] / 255
        made.append((middle - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    return torch.tensor(np.stack(made), dtype=torch.float32).permute(0, 3, 1, 2)[None]


def plainly(files: ModelFiles, clips: Sequence[Sequence[Pixels]]) -> np.ndarray:
    """The probabilities of each clip: (clips, labels)."""
    model = hf.AutoModelForVideoClassification.from_pretrained(files.folder).eval()
    with torch.inference_mode():
        made = [
            model(**{model.main_input_name: by_transformers(files, clip)}).logits.softmax(-1)[0]
            for clip in clips
        ]
    return torch.stack(made).numpy()


@pytest.mark.parametrize("build", [video.videomae, video.timesformer, video.vivit, video.vjepa2])
def test_scores_equal_the_model_called_plainly(build: Any, tiny: Build) -> None:
    files, data = tiny(build), film(40, seed=5, width=80)
    count = 3 if build is video.timesformer else 4
    frames = [frame for _, frame in plain(data)]
    every = 12 // count  # clips of 12 frames, 0.4 s: at 0, in the middle, at the end
    numbers = [[start + every // 2 + every * n for n in range(count)] for start in (0, 14, 28)]
    expected = plainly(files, [[frames[n] for n in clip] for clip in numbers])
    (answer,) = watch(files, [{"video": data}], clips=3, clip_seconds=0.4)
    mean = dict(zip(video.ACTIONS, expected.mean(axis=0).tolist(), strict=True))
    assert_close({one["label"]: one["score"] for one in answer["scores"]}, mean, 1e-5)
    assert answer["label"] == max(mean, key=lambda label: mean[label])
    assert_close([clip["score"] for clip in answer["clips"]], expected.max(axis=1).tolist(), 1e-5)
    assert [c["label"] for c in answer["clips"]] == [video.ACTIONS[n] for n in expected.argmax(1)]
    assert_close([clip["start"] for clip in answer["clips"]], [0, 14 / 30, 28 / 30], 1e-5)


def test_scores_equal_the_pipeline_where_it_sees_the_same_frames(
    tiny: Build, tmp_path: Path
) -> None:
    files, path = tiny(video.videomae), tmp_path / "a.mp4"
    path.write_bytes(film(4, seed=6))
    pipeline: Any = hf.pipeline("video-classification", model=str(files.folder), device="cpu")
    expected = [{"label": s["label"], "score": s["score"]} for s in pipeline(str(path))]
    (answer,) = watch(files, [{"video": path.read_bytes()}])
    assert_close(answer["scores"], expected, 1e-5)


def test_a_turned_video_is_seen_upright(tiny: Build) -> None:
    data = film(4, codec="mpeg4", turned=-90)
    expected = plainly(tiny(video.videomae), [[np.rot90(frame, -1) for _, frame in plain(data)]])
    (answer,) = watch(tiny(video.videomae), [{"video": data}])
    assert_close(answer["score"], float(expected.max()), 1e-5)


def test_one_frame_is_a_clip(tiny: Build) -> None:
    ((_, frame),) = plain(FILMS[3]["video"])
    expected = plainly(tiny(video.videomae), [[frame] * 4])
    (answer,) = watch(tiny(video.videomae), [FILMS[3]])
    assert_close(answer["score"], float(expected.max()), 1e-5)
    (clip,) = answer["clips"]
    assert_close((clip["start"], clip["end"]), (0.0, 1 / 30), 1e-6)


@pytest.mark.parametrize(
    ("seconds", "most", "starts"),
    [
        (1.5, 4, [0]),
        (2.0, 4, [0]),
        (3.0, 4, [0, 1]),
        (12.0, 4, [0, 10 / 3, 20 / 3, 10]),
        (12.0, 1, [5]),
        (12.0, 99, [0, 2, 4, 6, 8, 10]),
    ],
)
def test_clips_cover_the_video_or_are_spread_over_it(
    seconds: float, most: int, starts: list[float]
) -> None:
    spans = stretches(seconds, 2.0, most)
    assert_close(spans, [(s, min(s + 2.0, seconds)) for s in starts], 1e-9)


def test_a_clip_shows_the_middles_of_its_parts() -> None:
    assert_close(moments(1.0, 2.0, 4), [1.125, 1.375, 1.625, 1.875], 1e-9)
    assert clip_seconds({"model_type": "vivit", "num_frames": 32}) == pytest.approx(64 / 30)


def test_what_a_folder_does_not_say_is_what_its_family_does(tmp_path: Path) -> None:
    stated = {"crop_size": 256, "size": {"shortest_edge": 300}}
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(stated))
    found = Preparation.of(tmp_path, "vjepa2")
    assert (found.edge, found.crop, found.factor, found.shift) == (292, (256, 256), 1 / 255, 0)
    assert found.mean == (0.485, 0.456, 0.406)
    assert Preparation.of(tmp_path, "vivit").shift == 1


def test_a_folder_without_a_preparation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"has none of video_preprocessor_config\.json"):
        Preparation.of(tmp_path, "videomae")


def test_a_model_of_pictures_is_refused() -> None:
    config = {"architectures": ["ViTForImageClassification"], "model_type": "vit"}
    assert "ViTForImageClassification (vit)" in (VideoClassification().check(config) or "")
