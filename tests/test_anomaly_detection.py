"""anomaly-detection: trained on good pictures, it scores others by their strangest place."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers as hf
import yaml
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from actors.errors import StageFailed, UsageError
from actors.images import picture
from actors.seeing.anomalies import BackboneChoice, Settings
from actors.seeing.anomalies import train as fit
from actors.seeing.bank import Bank, Sample, thinned
from actors.seeing.inspection import Inspection, side_of
from actors.seeing.limit import limit_of
from actors.seeing.patches import PatchViewer
from actors.seeing.regions import map_of, regions_of
from actors.stage import Device, ModelFiles, Row
from actors.vision.anomaly_detection import AnomalyDetection
from actors.worker import Worker
from jobs.cli import main
from jobs.prepare import prepare
from jobs.training.train import load, train
from pipelines.file import parse
from tests.close import assert_close
from tests.tiny import features
from tests.tiny.seeing import encoded

Build = Callable[..., ModelFiles]
FILE = {
    "task": "anomaly-detection",
    "source": {"kind": "images", "path": "good"},
    "model": "./backbone",
    "side": 32,
    "threads": 1,
    "output": "models/stripes",
}


def spotted(row: Row, place: tuple[int, int, int, int]) -> Row:
    """The picture with a box painted white."""
    image = Image.open(io.BytesIO(row["image"]))
    ImageDraw.Draw(image).rectangle(place, fill=255)
    return {"image": encoded(image)}


def look(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(AnomalyDetection(**options), files).answer(rows)


def grey(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def plainly(files: ModelFiles, rows: list[Row]) -> Any:
    """The scores of each place of pictures by a tiny DINOv2, step by step: (pictures, 4, 4)."""
    backbone = files.others["backbone"]
    processor = hf.AutoImageProcessor.from_pretrained(
        backbone, backend="pil", do_center_crop=False, size={"height": 32, "width": 32}
    )
    model = hf.AutoModel.from_pretrained(backbone).eval()
    bank = load_file(files.folder / "model.safetensors")["bank"]
    unit = json.loads((files.folder / "config.json").read_text())["threshold"]
    images = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in rows]
    with torch.inference_mode():
        tokens = model(**processor(images, return_tensors="pt")).last_hidden_state[:, 1:]
        places = torch.nn.functional.normalize(tokens, dim=-1)
        exact = "donot_use_mm_for_euclid_dist"
        far = torch.cdist(places, bank[None], compute_mode=exact).min(-1).values / unit
    return far.reshape(-1, 4, 4).numpy()


def test_scores_are_distances_to_the_nearest_good_place(tiny: Build) -> None:
    files = tiny(features.inspector)
    rows = [*features.good_pictures(3, 7), spotted(features.good_pictures(1, 8)[0], (2, 2, 20, 20))]
    scores, answers = plainly(files, rows), look(files, rows, map_side=4)
    highest = [float(one.max()) for one in scores]
    assert_close([answer["anomaly_score"] for answer in answers], highest, 1e-5)
    assert [answer["is_anomaly"] for answer in answers] == [score >= 1 for score in highest]
    for answer, one in zip(answers, scores, strict=True):
        found = grey(answer["anomaly_map"]).astype(int)
        assert np.abs(found - np.clip(one * 127.5, 0, 255)).max() <= 0.6


@pytest.mark.parametrize("family", ["dinov2", "vit", "convnext", "efficientnet", "swin", "resnet"])
def test_a_spot_is_found_where_it_is(family: str, tiny: Build) -> None:
    side = 32 if family in ("dinov2", "vit") else 64
    files = tiny(features.inspector, family=family, side=side)
    good = features.good_pictures(4, 9)
    bad = [spotted(row, (40, 8, 55, 23)) for row in good]
    answers = look(files, [*good, *bad])
    scores = [answer["anomaly_score"] for answer in answers]
    assert max(scores[:4]) < min(scores[4:])
    for answer in answers[4:]:
        box = answer["regions"][0]["box"]
        assert box["xmin"] < 55 and box["xmax"] > 40 and box["ymin"] < 23 and box["ymax"] > 8


def test_options_say_what_is_answered(tiny: Build) -> None:
    files, rows = tiny(features.inspector), features.PICTURES[:2]
    (one, _), (none, _) = look(files, rows), look(files, rows, map_side=0, max_regions=0)
    assert none == {name: one[name] for name in ("anomaly_score", "is_anomaly")} | {"regions": []}
    (strict, _) = look(files, rows, threshold=1_000)
    assert (strict["is_anomaly"], strict["regions"]) == (False, [])
    assert grey(one["anomaly_map"]).shape == (64, 96)
    assert grey(look(files, rows, map_side=48)[0]["anomaly_map"]).shape == (32, 48)


def test_places_that_touch_are_one_region_in_pixels_of_the_picture() -> None:
    scores = np.array([[2, 0, 0, 1.5], [0, 3, 0, 1], [0, 0, 0, 0]], np.float32)
    first, second = regions_of(scores, (400, 300), 1.0)
    assert first == {"box": {"xmin": 0, "ymin": 0, "xmax": 200, "ymax": 200}, "score": 3.0}
    assert second == {"box": {"xmin": 300, "ymin": 0, "xmax": 400, "ymax": 200}, "score": 1.5}


def test_a_map_is_white_from_twice_the_threshold() -> None:
    scores = np.array([[0, 1], [2, 5]], np.float32)
    assert grey(map_of(scores, (2, 2), 256)).tolist() == [[0, 128], [255, 255]]
    assert grey(map_of(scores, (9_000, 3), 100)).shape == (1, 100)


def test_the_nearest_vector_is_found_however_many_there_are(monkeypatch: Any) -> None:
    chance = torch.Generator().manual_seed(0)
    vectors, places = (torch.randn(n, 8, generator=chance) for n in (50, 70))
    monkeypatch.setattr("actors.seeing.bank.AT_ONCE", 128)
    expected = torch.cdist(places, vectors).min(1).values
    torch.testing.assert_close(Bank(vectors).distances(places), expected, atol=1e-5, rtol=0)
    assert float(Bank(vectors).distances(vectors).max()) == 0


def test_a_sample_is_bounded_and_even_whatever_the_pieces() -> None:
    numbers = np.arange(10_000, dtype=np.float32)[:, None]
    whole, pieces = Sample(500, 0), Sample(500, 0)
    whole.add(numbers)
    for piece in np.split(numbers, 40):
        pieces.add(piece)
    assert (whole.vectors == pieces.vectors).all() and len(whole.vectors) == 500
    assert abs(float(whole.vectors.mean()) - 5_000) < 400


def test_a_thinned_bank_keeps_what_is_rare() -> None:
    chance = np.random.default_rng(0)
    crowd = chance.normal(0, 0.1, (2_000, 8)).astype(np.float32)
    rare = np.full((3, 8), 5, np.float32) * np.arange(1, 4)[:, None].astype(np.float32)
    found = thinned(np.concatenate([crowd, rare]), 20, 0)
    assert len(found) == 20
    assert (found > 4).all(axis=1).sum() == 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good pictures, one that is broken, and a backbone."""
    (tmp_path / "good").mkdir()
    for number, row in enumerate(features.good_pictures()):
        (tmp_path / "good" / f"{number:02}.png").write_bytes(row["image"])
    (tmp_path / "good" / "broken.png").write_bytes(b"not a picture")
    features.dinov2(tmp_path / "backbone")
    return tmp_path


