"""What contenders share, so that they differ in how they run the model and in nothing else."""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 1
"""Threads of one model: what Gristmill gives a stage on two CPUs, so that walls compare too."""

Answer = dict[str, Any]
"""label and score of one row."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a contender: `kind` is text or images."""

    kind: str
    corpus: Path
    model: Path
    out: Path
    batch: int


class Meter:
    """Adds up the thread's CPU time inside `measure`, in a file that any process may append to."""

    def __init__(self, out: Path) -> None:
        self._file = os.open(out / "model_cpu", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Count the block as the model's."""
        start = time.thread_time()
        yield
        os.write(self._file, f"{time.thread_time() - start:.6f}\n".encode())


def model_cpu(out: Path) -> float:
    """Return the CPU-seconds that all meters of a contender measured."""
    return sum(map(float, (out / "model_cpu").read_text().split()))


def main(run: Callable[[Task], None]) -> None:
    """Read the command line of a contender and run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("text", "images"))
    for name in ("corpus", "model", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--batch", type=int, default=32)
    task = Task(**vars(parser.parse_args()))
    task.out.mkdir(parents=True)
    run(task)


class Classifier:
    """A model called on one batch the usual way: padded to its longest text, resized by PIL."""

    def __init__(self, task: Task) -> None:
        import torch
        import transformers as hf

        torch.set_num_threads(THREADS)
        self._torch, self._meter = torch, Meter(task.out)
        if task.kind == "text":
            self._tokenizer = hf.AutoTokenizer.from_pretrained(task.model)
            found: Any = hf.AutoModelForSequenceClassification.from_pretrained(task.model)
        else:
            self._processor = hf.AutoImageProcessor.from_pretrained(task.model)
            found = hf.AutoModelForImageClassification.from_pretrained(task.model)
        self._model = found.eval()

    def texts(self, texts: Sequence[str]) -> list[Answer]:
        """Classify texts."""
        return self._answer(
            self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        )

    def images(self, images: Sequence[np.ndarray]) -> list[Answer]:
        """Classify pixels (height, width, 3), uint8."""
        return self._answer(self._processor(list(images), return_tensors="pt"))

    def _answer(self, inputs: Any) -> list[Answer]:
        with self._meter.measure(), self._torch.inference_mode():
            logits = self._model(**inputs).logits
        return answers(logits.softmax(-1).numpy(), self._model.config.id2label)


def answers(scores: np.ndarray, labels: dict[int, str]) -> list[Answer]:
    """Name the best label of each row of `scores`, float (rows, labels)."""
    best = scores.argmax(-1)
    return [
        {"label": labels[int(n)], "score": float(row[n])}
        for n, row in zip(best, scores, strict=True)
    ]
