"""`gristmill demo`: pages that it makes itself, read and annotated, and how right that was."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from actors.errors import UsageError
from actors.models.embedded import prepare_all
from jobs.demo.documents import Document, make_documents
from jobs.outcome import Options
from jobs.prepare import prepare
from jobs.progress import Progress, print_summary
from jobs.quality import character_error_rate, entity_f1
from jobs.run import run
from pipelines.file import load

MODELS = (
    "pp-ocrv6-small-det",
    "pp-ocrv6-small-rec",
    "en-core-web-sm",
    "all-minilm-l6-v2",
)
RECIPE = "documents.yaml"


def demo(folder: Path, cache: Path) -> dict[str, Any]:
    """Make documents in `folder`, run OCR -> NER -> summarization on them, and measure it.

    Raises UsageError for a folder that holds something else.
    """
    _check_folder(folder)
    _say(f"making documents in {folder / 'documents'}")
    documents = make_documents(folder / "documents")
    shutil.copyfile(str(files("pipelines") / "recipes" / RECIPE), folder / RECIPE)
    prepare_all(MODELS, cache, _say)
    prepared = prepare(load(folder / RECIPE), RECIPE, folder.resolve(), cache)
    _say("running ocr -> ner -> summarization")
    with Progress() as progress:
        outcome = run(prepared, Options(), progress, progress.say)
    print_summary(outcome)
    result = measure(documents, folder / "out" / "documents")
    _print(result, folder)
    return result | {"output": outcome.output, "rows": outcome.rows, "rejected": outcome.rejected}


def measure(documents: list[Document], output: Path) -> dict[str, Any]:
    """Character error rate of clean and degraded pages, and F1 of the entities, 0..1."""
    table = ds.dataset(output / "data").to_table(columns=["_source", "text", "entities", "summary"])
    rows = {row["_source"]: row for row in table.to_pylist()}
    pages = [(doc, rows[doc.file]) for doc in documents if doc.file in rows]
    rates = {
        degraded: [
            character_error_rate(doc.text, row["text"])
            for doc, row in pages
            if doc.degraded == degraded
        ]
        for degraded in (False, True)
    }
    found = [[(e["text"], e["label"]) for e in row["entities"]] for _, row in pages]
    scores = [entity_f1(doc.entities, names) for (doc, _), names in zip(pages, found, strict=True)]
    return {
        "pages": len(pages),
        "character error rate, clean": _mean(rates[False]),
        "character error rate, degraded": _mean(rates[True]),
        "worst character error rate": max(rates[False] + rates[True], default=None),
        "entity F1": _mean(scores),
        "example summary": pages[0][1]["summary"] if pages else None,
    }


def _check_folder(folder: Path) -> None:
    """Write only where nothing is, or where a demo was."""
    if folder.exists() and any(folder.iterdir()) and not (folder / RECIPE).exists():
        raise UsageError(
            f"{folder} holds other files, and the demo writes only into a folder of its own.\n"
            "  name another one:  gristmill demo NEW_FOLDER"
        )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(result: dict[str, Any], folder: Path) -> None:
    """How right it was, and what to do next."""
    command = "gristmill" if shutil.which("gristmill") else sys.argv[0]
    clean, degraded = (result[f"character error rate, {k}"] for k in ("clean", "degraded"))
    worst = result["worst character error rate"]
    _say(
        f"\nhow right it was, against the exact text of {result['pages']} pages\n"
        f"  character error rate  {clean:.2%} on clean pages, {degraded:.2%} on bad scans "
        f"(worst page {worst:.2%})\n"
        f"  entity F1             {result['entity F1']:.2f}\n"
        f"\nan example, the summary of the first page\n  {result['example summary']}"
        f"\n\nwhere to look\n"
        f"  {folder}/documents/            the pages, and truth.jsonl with what they say\n"
        f"  {folder}/{RECIPE}        the pipeline that ran\n"
        f"  {folder}/out/documents/data/   the result, Parquet\n"
        f"\nwhat next\n"
        f"  {command} show {folder}/out/documents\n"
        f"  {command} run {folder}/{RECIPE}        answers only what is new: nothing, now\n"
        f"  put your own pictures into {folder}/documents/ and run it again\n"
        f"  {command} tasks                  what else there is"
    )
