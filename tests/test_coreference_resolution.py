"""coreference-resolution equals the head's formula written out, in segments and in windows."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from actors.errors import StageFailed
from actors.nlp.coreference_resolution import CoreferenceResolution, joined
from actors.stage import Device, ModelFiles, Row
from actors.texts.coreference import Resolver
from actors.worker import Worker
from tests.tiny import parsing
from tests.tiny.text import LINES, bert_classifier

Build = Callable[..., ModelFiles]
Clusters = list[list[tuple[int, int]]]
STRANGE = ["\0", "a\0b", "😀👩‍👩‍👧 She 🇫🇷 it", "שלום עולם", "\u202eabc", "\ufeff", "x" * 500]


def resolve(files: ModelFiles, *texts: str, **options: Any) -> list[list[list[Row]]]:
    rows = [{"text": text} for text in texts]
    answers: list[Any] = Worker(CoreferenceResolution(**options), files).answer(rows)
    return [answer["clusters"] for answer in answers]


def written_out(folder: Path, ids: list[int]) -> Clusters:
    """The clusters of one document by the formula of the paper, over all pairs of its tokens."""
    encoder = hf.RobertaModel.from_pretrained(folder).eval()
    weights = load_file(folder / "model.safetensors")

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def features(name: str, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.gelu(linear(f"{name}.dense", x))
        norm = (weights[f"{name}.layer_norm.weight"], weights[f"{name}.layer_norm.bias"])
        return torch.nn.functional.layer_norm(x, x.shape[-1:], *norm, encoder.config.layer_norm_eps)

    def pairs(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return linear(f"{name}_classifier", x) @ y.T

    size = parsing.COREFERENCE["max_segment_len"]
    parts = [torch.tensor([ids[a : a + size]]) for a in range(0, len(ids), size)]
    with torch.no_grad():
        hidden = torch.cat([encoder(part).last_hidden_state[0] for part in parts])
    start, end = features("start_mention_mlp", hidden), features("end_mention_mlp", hidden)
    scores = pairs("mention_s2e", start, end) + linear("mention_start_classifier", start)
    scores = scores + linear("mention_end_classifier", end).T
    allowed = torch.ones_like(scores).triu().tril(parsing.COREFERENCE["max_span_length"] - 1)
    scores[allowed == 0] = -10_000
    best = scores.flatten().topk(int(len(ids) * parsing.COREFERENCE["top_lambda"])).indices
    spans = sorted(divmod(int(place), len(ids)) for place in best)
    first = features("start_coref_mlp", hidden)[[a for a, _ in spans]]
    last = features("end_coref_mlp", hidden)[[b for _, b in spans]]
    found = pairs("antecedent_s2s", first, first) + pairs("antecedent_e2e", last, last)
    found = found + pairs("antecedent_s2e", first, last) + pairs("antecedent_e2s", last, first)
    clusters: Clusters = []
    for number, span in enumerate(spans):
        worth = [float(found[number, n] + scores[spans[n]] + scores[span]) for n in range(number)]
        if worth and max(worth) > 0:
            antecedent = spans[worth.index(max(worth))]
            known = [cluster for cluster in clusters if antecedent in cluster]
            known[0].append(span) if known else clusters.append([antecedent, span])
    return clusters


def test_clusters_equal_the_formula_written_out(tiny: Build) -> None:
    folder = tiny(parsing.resolver).folder
    tokenizer = hf.AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    documents = [tokenizer(line).input_ids for line in [*LINES, parsing.LONG[:400]]]
    expected = [written_out(folder, ids) for ids in documents]
    arrays = [torch.tensor(ids).numpy() for ids in documents]
    found = Resolver(folder, Device()).clusters(arrays)
    assert [sorted(one) for one in found] == [sorted(one) for one in expected]
    assert sum(map(len, expected)) > 5


def test_mentions_are_words_where_they_stand_in_the_text_given(tiny: Build) -> None:
    text = "The quick fox jumped over Rotter-\ndam's  fences.\n\nShe didn't see it; the fox fell."
    (clusters,) = resolve(tiny(parsing.resolver), text)
    assert clusters
    for cluster in clusters:
        assert len(cluster) > 1
        assert [m["text"] for m in cluster] == [text[m["start"] : m["end"]] for m in cluster]
        assert cluster == sorted(cluster, key=lambda m: (m["start"], m["end"]))
    assert clusters == sorted(clusters, key=lambda c: [(m["start"], m["end"]) for m in c])


def test_strange_and_empty_texts_are_answered(tiny: Build) -> None:
    answers = resolve(tiny(parsing.resolver), *STRANGE, "", " \n\t ")
    assert [type(answer) for answer in answers[: len(STRANGE)]] == [list] * len(STRANGE)
    assert answers[-2:] == [[], []]


def test_clusters_that_share_a_mention_are_joined() -> None:
    a, b, c, d, e = [(n, n + 1) for n in range(5)]
    assert joined([[a, b], [d, e], [b, c], [c]]) == [[a, b, c], [d, e]]
    assert joined([[a]]) == []


def test_a_long_text_is_read_in_windows_to_its_end(tiny: Build) -> None:
    files, text = tiny(parsing.resolver), " ".join([parsing.LONG] * 40)
    (clusters,) = resolve(files, text, window=128, overlap=32)
    assert max(m["end"] for cluster in clusters for m in cluster) > len(text) - 200
    (whole,) = resolve(files, parsing.LONG[:300], window=4096)
    assert resolve(files, parsing.LONG[:300], window=512, overlap=64) == [whole]


def test_an_overlap_of_more_than_half_a_window_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most half the window"):
        CoreferenceResolution(window=100, overlap=60)


def test_a_pickle_is_converted_as_the_task_says(tiny: Build, tmp_path: Path) -> None:
    files = tiny(parsing.resolver)
    (tmp_path / "f-coref").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "f-coref" / name).write_bytes((files.folder / name).read_bytes())
    weights = load_file(files.folder / "model.safetensors")
    torch.save(weights, tmp_path / "f-coref" / "pytorch_model.bin")
    told = inspect.getdoc(CoreferenceResolution) or ""
    lines = [line.strip() for line in told.splitlines() if line.startswith("    ")]
    script = "\n".join(line for line in lines if "snapshot" not in line)
    exec(script.replace('"f-coref/', f'"{tmp_path}/f-coref/'), {})
    assert resolve(ModelFiles(tmp_path / "f-coref"), *LINES) == resolve(files, *LINES)


def test_checkpoints_of_another_kind_are_refused(tiny: Build, tmp_path: Path) -> None:
    config = json.loads((tiny(bert_classifier).folder / "config.json").read_text())
    assert "needs an F-coref model" in str(CoreferenceResolution().check(config))
    lingmess = {"architectures": ["LingMessModel"], "model_type": "longformer", "coref_head": {}}
    assert "LingMessModel (longformer)" in str(CoreferenceResolution().check(lingmess))
    source = tiny(parsing.resolver).folder
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "antecedent" not in name}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(StageFailed, match="no weights for antecedent_s2s_classifier"):
        resolve(ModelFiles(tmp_path), "a")
