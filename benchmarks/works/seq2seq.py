"""summarization by a T5 of t5-small's size; transformers 5 has no pipeline for it."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from benchmarks.corpus import texts
from benchmarks.models import make_writer

ALIKE = 0.98
LIKE_PIPELINE = True
COUNT = 60
NEW_TOKENS = 24
"""Tokens of each summary: a random model does not stop by itself, so all are as long."""

STAGE = ("summarization", {"max_new_tokens": NEW_TOKENS, "num_beams": 1})
BUDGET, ROWS = 8_192, 32
"""Padded tokens and texts in a batch: those of actors/writing/generation.py on a CPU."""


def make(folder: Path) -> None:
    make_writer(folder, texts(20_000, seed=1))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts(count)]


def answer_of(answer: dict[str, Any]) -> Any:
    return answer["summary"]


def bare(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    model = hf.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    read = ["summarize: " + row["text"] for row in given]
    ids = tokenizer(read, truncation=True, max_length=512)["input_ids"]
    order = sorted(range(len(ids)), key=lambda n: -len(ids[n]))
    found: list[Any] = [None] * len(ids)
    while order:
        size = max(1, min(ROWS, BUDGET // len(ids[order[0]])))
        batch, order = order[:size], order[size:]
        inputs = tokenizer.pad({"input_ids": [ids[n] for n in batch]}, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, num_beams=1, do_sample=False
            )
        said = tokenizer.batch_decode(written, skip_special_tokens=True)
        for n, text in zip(batch, said, strict=True):
            found[n] = text.strip()
    return found


pipeline = None
