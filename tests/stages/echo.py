"""A stage without weights whose rows can ask it to misbehave."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from actors.errors import RowRejected
from actors.stage import Batching, Columns, Device, Item, Model, ModelFiles, Row, Stage, option


class Echo(Stage):
    """Answers a text with its upper case and the size of the micro-batch that it was in."""

    reads: ClassVar[Columns] = {"text": pa.string()}
    chunk: ClassVar[int] = 4
    seconds: float = option(0.0, "time that one row takes, seconds", ge=0)
    room: int = option(10_000, "most characters that fit in memory at once", ge=1)
    suffix: str = option("", "appended to each answer")

    @property
    def writes(self) -> Columns:
        return {"upper": pa.string(), "score": pa.float32()}

    def load(self, files: ModelFiles, device: Device) -> Model:
        if self.suffix == "cannot load":
            raise OSError("no weights here")
        return _Echo(self)


class _Echo(Model):
    batching = Batching("length", rows=8, budget=1_000)

    def __init__(self, stage: Echo) -> None:
        self.stage = stage
        self.sizes: list[int] = []

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        return [self._prepare(row["text"]) for row in rows]

    def _prepare(self, text: str | None) -> list[Item]:
        if text is None:
            raise RowRejected("null_input", "the text is null")
        if text == "bad prepare":
            raise ValueError("this row cannot be prepared")
        if text == "kill prepare":
            os.kill(os.getpid(), signal.SIGKILL)
        return [Item(word, cost=len(word)) for word in text.split("|") if word]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        words = [item.data for item in items]
        self.sizes.append(len(words))
        if len(words) * max(map(len, words)) > self.stage.room:
            raise MemoryError("not enough memory")
        for word in words:
            self._misbehave(word)
        time.sleep(self.stage.seconds * len(words))
        return [(word.upper(), float("nan") if word == "nan" else 0.5) for word in words]

    def _misbehave(self, word: str) -> None:
        if word == "bad":
            raise ValueError("a bad row")
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            sys.exit(3)
        if word == "hang":
            time.sleep(3600)
        if word == "device":
            raise RuntimeError("CUDA error: device-side assert triggered")
        if word.startswith("needs ") and not Path(word.removeprefix("needs ")).exists():
            raise ValueError("what this row needs is not there")
        if word == "hoard":
            self.hoard = [bytearray(b"x") * 2**20 for _ in range(3_000)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        if row["text"] == "bad finish":
            raise KeyError("finish")
        if row["text"] == "null":
            return {"upper": None, "score": None}
        text = "|".join(word for word, _ in outputs) + self.stage.suffix
        return {"upper": text, "score": sum(score for _, score in outputs)}
