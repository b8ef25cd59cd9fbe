"""The bare model loop: sorted by length and cut by Gristmill's own budget; JPEGs decoded small.

Nothing else is done, and nothing can fail: this is the least that the work costs.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers as hf
from PIL import Image

from benchmarks.contenders.common import THREADS, Meter, Task, answers, main

BUDGET, ROWS = 1_024, 64
"""Padded tokens and texts in a batch: those of actors/texts/encoder.py on a CPU."""

IMAGES = 32
"""Images in a batch: those of benchmarks/stages.py."""


def run(task: Task) -> None:
    torch.set_num_threads(THREADS)
    (run_texts if task.kind == "text" else run_images)(task)


def run_texts(task: Task) -> None:
    model = hf.AutoModelForSequenceClassification.from_pretrained(task.model).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(task.model)
    table = pq.read_table(task.corpus)
    ids = tokenizer(table["text"].to_pylist(), truncation=True)["input_ids"]
    order = sorted(range(len(ids)), key=lambda n: -len(ids[n]))
    scores = np.empty((len(ids), model.config.num_labels), np.float32)
    meter = Meter(task.out)
    for batch in batches(order, ids):
        inputs = tokenizer.pad({"input_ids": [ids[n] for n in batch]}, return_tensors="pt")
        with meter.measure(), torch.inference_mode():
            logits = model(**inputs).logits
        scores[batch] = logits.softmax(-1).numpy()
    write(task, table["id"].to_pylist(), scores, model)


def batches(order: list[int], ids: list[list[int]]) -> Iterator[list[int]]:
    """Cut sorted rows, the longest first, into batches of at most BUDGET padded tokens."""
    start = 0
    while start < len(order):
        size = max(1, min(ROWS, BUDGET // len(ids[order[start]])))
        yield order[start : start + size]
        start += size


def run_images(task: Task) -> None:
    model = hf.AutoModelForImageClassification.from_pretrained(task.model).eval()
    paths = sorted(task.corpus.iterdir())
    meter, parts = Meter(task.out), []
    for start in range(0, len(paths), IMAGES):
        pixels = np.stack([pixels_of(path) for path in paths[start : start + IMAGES]])
        with meter.measure(), torch.inference_mode():
            inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            logits = model(pixel_values=inputs).logits
        parts.append(logits.softmax(-1).numpy())
    write(task, [path.name for path in paths], np.concatenate(parts), model)


def pixels_of(path: Any, side: int = 224) -> np.ndarray:
    """Decode at the smallest of JPEG's scales that has `side` pixels; (side, side, 3), uint8."""
    image = Image.open(path)
    image.draft("RGB", (side, side))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def write(task: Task, keys: list[Any], scores: np.ndarray, model: Any) -> None:
    found = pa.Table.from_pylist(answers(scores, model.config.id2label))
    pq.write_table(found.append_column("id", pa.array(keys)), task.out / "part.parquet")


if __name__ == "__main__":
    main(run)
