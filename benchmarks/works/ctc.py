"""automatic-speech-recognition by a Wav2Vec2 with layer norm: a sixth of the base model's size."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from actors import sound
from benchmarks.models import make_ctc
from benchmarks.sounds import recordings

ALIKE = 0.98
LIKE_PIPELINE = False
COUNT = 60
STAGE = ("automatic-speech-recognition", {})
SECONDS = 5
"""Padded seconds in a batch: those of actors/listening/listener.py on a CPU."""


def make(folder: Path) -> None:
    make_ctc(folder)


def rows(count: int) -> list[dict[str, Any]]:
    return recordings(count, shortest=1.0, longest=15.0)


def answer_of(answer: dict[str, Any]) -> Any:
    return answer["text"]


def bare(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    model = hf.AutoModelForCTC.from_pretrained(folder).eval()
    processor = hf.AutoProcessor.from_pretrained(folder)
    heard = [sound.decode(row["audio"], 16_000)[0] for row in given]
    order = sorted(range(len(heard)), key=lambda n: -len(heard[n]))
    found: list[Any] = [None] * len(heard)
    while order:
        size = max(1, SECONDS * 16_000 // len(heard[order[0]]))
        batch, order = order[:size], order[size:]
        inputs = processor(
            [heard[n] for n in batch], sampling_rate=16_000, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            ids = model(**inputs).logits.argmax(-1).numpy()
        frames = model._get_feat_extract_output_lengths(inputs["attention_mask"].sum(-1))
        for n, row, length in zip(batch, ids, frames.tolist(), strict=True):
            found[n] = processor.decode(row[:length])
    return found


def pipeline(folder: Path, given: list[dict[str, Any]], batch: int) -> list[Any]:
    pipe = hf.pipeline("automatic-speech-recognition", str(folder))
    heard = [_raw(row) for row in given]
    return [answer["text"] for answer in pipe(heard, batch_size=batch)]


def _raw(row: dict[str, Any]) -> dict[str, Any]:
    samples: np.ndarray = sound.decode(row["audio"], 16_000)[0]
    return {"raw": samples, "sampling_rate": 16_000}
