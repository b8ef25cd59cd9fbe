"""How right the tasks on whole pictures are with the embedded EfficientNet-Lite0, on real photos.

Photos and textures of scikit-image (read out of its wheel) and scikit-learn. Classification: photos
that a class of ImageNet fits, and what counts as right for each. Similarity: each photo's altered
copies among the unaltered photos. Reduced decoding: four photos side by side in a JPEG large enough
for it, against decoding it in full. Anomalies: crops of the left half of a texture are learned, in
three parts of bands that do not overlap; crops of the right half are judged, half of them with a
small damage made here. The side that pictures are shown as and the strides were chosen on other
crops of these textures with these damages, so the figures flatter it somewhat. So few pictures say
whether the model works, not how well it does in general.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_pictures
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from sklearn.metrics import roc_auc_score

from actors.models.embedded import EMBEDDED, prepare
from actors.seeing.anomalies import BackboneChoice, Settings, train
from actors.seeing.inspection import SIDE
from actors.stage import ModelFiles, Row, Stage
from actors.vision.anomaly_detection import AnomalyDetection
from actors.vision.image_classification import ImageClassification
from actors.vision.image_feature_extraction import ImageFeatureExtraction
from actors.worker import Worker
from benchmarks.carried import PHOTOS, carried

MODEL = "efficientnet-lite0"

CATS = ("tabby, tabby cat", "tiger cat", "Persian cat", "Siamese cat, Siamese", "Egyptian cat")
RIGHT = {
    "chelsea.png": CATS,
    "coffee.png": ("espresso", "cup", "coffee mug"),
    "rocket.jpg": ("missile", "projectile, missile", "space shuttle"),
    "camera.png": ("tripod", "reflex camera"),
    "clock_motion.png": ("analog clock", "wall clock"),
    "motorcycle_left.png": ("moped", "motor scooter, scooter"),
    "horse.png": ("sorrel",),
    "brick.png": ("stone wall",),
    "china.jpg": ("palace", "monastery"),
    "flower.jpg": ("daisy",),
}
"""Photo -> the classes that fit what it shows."""

OTHERS = ("astronaut.png", "coins.png", "moon.png", "retina.jpg", "hubble_deep_field.jpg",
          "grass.png", "gravel.png", "page.png", "ihc.png")  # fmt: skip
"""Photos that no class of ImageNet fits."""

TEXTURES = {"brick.png": "gravel.png", "gravel.png": "grass.png", "grass.png": "brick.png"}
"""Texture -> the one that its pasted squares are cut from."""

CROP = 160
"""Pixels of a crop's side; textures have 512."""

Image_ = Image.Image


