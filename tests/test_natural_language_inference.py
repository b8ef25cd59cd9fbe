"""natural-language-inference equals transformers, called the plain way and through a pipeline."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from actors.nlp.natural_language_inference import NaturalLanguageInference
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import pairs

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"premise": a, "hypothesis": b} for a, b in pairs.PAIRED]
BUILDS = [pairs.bert_pairs, pairs.roberta_pairs, pairs.deberta_pairs, pairs.bart_pairs]


def infer(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(NaturalLanguageInference(**options), files).answer(rows)


@pytest.mark.parametrize("build", BUILDS)
def test_scores_equal_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    pipeline = hf.pipeline("text-classification", model=str(files.folder), device="cpu")
    asked = [{"text": row["premise"], "text_pair": row["hypothesis"]} for row in ROWS]
    expected = [pipeline(one, top_k=3, truncation=True) for one in asked]
    lower = [[{**one, "label": one["label"].lower()} for one in found] for found in expected]
    answers = infer(files, ROWS)
    assert_close([answer["scores"] for answer in answers], lower, 1e-5)
    entailed = [{o["label"]: o["score"] for o in found}["entailment"] for found in lower]
    assert_close([answer["p_entailment"] for answer in answers], entailed, 1e-5)
    best = [{"label": answer["label"], "score": answer["score"]} for answer in answers]
    assert_close(best, [found[0] for found in lower], 1e-5)


def test_premise_and_hypothesis_are_not_exchanged(tiny: Build) -> None:
    files = tiny(pairs.bert_pairs)
    turned = [{"premise": row["hypothesis"], "hypothesis": row["premise"]} for row in ROWS]
    both = zip(infer(files, ROWS), infer(files, turned), strict=True)
    assert max(abs(a["p_entailment"] - b["p_entailment"]) for a, b in both) > 0.01


def test_the_longer_text_is_cut_as_transformers_would_and_says_so(tiny: Build) -> None:
    files = tiny(pairs.bert_pairs)
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(files.folder)
    long = {"premise": "good film " * 100, "hypothesis": "the acting was superb ."}
    inputs = tokenizer(*long.values(), truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits.softmax(-1)[0, 1].item()
    (answer,) = infer(files, [long])
    assert answer["label_truncated"] is True
    assert abs(answer["p_entailment"] - expected) < 1e-5
    assert infer(files, [long], too_long="reject")[0].reason == "too_long"


@pytest.mark.parametrize("labels", [["positive", "negative"], ["entailment", "not_entailment"], []])
def test_a_model_without_the_three_labels_is_refused(labels: list[str]) -> None:
    names = {str(number): label for number, label in enumerate(labels)}
    config = {"architectures": ["BertForSequenceClassification"], "id2label": names}
    said = NaturalLanguageInference().check(config)
    assert said is not None and "needs a model with the labels entailment, neutral" in said
    assert said.endswith(", ".join(labels) or "none")


def test_a_megabyte_and_strange_characters_are_answered(tiny: Build) -> None:
    texts = ["good film " * 100_000, "\0", "😀👩‍👩‍👧", "שלום", "\u202eabc", "[SEP] [CLS]"]
    rows = [{"premise": text, "hypothesis": text} for text in texts]
    answers = infer(tiny(pairs.roberta_pairs), rows)
    assert [answer["label_truncated"] for answer in answers] == [True] + [False] * 5
