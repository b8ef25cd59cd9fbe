"""How right the text tasks are with the embedded MiniLM, on real labelled texts.

The texts come with gensim's tests (read out of its wheel): 50 news documents whose likeness people
judged (Lee, Pincombe and Welsh 2005), 299 more of the same source, and 200 sentences of film
reviews, half of them favourable (Pang and Lee 2005). The 20 sentences of TOPICS were written here.
Prints one line a figure: name, value, what on.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_text
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from actors.models.embedded import prepare
from actors.models.wheel import Wheel
from actors.nlp.text_embedding import TextEmbedding
from actors.nlp.text_ranking import TextRanking
from actors.nlp.text_similarity import TextSimilarity
from actors.nlp.zero_shot_classification import ZeroShotClassification
from actors.stage import ModelFiles, Row, Stage
from actors.texts.sentences import sentence_spans
from actors.worker import Worker
from benchmarks.carried import carried

GENSIM = Wheel(
    package="gensim",
    version="4.4.0",
    sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    licence="LGPL-2.1",
    megabytes=27,
    target=(
        *("--implementation", "cp", "--python-version", "3.11"),
        *("--platform", "manylinux_2_28_x86_64"),
    ),
)
INSIDE = "gensim/test/test_data"

TOPICS = {
    "sport": [
        "The striker scored twice before the break and the fans sang until midnight.",
        "She won the marathon in record time despite the heat.",
        "The coach blamed the referee for the red card.",
        "Their goalkeeper saved a penalty in the last minute.",
        "He was knocked out in the second round of the tennis tournament.",
    ],
    "politics": [
        "Parliament voted against the new tax bill on Tuesday.",
        "The minister resigned after the election was lost.",
        "Voters in three states will choose a new governor.",
        "The president vetoed the law, and the opposition protested.",
        "A coalition of two parties formed the government.",
    ],
    "science": [
        "Astronomers found water vapour on a distant planet.",
        "The experiment shows that the particle decays faster than theory predicts.",
        "Researchers sequenced the genome of an ancient fish.",
        "A new telescope will map dark matter.",
        "Biologists discovered how the enzyme folds.",
    ],
    "food": [
        "Simmer the onions in butter until they are golden.",
        "The restaurant serves the best noodles in town.",
        "Add a pinch of salt and bake the bread for forty minutes.",
        "His chocolate cake won over every guest.",
        "The soup needs more garlic and less pepper.",
    ],
}


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    on: str


def answers(stage: Stage, files: ModelFiles, rows: list[Row]) -> list[Any]:
    return list(Worker(stage, files).answer(rows))


def lines(path: Path) -> list[str]:
    return path.read_text("latin-1").splitlines()


def vectors(files: ModelFiles, texts: list[str]) -> np.ndarray:
    found = answers(TextEmbedding(), files, [{"text": text} for text in texts])
    return np.stack([answer["embedding"] for answer in found])


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value; equal ones share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def similarity(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """Against what people said of each two of 50 documents."""
    texts = lines(data / "lee.cor")
    people = np.loadtxt(data / "similarities0-1.txt")
    pairs = list(zip(*np.triu_indices(len(texts), 1), strict=True))
    rows: list[Row] = [{"text": texts[a], "other_text": texts[b]} for a, b in pairs]
    found = np.array([a["similarity"] for a in answers(TextSimilarity(), files, rows)])
    judged = np.array([people[a, b] for a, b in pairs])
    on = f"{len(pairs):,} pairs of {len(texts)} news documents, mean of people's judgements"
    yield Figure("text-similarity: Pearson", correlation(found, judged), on)
    yield Figure("text-similarity: Spearman", correlation(ranks(found), ranks(judged)), on)


def retrieval(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """A document's first sentence as the query, what is left of all documents to find it in."""
    texts = [text for text in lines(data / "lee_background.cor") if len(sentence_spans(text)) > 1]
    ends = [sentence_spans(text)[0][1] for text in texts]
    queries = vectors(files, [text[:end] for text, end in zip(texts, ends, strict=True)])
    left = vectors(files, [text[end:] for text, end in zip(texts, ends, strict=True)])
    scores = queries @ left.T
    place = (scores > scores.diagonal()[:, None]).sum(axis=1)
    on = f"first sentence -> the rest of its document, among {len(texts)} news documents"
    yield Figure("text-embedding: found first", float((place == 0).mean()), on)
    yield Figure("text-embedding: mean reciprocal rank", float((1 / (place + 1)).mean()), on)


