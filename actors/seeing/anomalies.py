"""Learns what good pictures look like, and writes that down as a model's folder."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from actors.seeing.inspection import ARCHITECTURE, FAMILY, FORMAT
from actors.seeing.limit import limit_of
from actors.seeing.patches import PatchViewer
from actors.stage import Device, Row

FEWEST = 10
"""Good pictures, no copies of each other, that are the fewest to learn from."""

COPY = 1e-3
"""Share of the largest distance below which a picture is taken for a copy of another good one: it
says nothing of how far good pictures are from each other."""

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
    """What came of a training. `distances` are those of the good pictures from the parts that they
    are not in: lowest, median and highest; `left_out` counts pictures by reason."""

    pictures: int
    parts: int
    left_out: dict[str, int]
    patches: int
    vectors: int
    threshold: float
    distances: tuple[float, float, float]
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
        self.device = Device(threads=settings.threads)
        self.viewer = PatchViewer(settings.backbone.folder, self.device, settings.side)
        self.left_out: Counter[str] = Counter()

    def learn(self, rows: Iterable[Row], most: int) -> tuple[np.ndarray, int]:
        """Return at most so many vectors of the rows' pictures, and how many there were."""
        sample = Sample(POOL * most, self.settings.seed)
        for found in self._patches(rows, self.left_out):
            sample.add(found.flatten(0, 2).cpu().numpy())
        return thinned(sample.vectors, most, self.settings.seed), sample.seen

    def distances(self, rows: Iterable[Row], bank: Bank) -> list[float]:
        """Return how far the strangest place of each picture is from the bank."""
        return [
            float(bank.distances(one.flatten(0, 1)).max())
            for found in self._patches(rows, Counter())
            for one in found
        ]

    def _patches(self, rows: Iterable[Row], left_out: Counter[str]) -> Iterator[torch.Tensor]:
        waiting: list[np.ndarray] = []
        for row in rows:
            try:
                waiting.append(self.viewer.viewer.item(self._picture(row)).data)
            except RowRejected as rejected:
                left_out[rejected.reason] += 1
            if len(waiting) == AT_ONCE:
                yield self.viewer.patches(waiting)
                waiting = []
        if waiting:
            yield self.viewer.patches(waiting)

    def _picture(self, row: Row) -> Picture:
        return picture(row["image"], at_least=2 * self.settings.side)


def train(parts: Sequence[Iterable[Row]], settings: Settings) -> Trained:
    """Fill a bank from good pictures, and set its threshold by comparing each part with the others.

    The bank has as many vectors of each part, so that a part is compared with the bank's vectors of
    the others: with a bank that is smaller by one part, which makes the threshold rather too high
    than too low. Rows have `image`, the bytes of a file; each part is iterated twice. Raises
    UsageError when there are too few pictures.
    """
    start = perf_counter()
    learner = Learner(settings)
    edges = [settings.vectors * n // len(parts) for n in range(len(parts) + 1)]
    learned = [learner.learn(part, edges[n + 1] - edges[n]) for n, part in enumerate(parts)]
    banks = [vectors for vectors, _ in learned]
    far = _distances(learner, parts, banks)
    _check_count(far, learner.left_out)
    vectors = np.concatenate([bank for bank in banks if len(bank)])
    report = Report(
        pictures=len(far),
        parts=len(parts),
        left_out=dict(learner.left_out),
        patches=sum(seen for _, seen in learned),
        vectors=len(vectors),
        threshold=limit_of(_apart(far), settings.false_alarms),
        distances=(float(far.min()), float(np.median(far)), float(far.max())),
        seconds=perf_counter() - start,
    )
    return Trained(vectors, report, _config(settings, report))


def _distances(
    learner: Learner, parts: Sequence[Iterable[Row]], banks: Sequence[np.ndarray]
) -> np.ndarray:
    """How far each picture is from those of the other parts; empty where there is one part."""
    found: list[float] = []
    for n, part in enumerate(parts):
        others = [bank for k, bank in enumerate(banks) if k != n and len(bank)]
        if others and len(banks[n]):
            bank = Bank(torch.from_numpy(np.concatenate(others)).to(learner.device.name))
            found += learner.distances(part, bank)
    return np.array(found)


def _apart(far: np.ndarray) -> np.ndarray:
    """The distances of pictures that are no copies."""
    found: np.ndarray = far[far > COPY * far.max(initial=0)]
    return found


def _check_count(far: np.ndarray, left_out: Counter[str]) -> None:
    apart = len(_apart(far))
    if apart < FEWEST:
        raise UsageError(
            f"{apart} good pictures are too few ({len(far) - apart} more are copies);"
            f" {FEWEST} are the fewest{_said(left_out)}."
        )


def _said(left_out: Counter[str]) -> str:
    found = ", ".join(f"{why}: {count}" for why, count in left_out.items())
    return f" ({found})" if found else ""


def _config(settings: Settings, report: Report) -> dict[str, Any]:
    backbone = settings.backbone
    return {
        "architectures": [ARCHITECTURE],
        "model_type": FAMILY,
        "format": FORMAT,
        "backbone": {"name": backbone.name, "revision": backbone.revision},
        "side": settings.side,
        "threshold": report.threshold,
        "training": {
            "pictures": report.pictures,
            "parts": report.parts,
            "left_out": report.left_out,
            "patches": report.patches,
            "vectors": report.vectors,
            "false_alarms": settings.false_alarms,
            "seed": settings.seed,
            "distances": dict(zip(("lowest", "median", "highest"), report.distances, strict=True)),
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
