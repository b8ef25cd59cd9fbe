"""Tiny models that answer questions about pages, and pages as OCR leaves them."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny import reading
from tests.tiny.case import Case, Row
from tests.tiny.reading import PAGES
from tests.tiny.seeing import NO_PICTURES, encoded, photo
from tests.tiny.text import BERT_SIZE, LINES, bert_tokenizer, save, wordpieces


def layoutlm(folder: Path, **settings: Any) -> Path:
    config = hf.LayoutLMConfig(vocab_size=len(wordpieces()), **{**BERT_SIZE, **settings})
    return save(folder, hf.LayoutLMForQuestionAnswering(config), bert_tokenizer())


def donut(folder: Path) -> Path:
    """With the marks that Donut was trained with, one of them likely to be written."""
    reading.donut(folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    names = [f"<{end}s_{name}>" for name in ("question", "answer") for end in ("", "/")]
    tokenizer.add_tokens(["<s_docvqa>", *names])
    model = hf.VisionEncoderDecoderModel.from_pretrained(folder)
    model.decoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.decoder.vocab_size = len(tokenizer)
    return save(folder, model, tokenizer)


def lines_of(*texts: str) -> list[Row]:
    """Lines of a page of 320 x 224 pixels, one under the other."""
    return [
        {
            "text": text,
            "score": 0.9,
            "polygon": None,
            "box": [10.0, 20.0 * n, 10.0 + 3 * len(text), 20.0 * n + 14],
        }
        for n, text in enumerate(texts)
    ]


PICTURE = encoded(photo(320, 224))
PAGED: list[Row] = [
    {"image": PICTURE, "question": question, "lines": lines_of(*lines)}
    for question, lines in [
        ("what is good ?", LINES[:1]),
        ("who ?", LINES[:3]),
        ("where is the film ?", LINES[2:4]),
        ("what is it ?", LINES[:6]),
        ("why ?", []),
        ("who ?", LINES[4:6]),
        ("what ?", LINES[1:2]),
    ]
]
NO_PAGES: dict[str, Row] = {
    **{reason: {**PAGED[0], **row} for reason, row in NO_PICTURES.items()},
    "null_input": {**PAGED[0], "lines": None},
    "empty_text": {**PAGED[0], "question": " "},
    "too_long": {**PAGED[0], "question": "good " * 60},
    "no_places": {**PAGED[0], "lines": [{"text": "good", "box": None}]},
}
NO_PAGES.pop("image_too_narrow")

CASES: dict[str, Case] = {
    "document-question-answering": Case(layoutlm, PAGED, NO_PAGES, {"overlap": 8}),
}

ASKED_PAGES: list[Row] = [
    {"image": row["image"], "question": words}
    for row, words in zip(PAGES, ("who ?", "why ?", "what ?", "who ?"), strict=True)
]
