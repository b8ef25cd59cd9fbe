"""The text-and-table model: vectors of texts, numbers and categories into one small network."""

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from actors.errors import StageFailed
from actors.tables.features import UNSEEN, Codes
from actors.tables.target import Target

WEIGHTS = "model.safetensors"

# Sizes and steps of the usual small network on top of frozen vectors; the validation rows decide
# when to stop, so the number of epochs is only a bound.
WIDTH = 64
EMBEDDING = 8
DROPOUT = 0.1
RATE = 1e-3
DECAY = 1e-2
BATCH = 64
EPOCHS = 200
PATIENCE = 15
VALIDATION = 0.15
# Categories hidden while training, so that "never seen" gets a meaning of its own.
HIDDEN = 0.05
# Standard deviations beyond which a number is not told apart: so no number overflows.
FAR = 1e6
# Below this spread a column is constant but for rounding.
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Shape:
    """What the network reads and answers: columns of its matrix by kind, `texts` columns of text
    vectors after them (each text: vector and a mark where it is missing), and its outputs."""

    numbers: tuple[int, ...]
    categories: tuple[tuple[int, int], ...]
    texts: int
    outputs: int
    classifies: bool

    @classmethod
    def of(cls, codes: Codes, texts: int, target: Target) -> "Shape":
        """The network for these features and this target."""
        chosen = codes.places("category")
        numbers = tuple(n for n in range(len(codes.features)) if n not in chosen)
        sizes = tuple((n, len(codes.features[n].values)) for n in chosen)
        outputs = len(target.classes) if target.classes else 1
        return cls(numbers, sizes, texts, outputs, target.classes is not None)

    @classmethod
    def from_config(cls, said: dict[str, Any]) -> "Shape":
        """Read from config.json."""
        categories = tuple((int(place), int(size)) for place, size in said["categories"])
        return cls(**{**said, "numbers": tuple(said["numbers"]), "categories": categories})


class Network(nn.Module):
    """[numbers and texts, standardised | missing numbers | categories, embedded] -> two layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        count = len(shape.numbers) + shape.texts
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.target: torch.Tensor
        self.register_buffer("mean", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        self.register_buffer("target", torch.tensor([0.0, 1.0], dtype=torch.float64))
        # Two codes more than categories: 0 for one never seen, 1 for a missing one.
        self.embeddings = nn.ModuleList(nn.Embedding(n + 2, EMBEDDING) for _, n in shape.categories)
        width = count + len(shape.numbers) + EMBEDDING * len(shape.categories)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(width, WIDTH),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, shape.outputs),
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return logits, or the standardised number, float32 (rows, outputs), of rows (rows,
        columns), which are float64: a time in nanoseconds needs it until it is standardised."""
        numbers = self.numbers(rows)
        missing = numbers.isnan()
        scaled = torch.where(missing, 0.0, (numbers - self.mean) / self.scale).clamp(-FAR, FAR)
        codes = [self._codes(rows[:, place]) for place, _ in self.shape.categories]
        embedded = [table(c) for table, c in zip(self.embeddings, codes, strict=True)]
        marks = missing[:, : len(self.shape.numbers)]
        found: torch.Tensor = self.head(
            torch.cat([scaled.float(), marks.float(), *embedded], dim=1)
        )
        return found

    def numbers(self, rows: torch.Tensor) -> torch.Tensor:
        """The columns that are standardised: numbers, then texts, NaN where they are missing."""
        start = rows.shape[1] - self.shape.texts
        return torch.cat([rows[:, list(self.shape.numbers)], rows[:, start:]], dim=1)

    def _codes(self, column: torch.Tensor) -> torch.Tensor:
        """0 for a category never seen, 1 for a missing one, then the known ones."""
        known = torch.where(column == UNSEEN, 0.0, column + 2)
        codes = torch.where(column.isnan(), 1.0, known).long()
        if self.training:
            codes = torch.where(torch.rand(codes.shape) < HIDDEN, 0, codes)
        return codes


class Mixed:
    """A trained network on `threads` threads."""

    def __init__(self, network: Network, device: str = "cpu", threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self.device = device
        self.network = network.eval().to(device)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities (rows, classes), or a number per row: float64."""
        rows = torch.from_numpy(matrix).to(self.device)
        with torch.inference_mode():
            found = self.network(rows).double()
            if self.network.shape.classifies:
                found = found.softmax(dim=1)
            else:
                mean, scale = self.network.target
                found = found[:, 0] * scale + mean
        answer: np.ndarray = found.cpu().numpy()
        return answer

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights into a folder that is there; return what `Shape` is read from."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        return {"network": asdict(self.network.shape)}


def load(folder: Path, shape: Shape, device: str, threads: int) -> Mixed:
    """Load a network. Raises StageFailed when the file is not of this shape."""
    network = Network(shape)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise StageFailed(f"{folder / WEIGHTS} cannot be loaded: {error}") from error
    return Mixed(network, device, threads)


def fit(
    codes: Codes, matrix: np.ndarray, texts: int, target: Target, seed: int, threads: int
) -> Mixed:
    """Train on rows (rows, coded features and then `texts` columns of text vectors)."""
    torch.set_num_threads(threads)
    rows = torch.from_numpy(matrix)
    truth = torch.from_numpy(target.values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(Shape.of(codes, texts, target))
        order = torch.randperm(len(rows))
        held = max(1, int(len(rows) * VALIDATION))
        _standardise(network, rows[order[held:]], truth[order[held:]])
        if not network.shape.classifies:
            truth = ((truth - network.target[0]) / network.target[1]).float()
        _train(network, rows, truth, order[held:], order[:held])
    return Mixed(network, threads=threads)


def _standardise(network: Network, rows: torch.Tensor, truth: torch.Tensor) -> None:
    """Take mean and spread from the rows that are learned from."""
    numbers = network.numbers(rows)
    there = ~numbers.isnan()
    count = there.sum(0).clamp(min=1)
    mean = numbers.nan_to_num().sum(0) / count
    spread = (((numbers - mean).nan_to_num() ** 2).sum(0) / count).sqrt()
    network.mean.copy_(mean)
    network.scale.copy_(torch.where(spread > LEAST, spread, 1.0))
    if not network.shape.classifies:
        wide = truth.std(unbiased=False)
        wide = wide if wide > 0 else torch.ones_like(wide)
        network.target.copy_(torch.stack([truth.mean(), wide]))


def _train(
    network: Network,
    rows: torch.Tensor,
    truth: torch.Tensor,
    learned: torch.Tensor,
    held: torch.Tensor,
) -> None:
    """Train until the held rows' loss has not fallen for PATIENCE epochs; keep the best."""
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept, waited = math.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(EPOCHS):
        _epoch(network, adam, rows, truth, learned)
        network.eval()
        with torch.inference_mode():
            loss = float(_loss(network, rows[held], truth[held]))
        waited += 1
        if loss < best:
            best, kept, waited = loss, copy.deepcopy(network.state_dict()), 0
        if waited >= PATIENCE:
            break
    network.load_state_dict(kept)


def _epoch(
    network: Network, adam: Any, rows: torch.Tensor, truth: torch.Tensor, learned: torch.Tensor
) -> None:
    network.train()
    for batch in torch.split(learned[torch.randperm(len(learned))], BATCH):
        adam.zero_grad()
        _loss(network, rows[batch], truth[batch]).backward()  # type: ignore[no-untyped-call]
        adam.step()


def _loss(network: Network, rows: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    found = network(rows)
    return cross_entropy(found, truth) if network.shape.classifies else mse_loss(found[:, 0], truth)
