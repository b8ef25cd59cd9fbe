"""The recipes for pictures, pages and videos run on a real Ray as their files say."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from actors.errors import UsageError
from actors.stage import ModelFiles, Row
from jobs.search import run as search
from jobs.training.train import load, train
from pipelines.search import Query
from tests.recipes import RECIPES, answers, go, listed
from tests.tiny import comparing, films, paging, space, telling, video
from tests.tiny.reading import page, png
from tests.tiny.seeing import encoded, photo
from tests.world import World

pytestmark = pytest.mark.ray

Build = Callable[..., ModelFiles]
PLACES = {"_source": "string", "_row": "int64", "path": "string"}
BOX = "box: struct<xmin: float, ymin: float, xmax: float, ymax: float>"


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a new folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_video_catalogue_says_what_happens_and_shows_a_cover(
    world: World, tiny: Build, cache: Path
) -> None:
    whole = films.film(45, seed=1)
    fill(
        world.path / "videos",
        {"a.mp4": whole, "b.webm": films.film(12, "webm", "libvpx-vp9"), "cut.mp4": whole[:2000]},
    )
    models = {0: tiny(video.videomae), 2: tiny(telling.blip), 3: tiny(comparing.siglip)}
    outcome = go(world, cache, "video-catalogue", {n: files.folder for n, files in models.items()})
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 2, 1)
    assert world.rejects("stage", "reason") == {("cut.mp4", 0): ("source", "truncated_video")}
    assert columns == {
        **PLACES,
        "video_seconds": "double",
        "video_width": "int32",
        "video_height": "int32",
        "action": "string",
        "action_score": "float",
        "clips": listed("start: float, end: float, label: string, score: float"),
        "cover_time": "float",
        "caption": "string",
        "caption_score": "float",
        "cover_vector": "list<element: float>",
    }
    for row, seconds in zip(rows, (1.5, 0.4), strict=True):
        assert None not in row.values()
        assert row["video_seconds"] == pytest.approx(seconds, abs=0.05)
        assert {row["action"], *(clip["label"] for clip in row["clips"])} <= set(video.ACTIONS)
        assert 0 <= row["cover_time"] <= row["clips"][-1]["end"] <= row["video_seconds"] + 1e-3
        assert len(row["cover_vector"]) == 32
    assert rows[0]["cover_vector"] != rows[1]["cover_vector"]


# photos -------------------------------------------------------------------------------------


def clock(width: int = 480, height: int = 360, r: int = 130) -> Image.Image:
    """A wall with a clock in the middle, `r` pixels in radius, at nine minutes to two."""
    image = Image.new("RGB", (width, height), (200, 190, 170))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(r / 5)
    x, y = width / 2, height / 2
    draw.ellipse((x - r, y - r, x + r, y + r), fill="white", outline="black", width=r // 11)
    for hour in range(12):
        way = math.pi * hour / 6
        place = (x + 0.8 * r * math.sin(way), y - 0.8 * r * math.cos(way))
        draw.text(place, str(hour or 12), font=font, fill="black", anchor="mm")
    draw.line((x, y, x + 0.38 * r, y - 0.3 * r), fill="black", width=r // 16)
    draw.line((x, y, x - 0.15 * r, y - 0.65 * r), fill="black", width=r // 21)
    return image


@pytest.mark.embedded
def test_a_photo_library_says_what_is_seen_and_can_be_searched(
    world: World, tiny: Build, cache: Path
) -> None:
    files = {
        "clock.png": encoded(clock()),
        "cut.jpg": encoded(photo(400, 300), "JPEG")[:3000],
        "discs.jpg": encoded(photo(160, 120, 7), "JPEG"),
    }
    fill(world.path / "photos", files)
    models = {2: tiny(telling.blip).folder, 3: tiny(comparing.siglip).folder}
    outcome = go(world, cache, "photo-library", models)
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 2, 1)
    assert world.rejects("stage", "reason") == {
        ("cut.jpg", 0): ("image-classification", "truncated_image")
    }
    assert columns == {
        **PLACES,
        "subject": "string",
        "subject_score": "float",
        "detections": listed(f"label: string, label_id: int32, score: float, {BOX}"),
        "detection_count": "int32",
        "caption": "string",
        "caption_score": "float",
        "photo_vector": "list<element: float>",
    }
    assert not any(None in row.values() for row in rows)
    assert (rows[0]["subject"], rows[0]["subject_score"] > 0.4) == ("analog clock", True)
    (found,) = rows[0]["detections"]
    assert found["label"] == "clock"
    assert list(found["box"].values()) == pytest.approx([110, 50, 370, 310], abs=6)
    by_words, by_picture = (
        searched(world, cache, query)
        for query in (Query("text", "good"), Query("image", files["discs.jpg"]))
    )
    assert {row["path"] for row in by_words} == {row["path"] for row in rows}
    assert [Path(row["path"]).name for row in by_picture] == ["discs.jpg", "clock.png"]
    assert by_picture[0]["score"] == pytest.approx(1, abs=1e-5)


def searched(world: World, cache: Path, query: Query) -> list[Row]:
    """What `gristmill search` finds in the world's output."""
    rows: list[Row] = search(world.out.full(""), query, None, 10, world.path, cache)["rows"]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    return rows


