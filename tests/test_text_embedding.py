"""text-embedding equals transformers, called the plain way and through its pipeline."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf

from actors.errors import StageFailed
from actors.nlp.text_embedding import TextEmbedding
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from tests.tiny import text

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"text": line} for line in text.LINES]


def embed(files: ModelFiles, **options: Any) -> np.ndarray:
    answers: list[Any] = Worker(TextEmbedding(**options), files).answer(ROWS)
    return np.stack([answer["embedding"] for answer in answers])


def token_vectors(files: ModelFiles) -> list[np.ndarray]:
    pipeline = hf.pipeline("feature-extraction", model=str(files.folder), device="cpu")
    return [np.array(found[0]) for found in pipeline(text.LINES)]


@pytest.mark.parametrize("build", [text.bert_encoder, text.roberta_encoder])
def test_a_vector_is_the_mean_or_the_first_of_the_pipelines(build: Any, tiny: Build) -> None:
    files = tiny(build)
    tokens = token_vectors(files)
    means = np.stack([found.mean(axis=0) for found in tokens])
    assert np.abs(embed(files, normalize=False) - means).max() < 1e-5
    firsts = np.stack([found[0] for found in tokens])
    assert np.abs(embed(files, normalize=False, pooling="cls") - firsts).max() < 1e-5


def test_vectors_have_length_1_unless_told_otherwise(tiny: Build) -> None:
    files = tiny(text.bert_encoder)
    plain = embed(files, normalize=False)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.1
    assert np.abs(embed(files) - plain / lengths).max() < 1e-6


def sentence_model(folder: Path, source: Path, mode: str) -> ModelFiles:
    shutil.copytree(source, folder)
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, mode: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    return ModelFiles(folder)


def test_pooling_and_length_are_those_that_the_model_states(tiny: Build, tmp_path: Path) -> None:
    plain = tiny(text.bert_encoder)
    files = sentence_model(tmp_path / "model", plain.folder, "pooling_mode_cls_token")
    assert np.abs(embed(files) - embed(plain, pooling="cls", max_length=8)).max() < 1e-6


def test_a_pooling_that_is_not_known_is_refused_by_name(tiny: Build, tmp_path: Path) -> None:
    source = tiny(text.bert_encoder).folder
    files = sentence_model(tmp_path / "model", source, "pooling_mode_lasttoken")
    with pytest.raises(StageFailed, match="lasttoken"):
        TextEmbedding().load(files, Device())