def trained(folder: Path, **change: Any) -> dict[str, Any]:
    file = folder / "stripes.yaml"
    kept = {key: value for key, value in {**FILE, **change}.items() if value is not None}
    file.write_text(yaml.safe_dump(kept))
    return train(load(file), file, folder / "cache")


def test_a_training_writes_a_model_that_a_pipeline_uses(folder: Path) -> None:
    report = trained(folder)
    assert (report["pictures"], report["parts"]) == (24, 5)  # and one is broken
    assert report["pictures left out"] == {"unreadable_image": 1}
    assert report["places"] == 24 * 16
    assert sorted(p.name for p in (folder / "models").iterdir()) == ["stripes"]
    data = {
        "name": "p",
        "source": {"kind": "images", "path": "good"},
        "stages": [{"task": "anomaly-detection", "model": "./models/stripes"}],
        "sink": {"kind": "parquet", "path": "out"},
    }
    (step,) = prepare(parse(data, "p.yaml"), "p.yaml", folder, folder / "cache").plan.steps
    assert list(step.writes) == ["anomaly_score", "is_anomaly", "regions", "anomaly_map"]


def test_the_same_file_trains_the_same_detector_from_any_source(folder: Path) -> None:
    images = [path.read_bytes() for path in sorted((folder / "good").iterdir())]
    pq.write_table(pa.table({"photo": images}), folder / "good.parquet", row_group_size=4)
    table = {"kind": "parquet", "path": "good.parquet"}
    first = trained(folder)
    second = trained(folder, source=table, column="photo", output="models/b")
    for report in (first, second):
        del report["seconds"], report["output"], report["revision"]
    assert first == second
    one, other = (
        load_file(folder / "models" / name / "model.safetensors")["bank"]
        for name in ("stripes", "b")
    )
    assert torch.equal(one, other)


