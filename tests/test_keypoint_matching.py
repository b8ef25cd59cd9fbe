"""keypoint-matching: points that two pictures share, by networks and by SIFT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import UsageError
from actors.images import decode
from actors.stage import ModelFiles, Row
from actors.vision.keypoint_matching import KeypointMatching
from actors.worker import Worker
from pipelines.file import parse
from pipelines.plan import Plan, make_plan
from tests.close import assert_close
from tests.tiny.detect import PAIRS, lightglue, loftr, shifted
from tests.tiny.seeing import encoded

Build = Callable[..., ModelFiles]


def shifts(answer: Row) -> np.ndarray:
    """How far each match moved: x and y, in pixels."""
    rows = [(m["other_x"] - m["x"], m["other_y"] - m["y"]) for m in answer["matches"]]
    return np.array(rows).reshape(-1, 2)


def plain(folder: Path, row: Row) -> list[tuple[int, int, int, int, float]]:
    """The matches as transformers gives them, in whole pixels, the surest first."""
    model = hf.AutoModelForKeypointMatching.from_pretrained(folder).eval()
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pair = [decode(row["image"]), decode(row["other_image"])]
    with torch.inference_mode():
        outputs = model(**processor(pair, return_tensors="pt"))
    sizes = [[(one.height, one.width) for one in pair]]
    (found,) = processor.post_process_keypoint_matching(outputs, sizes, 0.0)
    rows = [
        (*a.tolist(), *b.tolist(), float(score))
        for a, b, score in zip(*(found[n] for n in ("keypoints0", "keypoints1")),
                               found["matching_scores"], strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: -row[-1])


def test_lightglue_matches_as_transformers_does_and_finer(tiny: Build) -> None:
    files = tiny(lightglue)
    answers = Worker(KeypointMatching(threshold=0), files).answer(PAIRS)
    for row, answer in zip(PAIRS, answers, strict=True):
        found = [[int(m[n]) for n in ("x", "y", "other_x", "other_y")] for m in answer["matches"]]
        wanted = plain(files.folder, row)
        assert found == [list(one[:4]) for one in wanted] and found
        assert_close([m["score"] for m in answer["matches"]], [o[-1] for o in wanted], 1e-5)


def test_sift_finds_how_far_a_picture_moved() -> None:
    worker = Worker(KeypointMatching(), ModelFiles.none())
    moves = [(8, 5), (-6, 9), (11, -4)]
    answers = worker.answer([shifted(n, *move) for n, move in enumerate(moves)])
    for answer, move in zip(answers, moves, strict=True):
        apart = np.abs(shifts(answer) - move).max(axis=1)
        assert len(apart) > 30 and (apart < 1).mean() > 0.95


def test_a_network_finds_how_far_a_picture_moved_to_the_pixel(tiny: Build) -> None:
    worker = Worker(KeypointMatching(threshold=0), tiny(loftr))
    (answer,) = worker.answer([shifted(5, 8, 8, 128, 96)])
    assert answer["match_count"] > 3
    assert np.abs(shifts(answer) - 8).max() < 1.5


def test_both_sides_of_a_match_stay_together(tiny: Build) -> None:
    from actors.seeing.loftr import PairedLoFTR

    model = PairedLoFTR.from_pretrained(tiny(loftr).folder)
    model.config.coarse_matching_border_removal = 0
    cells = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    scores = torch.full((1, 12, 12), 0.1)
    scores[0, torch.arange(12), cells] = 0.9
    indices, values = model._get_matches_from_scores(scores.view(1, 3, 4, 3, 4))
    assert indices[0].tolist() == [list(range(12)), cells.tolist()]
    assert values.unique().tolist() == [pytest.approx(0.9)]


def test_pictures_with_nothing_to_see_share_no_points() -> None:
    blank = encoded(Image.new("RGB", (60, 40), "grey"))
    worker = Worker(KeypointMatching(), ModelFiles.none())
    answers = worker.answer([{"image": blank, "other_image": PAIRS[0]["image"]},
                             {"image": PAIRS[0]["image"], "other_image": blank}])  # fmt: skip
    assert answers == [{"matches": [], "match_count": 0}] * 2


def test_the_surest_matches_are_kept_and_all_are_counted() -> None:
    (few,) = Worker(KeypointMatching(max_matches=5), ModelFiles.none()).answer(PAIRS[:1])
    (all_of_them,) = Worker(KeypointMatching(), ModelFiles.none()).answer(PAIRS[:1])
    assert few["matches"] == all_of_them["matches"][:5]
    assert few["match_count"] == all_of_them["match_count"] == len(all_of_them["matches"])


def planned(folder: Path, **stage: str) -> Plan:
    """Plan a pipeline of one stage in the embedded profile."""
    pipeline = {
        "name": "pairs",
        "models": "embedded",
        "source": {"kind": "parquet", "path": "pairs"},
        "stages": [stage],
        "sink": {"kind": "parquet", "path": "out"},
    }
    columns = pa.schema([("image", pa.binary()), ("other_image", pa.binary())])
    return make_plan(parse(pipeline, "pairs"), "pairs", folder, folder, columns)


def test_without_a_hub_no_model_is_needed(tmp_path: Path) -> None:
    (step,) = planned(tmp_path, task="keypoint-matching").steps
    assert (step.model, step.stage.models) == (None, KeypointMatching.models)
    assert planned(tmp_path, task="keypoint-matching", model="none").steps[0].model is None


def test_a_task_that_cannot_do_without_a_model_is_not_given_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        planned(tmp_path, task="ocr", model="none")
