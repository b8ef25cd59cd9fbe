"""Learns what good pictures look like, and writes that down as a model's folder."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from actors.errors import RowRejected, StageFailed, UsageError
from actors.images import Picture, picture
from actors.seeing.bank import Bank, Sample, thinned
from actors.seeing.inspection import ARCHITECTURE, FAMILY
from actors.seeing.patches import PatchViewer
from actors.stage import Device, Row

FEWEST = 10
"""Good pictures that are the fewest to learn from and to set a threshold by, together."""

AT_ONCE = 8
"""Pictures shown to the model at once."""

POOL = 16
"""Vectors kept for each that the bank will have, from which it is thinned: 65,536 of 384 numbers
weigh 100 MB."""


@dataclass(frozen=True, slots=True)
class BackboneChoice:
    """A model of pictures, pinned: its name and revision as config.json keeps them; its folder."""

    name: str
    revision: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How to learn: the side of the square that pictures are shown as, the most vectors to keep,
    the share of good pictures that may be called anomalous."""

    backbone: BackboneChoice
    side: int
    vectors: int = 4_096
    false_alarms: float = 0.01
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Report:
    """What came of a training. `held` are the distances of the good pictures that the bank does not
    hold, lowest, median and highest; `left_out` counts pictures by reason."""

    pictures: dict[str, int]
    left_out: dict[str, int]
    patches: int
    vectors: int
    threshold: float
    held: tuple[float, float, float]
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A bank with all that its folder says of it."""

    bank: np.ndarray
    report: Report
    config: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the model into a folder that is there and empty; config.json goes last."""
        save_file({"bank": torch.from_numpy(self.bank)}, folder / "model.safetensors")
        text = json.dumps(self.config, indent=1, ensure_ascii=False)
        (folder / "config.json").write_text(text + "\n", "utf-8")


class Learner:
    """Looks at good pictures; never holds more than a few of them, and a bounded sample."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        device = Device(threads=settings.threads)
        self.viewer = PatchViewer(settings.backbone.folder, device, settings.side)
        self.left_out: Counter[str] = Counter()

    def learn(self, rows: Iterable[Row]) -> tuple[Sample, int]:
        """Return a sample of the vectors of the rows' pictures, and how many these were."""
        sample = Sample(POOL * self.settings.vectors, self.settings.seed)
        count = 0
        for found in self._patches(rows):
            count += len(found)
            sample.add(found.flatten(0, 2).cpu().numpy())
        return sample, count

    def distances(self, rows: Iterable[Row], bank: Bank) -> list[float]:
        """Return how far the strangest place of each picture is from the bank."""
        return [
            float(bank.distances(one.flatten(0, 1)).max())
            for found in self._patches(rows)
            for one in found
        ]

    def _patches(self, rows: Iterable[Row]) -> Iterator[torch.Tensor]:
        waiting: list[np.ndarray] = []
        for row in rows:
            try:
                waiting.append(self.viewer.viewer.item(self._picture(row)).data)
            except RowRejected as rejected:
                self.left_out[rejected.reason] += 1
            if len(waiting) == AT_ONCE:
                yield self.viewer.patches(waiting)
                waiting = []
        if waiting:
            yield self.viewer.patches(waiting)

    def _picture(self, row: Row) -> Picture:
        return picture(row["image"], at_least=2 * self.settings.side)


def train(learning: Iterable[Row], holding: Iterable[Row], settings: Settings) -> Trained:
    """Fill a bank from the pictures to learn from, and set its threshold by those held back.

    Rows have `image`, the bytes of a file. Raises UsageError when there are too few of either.
    """
    start = perf_counter()
    learner = Learner(settings)
    sample, learned = learner.learn(learning)
    if not learned:
        raise UsageError(f"no picture can be learned from{_said(learner.left_out)}.")
    vectors = thinned(sample.vectors, settings.vectors, settings.seed)
    held = learner.distances(holding, Bank(torch.from_numpy(vectors)))
    if not held or learned + len(held) < FEWEST:
        raise UsageError(
            f"{learned} good pictures to learn from and {len(held)} held back are too few;"
            f" {FEWEST} are the fewest together{_said(learner.left_out)}."
        )
    threshold = float(np.quantile(held, 1 - settings.false_alarms))
    if threshold <= 0:
        raise UsageError("the pictures held back are copies of those that were learned from.")
    report = Report(
        pictures={"learned": learned, "held back": len(held)},
        left_out=dict(learner.left_out),
        patches=sample.seen,
        vectors=len(vectors),
        threshold=threshold,
        held=(min(held), float(np.median(held)), max(held)),
        seconds=perf_counter() - start,
    )
    return Trained(vectors, report, _config(settings, report))


def _said(left_out: Counter[str]) -> str:
    found = ", ".join(f"{why}: {count}" for why, count in left_out.items())
    return f" ({found})" if found else ""


def _config(settings: Settings, report: Report) -> dict[str, Any]:
    backbone = settings.backbone
    return {
        "architectures": [ARCHITECTURE],
        "model_type": FAMILY,
        "backbone": {"name": backbone.name, "revision": backbone.revision},
        "side": settings.side,
        "threshold": report.threshold,
        "training": {
            "pictures": report.pictures,
            "left_out": report.left_out,
            "patches": report.patches,
            "vectors": report.vectors,
            "false_alarms": settings.false_alarms,
            "seed": settings.seed,
            "distances": dict(zip(("lowest", "median", "highest"), report.held, strict=True)),
        },
        "versions": {name: version(name) for name in ("gristmill", "torch", "transformers")},
    }


def read_bank(folder: Path, size: int) -> torch.Tensor:
    """Return a folder's bank of vectors of so many numbers. Raises StageFailed for another one."""
    from actors.checkpoint import read_weights

    bank = read_weights(folder).get("bank")
    if bank is None or bank.dim() != 2 or not len(bank) or bank.shape[1] != size:
        raise StageFailed(f"{folder} has no bank of vectors of {size} numbers, as its backbone has")
    return bank.float()