def encoded(image: Image_, kind: str = "PNG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def opened(folder: Path) -> dict[str, Image_]:
    """The photos by name."""
    here = Path(sklearn.__file__).parent / "datasets" / "images"
    paths = [
        (here if name in ("china.jpg", "flower.jpg") else folder) / name
        for name in (*RIGHT, *OTHERS)
    ]
    return {path.name: Image.open(path).convert("RGB") for path in paths}


def answer(stage: Stage, files: ModelFiles, images: Sequence[bytes]) -> list[Any]:
    rows: list[Row] = [{"image": data} for data in images]
    return Worker(stage, files).answer(rows)


def line(name: str, value: str, what: str) -> None:
    print(f"{name:34} {value:>9}   {what}", flush=True)


def show_classes(files: ModelFiles, photos: dict[str, Image_]) -> None:
    answers = answer(ImageClassification(), files, [encoded(photos[name]) for name in RIGHT])
    found = [[one["label"] for one in answered["scores"]] for answered in answers]
    first = [labels[0] in right for labels, right in zip(found, RIGHT.values(), strict=True)]
    five = [bool({*labels} & {*right}) for labels, right in zip(found, RIGHT.values(), strict=True)]
    missed = [
        f"{n} ({labels[0]})" for n, labels, ok in zip(RIGHT, found, first, strict=True) if not ok
    ]
    line("first label right", f"{sum(first)} of {len(first)}", f"otherwise: {', '.join(missed)}")
    line("one of five labels right", f"{sum(five)} of {len(five)}", "")


ALTERED: dict[str, Callable[[Image_], bytes]] = {
    "half the size, JPEG 40": lambda i: encoded(i.reduce(2), "JPEG", quality=40),
    "mirrored": lambda i: encoded(ImageOps.mirror(i)),
    "80 % of each side": lambda i: encoded(ImageOps.crop(i, int(0.1 * min(i.size)))),
    "40 % brighter": lambda i: encoded(ImageEnhance.Brightness(i).enhance(1.4)),
    "grey": lambda i: encoded(i.convert("L")),
    "turned by 15 degrees": lambda i: encoded(i.rotate(15, Image.Resampling.BICUBIC)),
}
"""How copies differ from their photos."""


def show_copies(files: ModelFiles, photos: dict[str, Image_]) -> None:
    def vectors(images: Sequence[bytes]) -> np.ndarray:
        return np.stack(
            [one["embedding"] for one in answer(ImageFeatureExtraction(), files, images)]
        )

    known = vectors([encoded(image) for image in photos.values()])
    every = []
    for about, alter in ALTERED.items():
        cosines = vectors([alter(image) for image in photos.values()]) @ known.T
        right = cosines.argmax(1) == np.arange(len(known))
        own = np.diag(cosines)
        every.append(right)
        line(
            "photo found by its copy",
            f"{right.mean():.0%}",
            f"{about}: mean cosine {own.mean():.2f}",
        )
    line("photo found by its copy", f"{np.mean(every):.1%}", f"of {np.size(every)}, recall at 1")
    apart = (known @ known.T)[~np.eye(len(known), dtype=bool)]
    line("cosine of two photos", f"{apart.mean():.2f}", f"at most {apart.max():.2f}")


def show_reduced(files: ModelFiles, photos: dict[str, Image_]) -> None:
    names = [name for name in photos if min(photos[name].size) >= 300]
    mosaics = []
    for start in range(len(names)):
        four = [photos[names[(start + n) % len(names)]] for n in range(4)]
        sheet = Image.new("RGB", (1200, 1200))
        for n, image in enumerate(four):
            sheet.paste(ImageOps.fit(image, (600, 600)), (n % 2 * 600, n // 2 * 600))
        mosaics.append(encoded(sheet, "JPEG", quality=90))
    stages = [ImageClassification(decode=how, top_k=1000) for how in ("reduced", "full")]
    times, found = [], []
    for stage in stages:
        worker, begun = Worker(stage, files), time.process_time()
        found.append(worker.answer([{"image": data} for data in mosaics]))
        times.append(time.process_time() - begun)
    scores = [[{s["label"]: s["score"] for s in a["scores"]} for a in one] for one in found]
    moved = [max(abs(a[label] - b[label]) for label in a) for a, b in zip(*scores, strict=True)]
    same = sum(a["label"] == b["label"] for a, b in zip(*found, strict=True))
    line("reduced decoding moves a score by", f"{np.mean(moved):.3f}", "mean over pictures of the"
         f" largest change; at most {max(moved):.3f}")  # fmt: skip
    line(
        "same first label",
        f"{same} of {len(moved)}",
        f"CPU-s {times[0]:.2f}, in full {times[1]:.2f}",
    )


LEARNED, JUDGED = ((0, 0, 256, 170), (0, 170, 256, 341), (0, 341, 256, 512)), (256, 0, 512, 512)
"""Parts of a texture that do not overlap: left, top, right, bottom."""


def crops(texture: Image_, count: int, seed: int, part: "Box") -> list[Image_]:
    """Crops of a part of a texture."""
    chance, (left, top, right, bottom) = np.random.default_rng(seed), part
    places = [
        (
            int(chance.integers(left, right - CROP + 1)),
            int(chance.integers(top, bottom - CROP + 1)),
        )
        for _ in range(count)
    ]
    return [texture.crop((x, y, x + CROP, y + CROP)) for x, y in places]


Box = tuple[int, int, int, int]


def pasted(image: Image_, other: Image_, chance: Any) -> Box:
    """Paste a square of another texture, 24 to 40 pixels; return its box."""
    side = int(chance.integers(24, 40))
    x, y = (int(n) for n in chance.integers(5, CROP - side - 5, 2))
    image.paste(other.crop((x, y, x + side, y + side)), (x, y))
    return x, y, x + side, y + side


def greyed(image: Image_, other: Image_, chance: Any) -> Box:
    """Paint a square of 10 to 20 pixels, 40 grey levels off the mean; return its box."""
    side, shade = int(chance.integers(10, 20)), np.asarray(image).mean() + chance.choice([-40, 40])
    x, y = (int(n) for n in chance.integers(10, CROP - 40, 2))
    image.paste((int(shade),) * 3, (x, y, x + side, y + side))
    return x, y, x + side, y + side


def scratched(image: Image_, other: Image_, chance: Any) -> Box:
    """Draw a line of 25 to 50 pixels, 2 wide, 60 grey levels off the mean; return its box."""
    shade = int(np.clip(np.asarray(image).mean() + chance.choice([-60, 60]), 0, 255))
    x, y = (int(n) for n in chance.integers(50, CROP - 50, 2))
    angle, length = chance.uniform(0, 2 * np.pi), chance.integers(25, 50)
    end = (x + int(length * np.cos(angle)), y + int(length * np.sin(angle)))
    ImageDraw.Draw(image).line((x, y, *end), fill=(shade,) * 3, width=2)
    (left, right), (top, bottom) = sorted((x, end[0])), sorted((y, end[1]))
    return left, top, right + 2, bottom + 2


def show_anomalies(files: ModelFiles, photos: dict[str, Image_], count: int) -> None:
    choice = BackboneChoice(MODEL, EMBEDDED[MODEL].revision, files.folder)
    for name, other in TEXTURES.items():
        parts = [
            [{"image": encoded(one)} for one in crops(photos[name], 25, seed, part)]
            for seed, part in enumerate(LEARNED, 20)
        ]
        with tempfile.TemporaryDirectory() as folder:
            train(parts, Settings(choice, SIDE)).save(Path(folder))
            worker = Worker(
                AnomalyDetection(map_side=0), ModelFiles(Path(folder), {"backbone": files.folder})
            )
        good = crops(photos[name], count, 1, JUDGED)
        calm: Any = worker.answer([{"image": encoded(one)} for one in good])
        alarms = np.mean([one["is_anomaly"] for one in calm])
        line(f"{name}: good called bad", f"{alarms:.0%}", f"of {count} crops of the other half")
        for damage in (pasted, greyed, scratched):
            chance, bad = np.random.default_rng(2), crops(photos[name], count, 3, JUDGED)
            boxes = [damage(one, photos[other], chance) for one in bad]
            hurt: Any = worker.answer([{"image": encoded(one)} for one in bad])
            show_damage(f"{name}: {damage.__name__}", calm, hurt, boxes)


def show_damage(about: str, calm: list[Any], hurt: list[Any], boxes: list[Box]) -> None:
    scores = [one["anomaly_score"] for one in (*calm, *hurt)]
    area = roc_auc_score([0] * len(calm) + [1] * len(hurt), scores)
    seen = np.mean([one["is_anomaly"] for one in hurt])
    there = [touches(one["regions"], box) for one, box in zip(hurt, boxes, strict=True)]
    line(
        about, f"{area:.2f}", f"AUC; {seen:.0%} called bad, at the right place {np.mean(there):.0%}"
    )


def touches(regions: list[Row], box: Box) -> bool:
    """Whether the strangest region meets the damage."""
    if not regions:
        return False
    found, (left, top, right, bottom) = regions[0]["box"], box
    across = found["xmin"] < right and found["xmax"] > left
    return bool(across and found["ymin"] < bottom and found["ymax"] > top)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    parser.add_argument("--data", type=Path, default=Path(".cache/quality"))
    parser.add_argument("--crops", type=int, default=30, help="crops of each kind")
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = ModelFiles(prepare(MODEL, given.cache))
    photos = opened(carried(PHOTOS, "skimage/data", given.data))
    begun = time.process_time()
    show_classes(files, photos)
    show_copies(files, photos)
    show_reduced(files, photos)
    show_anomalies(files, photos, given.crops)
    line("CPU-seconds", f"{time.process_time() - begun:.0f}", "for all of the above")


if __name__ == "__main__":
    main()