def ranking(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """The same through text-ranking, among ten."""
    texts = [text for text in lines(data / "lee.cor") if len(sentence_spans(text)) > 1][:40]
    ends = [sentence_spans(text)[0][1] for text in texts]
    left = [text[end:] for text, end in zip(texts, ends, strict=True)]
    rows: list[Row] = [
        {"query": text[:end], "documents": left[n - n % 10 : n - n % 10 + 10]}
        for n, (text, end) in enumerate(zip(texts, ends, strict=True))
    ]
    found = answers(TextRanking(top_k=1), files, rows)
    right = [answer["ranking"][0]["index"] == n % 10 for n, answer in enumerate(found)]
    on = f"first sentence -> the rest of its document, among ten news documents, {len(rows)} times"
    yield Figure("text-ranking: found first", float(np.mean(right)), on)


def topics(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """Labels as they are, and in the sentence that models of inference get."""
    rows: list[Row] = [{"text": line} for found in TOPICS.values() for line in found]
    wanted = [topic for topic, found in TOPICS.items() for _ in found]
    for template in ("{}", "This example is {}.", "This text is about {}."):
        stage = ZeroShotClassification(labels=tuple(TOPICS), hypothesis_template=template)
        found = [answer["label"] for answer in answers(stage, files, rows)]
        on = f"{len(rows)} sentences on {', '.join(TOPICS)}; template '{template}'"
        yield Figure("zero-shot-classification: accuracy", _accuracy(found, wanted), on)


def _accuracy(found: list[str], wanted: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(found, wanted, strict=True)]))


def reviews(data: Path) -> tuple[list[str], list[str]]:
    """Sentences, and whether each is "pos" or "neg"."""
    found = [line.partition(" ") for line in lines(data / "pang_lee_polarity.cor")]
    return [text for _, _, text in found], [mark.removeprefix("__label__") for mark, _, _ in found]


def sentiment_zero_shot(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """Labels that say what the sentences are."""
    texts, wanted = reviews(data)
    names = {"a bad film": "neg", "a good film": "pos"}
    stage = ZeroShotClassification(labels=tuple(names))
    found = answers(stage, files, [{"text": text} for text in texts])
    marks = [names[answer["label"]] for answer in found]
    on = f"{len(texts)} sentences of film reviews; labels {', '.join(names)}"
    yield Figure("zero-shot-classification: sentiment accuracy", _accuracy(marks, wanted), on)


def sentiment_trained(files: ModelFiles, data: Path) -> Iterator[Figure]:
    """A logistic regression on the vectors, fitted on each half and asked about the other."""
    texts, wanted = reviews(data)
    found, marks = vectors(files, texts), np.array(wanted)
    half = np.arange(len(texts)) % 2 == 0
    right = [
        LogisticRegression().fit(found[fit], marks[fit]).predict(found[~fit]) == marks[~fit]
        for fit in (half, ~half)
    ]
    on = f"{len(texts)} sentences of film reviews, a regression on the vectors of the other half"
    yield Figure("text-embedding: sentiment accuracy", float(np.concatenate(right).mean()), on)


FIGURES: tuple[Callable[[ModelFiles, Path], Iterator[Figure]], ...] = (
    *(similarity, retrieval, ranking, topics),
    *(sentiment_zero_shot, sentiment_trained),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    parser.add_argument("--data", type=Path, default=Path(".cache/data"))
    given = parser.parse_args()
    files = ModelFiles(prepare("all-minilm-l6-v2", given.cache))
    data = carried(GENSIM, INSIDE, given.data)
    for measure in FIGURES:
        for figure in measure(files, data):
            print(f"{figure.name:46} {figure.value:6.3f}  {figure.on}", flush=True)


if __name__ == "__main__":
    main()