def test_the_bank_and_the_number_of_pictures_are_bounded(folder: Path) -> None:
    report = trained(folder, vectors=16, max_pictures=20)
    assert report["vectors"] == 16
    assert report["pictures"] + sum(report["pictures left out"].values()) == 20


def test_copies_of_good_pictures_do_not_count(folder: Path) -> None:
    first, *others = sorted((folder / "good").glob("0*.png"))
    for path in [*others, *(folder / "good").glob("[12]*.png")]:
        path.write_bytes(first.read_bytes())
    said = r"0 good pictures are too few \(24 more are copies\); 10 are the fewest"
    with pytest.raises(UsageError, match=said):
        trained(folder)


def test_few_distances_make_a_limit_that_few_others_pass() -> None:
    chance = np.random.default_rng(0)
    drawn = np.exp(chance.normal(0, 0.2, (500, 12)))
    limits = np.array([limit_of(row, 0.05) for row in drawn])
    others = np.exp(chance.normal(0, 0.2, (500, 200)))
    assert 0.035 < (others > limits[:, None]).mean() < 0.055
    quantiles = np.quantile(drawn, 0.95, axis=1)
    assert (others > quantiles[:, None]).mean() > 0.09


def test_many_distances_make_a_limit_that_is_at_least_their_quantile() -> None:
    tailed = np.concatenate([np.ones(980) + np.arange(980) / 1e6, np.full(20, 5.0)])
    assert limit_of(tailed, 0.01) == 5
    assert limit_of(np.array([1.0, 1.0]), 0.01) == 1


def test_a_picture_is_compared_with_the_other_parts_and_all_are_kept(tmp_path: Path) -> None:
    backbone = features.dinov2(tmp_path / "backbone")
    settings = Settings(BackboneChoice("tiny", "1", backbone), 32, vectors=10_000)
    rows = features.good_pictures(12)
    found = fit([rows[:6], rows[6:]], settings)
    viewer = PatchViewer(backbone, Device(threads=1), 32)
    places = [viewer.patches([viewer.viewer.item(picture(r["image"])).data])[0] for r in rows]
    vectors = torch.stack(places).flatten(1, 2)
    far = torch.cat([
        torch.stack([torch.cdist(one, other.flatten(0, 1)).min(1).values.max() for one in part])
        for part, other in ((vectors[:6], vectors[6:]), (vectors[6:], vectors[:6]))
    ])  # fmt: skip
    assert found.bank.shape == (12 * 16, viewer.size)
    expected = [float(far.min()), float(np.median(far.numpy())), float(far.max())]
    assert_close(list(found.report.distances), expected, 1e-4)


def test_a_folder_of_an_older_version_is_refused(tiny: Build, tmp_path: Path) -> None:
    said = json.loads((tiny(features.inspector).folder / "config.json").read_text())
    del said["format"]
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(StageFailed, match="train it anew"):
        Inspection.read(tmp_path)


REFUSED = {
    "few": ({"split": {"parts": 11}}, "parts"),
    "column": ({"column": "imge"}, "no column 'imge' (did you mean 'image'?)"),
    "kind": ({"column": "path"}, "column 'path' is string; pictures are bytes"),
    "side": ({"side": 33}, "side: 33 is no multiple of 8"),
    "typo": ({"vectrs": 16}, "unknown key 'vectrs' (did you mean 'vectors'?)"),
    "task": ({"task": "anomaly-detecion"}, "(did you mean 'anomaly-detection'?)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_training_file_is_answered_with_what_to_type(case: str, folder: Path) -> None:
    change, said = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        trained(folder, **change)
    assert said in str(caught.value)


def test_a_model_that_is_there_is_not_overwritten_and_the_verb_prints_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(folder)
    with pytest.raises(UsageError, match="holds a trained model already"):
        trained(folder)
    assert main(["train", str(folder / "stripes.yaml"), "--fresh"]) == 0
    assert "the threshold set by" in capsys.readouterr().err


def test_the_side_fits_the_backbone() -> None:
    assert side_of({"model_type": "dinov2", "patch_size": 14}, None) == 308
    assert side_of({"model_type": "efficientnet"}, None) == 320
    assert side_of({"model_type": "vit", "image_size": 224, "patch_size": 16}, None) == 224
    with pytest.raises(UsageError, match="sees 224 pixels and no other"):
        side_of({"model_type": "vit", "image_size": 224, "patch_size": 16}, 320)


def test_another_backbone_s_bank_is_refused(tiny: Build) -> None:
    files = tiny(features.inspector)
    other = tiny(features.describer, family="resnet")
    with pytest.raises(StageFailed, match="has no bank of vectors of"):
        look(ModelFiles(files.folder, {"backbone": other.folder}), features.PICTURES[:1])
