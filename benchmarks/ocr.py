"""What reading a page costs beside the bare models, and how right it is.

Reads the demo's documents with the embedded PP-OCRv6 models on one thread, through the worker, and
then puts the very same inputs through the two models called the plain transformers way, nothing
else: that is the bare loop. Prints CPU-seconds, the ratio, and the error rate of each page.

    OMP_NUM_THREADS=1 python -m benchmarks.ocr
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForObjectDetection, AutoModelForTextRecognition

from actors.images import decode
from actors.models.embedded import prepare
from actors.stage import Device, Item, Model, ModelFiles, Pass, Row, Stage
from actors.vision.ocr import LinesOfPages, Ocr
from actors.worker import Worker
from jobs.demo.documents import Document, make_documents
from jobs.quality import character_error_rate


@dataclass
class Seen:
    """CPU-seconds of one pass by step, and the micro-batches that it was given."""

    prepare: float = 0.0
    infer: float = 0.0
    finish: float = 0.0
    batches: list[list[Item]] = field(default_factory=list)


class Timed(Pass):
    """A pass that notes what its steps take."""

    def __init__(self, inner: Pass) -> None:
        self.inner, self.batching, self.seen = inner, inner.batching, Seen()

    def _timed(self, step: str, call: Callable[[], Any]) -> Any:
        start = time.thread_time()
        result = call()
        setattr(self.seen, step, getattr(self.seen, step) + time.thread_time() - start)
        return result

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        return list(self._timed("prepare", lambda: self.inner.prepare(rows)))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        self.seen.batches.append(list(items))
        return list(self._timed("infer", lambda: self.inner.infer(items)))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        return dict(self._timed("finish", lambda: self.inner.finish(row, outputs)))


class TimedOcr(Ocr):
    """OCR whose passes are timed."""

    def load(self, files: ModelFiles, device: Device) -> Model:
        return LinesOfPages(*(Timed(step) for step in super().load(files, device).passes))


def cpu(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def bare(models: tuple[Any, Any], passes: Sequence[Any]) -> float:
    """CPU-seconds of the plain models over the inputs that the passes were given."""
    total = 0.0
    for model, step, of in zip(models, passes, (lambda d: d[0], lambda d: d), strict=True):
        for batch in step.seen.batches:
            pixels = step.inner._normalise([of(item.data) for item in batch]).contiguous()
            with torch.inference_mode():
                total += cpu(lambda m=model, p=pixels: m(pixel_values=p))[1]
    return total


def load_plain(files: ModelFiles) -> tuple[Any, Any]:
    return (
        AutoModelForObjectDetection.from_pretrained(files.others["detector"]).eval(),
        AutoModelForTextRecognition.from_pretrained(files.folder).eval(),
    )


def read(stage: Stage, files: ModelFiles, rows: list[Row]) -> tuple[Worker, list[Any], float]:
    worker = Worker(stage, files)
    worker.answer(rows[:1])  # warm
    for step in worker._model.passes:
        step.seen = Seen()  # type: ignore[attr-defined]
    return worker, *cpu(lambda: worker.answer(rows))


def print_pages(documents: list[Document], answers: list[Any]) -> None:
    for page, answer in zip(documents, answers, strict=True):
        rate = character_error_rate(page.text, answer["text"])
        print(f"{page.file:22} {len(answer['lines']):3} lines   CER {rate:.3%}")


def print_costs(passes: Sequence[Any], total: float, plain: float, pages: int) -> None:
    print(f"\n{'CPU-s a page':34}")
    for name, step in zip(("find lines", "read lines"), passes, strict=True):
        for part in ("prepare", "infer", "finish"):
            print(f"  {name + ': ' + part:32} {getattr(step.seen, part) / pages:8.3f}")
    print(f"  {'everything':32} {total / pages:8.3f}")
    print(f"  {'bare loop, plain models':32} {plain / pages:8.3f}")
    fused = sum(step.seen.infer for step in passes)
    print(f"\neverything / bare loop of the plain models   {total / plain:.3f}")
    print(f"everything / own infer (folded models)       {total / fused:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    cache = parser.parse_args().cache
    torch.set_num_threads(1)
    detector = prepare("pp-ocrv6-small-det", cache)
    files = ModelFiles(prepare("pp-ocrv6-small-rec", cache), {"detector": detector})
    with tempfile.TemporaryDirectory() as folder:
        documents = make_documents(Path(folder))
        rows = [{"image": (Path(folder) / page.file).read_bytes()} for page in documents]
    _, decoding = cpu(lambda: [decode(row["image"]) for row in rows])
    worker, answers, total = read(TimedOcr(), files, rows)
    passes = worker._model.passes
    print_pages(documents, answers)
    print_costs(passes, total, bare(load_plain(files), passes), len(rows))
    print(f"decoding, once                               {decoding / len(rows):.3f} CPU-s a page")


if __name__ == "__main__":
    main()
