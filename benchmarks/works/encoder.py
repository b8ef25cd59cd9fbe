"""text-classification by a BERT of MiniLM-L6's size."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from benchmarks.contenders.bare import batches
from benchmarks.corpus import texts
from benchmarks.models import make_text_model

ALIKE = 0.98
LIKE_PIPELINE = True
COUNT = 400
STAGE = ("text-classification", {})


def make(folder: Path) -> None:
    make_text_model(folder, texts(20_000, seed=1))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts(count)]


def answer_of(answer: dict[str, Any]) -> Any:
    return answer["label"], round(answer["score"], 3)


def bare(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer([row["text"] for row in given], truncation=True)["input_ids"]
    found: list[Any] = [None] * len(ids)
    for batch in batches(sorted(range(len(ids)), key=lambda n: -len(ids[n])), ids):
        inputs = tokenizer.pad({"input_ids": [ids[n] for n in batch]}, return_tensors="pt")
        with torch.inference_mode():
            scores = model(**inputs).logits.softmax(-1)
        for n, row in zip(batch, scores, strict=True):
            found[n] = (model.config.id2label[int(row.argmax())], round(float(row.max()), 3))
    return found


def pipeline(folder: Path, given: list[dict[str, Any]], batch: int) -> list[Any]:
    pipe = hf.pipeline("text-classification", str(folder))
    answers = pipe([row["text"] for row in given], batch_size=batch, truncation=True)
    return [(answer["label"], round(answer["score"], 3)) for answer in answers]