# pages --------------------------------------------------------------------------------------

INVOICE = ["Acme Corporation, London", "Invoice of 3 May 2024", "Total due: 41.50"]
LETTER = ["Maria Jansen lives in Berlin.", "She moved there in 2019."]
SPOT = "text: string, score: float"


@pytest.mark.embedded
def test_a_document_archive_has_the_text_the_regions_the_answer_and_the_names(
    world: World, tiny: Build, cache: Path
) -> None:
    files = {"invoice.png": png(page(*INVOICE)), "letter.png": png(page(*LETTER))}
    fill(world.path / "pages", {**files, "cut.png": files["letter.png"][:2000]})
    outcome = go(world, cache, "document-archive", {2: tiny(paging.layoutlm).folder})
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 2, 1)
    assert world.rejects("stage", "reason") == {("cut.png", 0): ("ocr", "truncated_image")}
    assert columns == {
        **PLACES,
        "text": "string",
        "regions": listed(f"label: string, score: float, {BOX}, order: int32, text: string"),
        "outside_text": "string",
        "answer": "string",
        "answer_score": "float",
        "answer_boxes": listed(BOX.removeprefix("box: struct<").removesuffix(">")),
        "entities": listed("text: string, label: string, score: float, start: int32, end: int32"),
    }
    assert [row["text"].splitlines() for row in rows] == [INVOICE, LETTER]
    for row in rows:
        assert None not in row.values()
        texts = [*(region["text"] for region in row["regions"]), row["outside_text"]]
        assert sorted("\n".join(texts).split()) == sorted(row["text"].split())
        assert len(row["answer_boxes"]) == len(row["answer"].split()) > 0
        assert set(row["answer"].split()) <= set(row["text"].split())
    names = [{(found["text"], found["label"]) for found in row["entities"]} for row in rows]
    assert ("Acme Corporation", "ORG") in names[0] and ("Maria Jansen", "PERSON") in names[1]


# products -----------------------------------------------------------------------------------


def plate(seed: int, scratched: bool = False) -> bytes:
    """A brushed plate with four holes, lit a little otherwise each time; maybe with a scratch."""
    chance = np.random.default_rng(seed)
    lines = chance.normal(150 + seed % 5, 8, (120, 1)) + chance.normal(0, 3, (120, 160))
    image = Image.fromarray(lines.clip(0, 255).astype(np.uint8)).convert("RGB")
    for x, y in ((20, 20), (140, 20), (20, 100), (140, 100)):
        ImageDraw.Draw(image).ellipse((x - 8, y - 8, x + 8, y + 8), fill=(30, 30, 34))
    if scratched:
        ImageDraw.Draw(image).line((60, 40, 100, 75), fill=(240, 90, 60), width=5)
    return encoded(image)


@pytest.mark.embedded
def test_quality_control_finds_the_faults_that_its_training_never_saw(
    world: World, tiny: Build, cache: Path
) -> None:
    faulty = plate(41, scratched=True)
    products = {"cut.png": faulty[:4000], "faulty.png": faulty, "fine.png": plate(42)}
    fill(world.path / "products", products)
    fill(world.path / "good", {f"{n:02}.png": plate(n) for n in range(20)})
    file = world.path / "quality-control-training.yaml"
    file.write_text((RECIPES / file.name).read_text())
    with pytest.raises(UsageError, match="models/good"):
        go(world, cache, "quality-control")
    train(load(file, ["threads=1", "vectors=512"]), file, cache)
    outcome = go(world, cache, "quality-control", {1: tiny(space.sam).folder})
    columns, (bad, good) = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 2, 1)
    assert world.rejects() == {("cut.png", 0): "truncated_image"}
    rle = "struct<size: list<element: int32>, counts: list<element: int32>>"
    mask = f"score: float, stability: float, area: int64, {BOX}, prompt: int32, rle: {rle}"
    assert columns == {
        **PLACES,
        "anomaly_score": "float",
        "is_anomaly": "bool",
        "faults": listed(f"{BOX}, score: float"),
        "masks": listed(f"{mask}, mask: binary"),
    }
    assert (bad["is_anomaly"], good["is_anomaly"]) == (True, False)
    assert bad["anomaly_score"] > 1.2 > 1 > good["anomaly_score"]
    assert (good["faults"], good["masks"]) == ([], [])
    box = bad["faults"][0]["box"]
    assert box["xmin"] < 80 < box["xmax"] and box["ymin"] < 57 < box["ymax"]
    assert [mask["prompt"] for mask in bad["masks"]] == list(range(len(bad["faults"])))
    assert all(sum(mask["rle"]["counts"]) == 120 * 160 for mask in bad["masks"])
