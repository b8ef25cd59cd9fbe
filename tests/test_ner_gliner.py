"""ner by a GLiNER model: any labels, equal to the package gliner, in windows for long texts."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.errors import StageFailed
from actors.models.reference import config_of, resolve
from actors.nlp.ner import Ner
from actors.stage import Device, ModelFiles, Row
from actors.texts.gliner import Found, without_overlap
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import parsing
from tests.tiny.text import LINES

Build = Callable[..., ModelFiles]
LABELS = ("person", "place of birth", "machine")
TEXTS = [*LINES, "", " \n ", "\0", "😀 Zoë שלום 🇫🇷", "\u202eabc", "x" * 3000, parsing.LONG]
KINDS: list[dict[str, Any]] = [
    {},
    {"span_mode": "markerV1"},
    {"num_rnn_layers": 0},
    {"hidden_size": 32},
    {"embed_ent_token": False},
]


def find(files: ModelFiles, *texts: str, **options: Any) -> list[list[Row]]:
    stage = Ner(**{"labels": LABELS, "threshold": 0.3, **options})
    answers: list[Any] = Worker(stage, files).answer([{"text": one} for one in texts])
    return [answer["entities"] for answer in answers]


@pytest.mark.parametrize("settings", KINDS)
def test_entities_equal_the_packages_own(settings: dict[str, Any], tiny: Build) -> None:
    gliner = pytest.importorskip("gliner", reason="the package gliner is not installed")
    files = tiny(parsing.gliner, **settings)
    plain = gliner.GLiNER.from_pretrained(str(files.folder), local_files_only=True).eval()
    expected = [plain.predict_entities(line, LABELS, threshold=0.3) for line in LINES]
    fields = ("text", "label", "score", "start", "end")
    kept = [[{field: e[field] for field in fields} for e in found] for found in expected]
    assert_close(find(files, *LINES), kept, 1e-5)


def test_a_model_saved_by_the_package_opens(tiny: Build, tmp_path: Path) -> None:
    gliner = pytest.importorskip("gliner", reason="the package gliner is not installed")
    files = tiny(parsing.gliner)
    plain = gliner.GLiNER.from_pretrained(str(files.folder), local_files_only=True)
    plain.save_pretrained(tmp_path, safe_serialization=True)
    assert resolve(str(tmp_path), None, Path()).source == "local"
    assert find(ModelFiles(tmp_path), *LINES) == find(files, *LINES)


@pytest.mark.parametrize("settings", KINDS)
def test_a_batch_is_answered_as_each_text_alone(settings: dict[str, Any], tiny: Build) -> None:
    files = tiny(parsing.gliner, **settings)
    alone = [find(files, text)[0] for text in TEXTS]
    assert sum(map(len, alone)) > 5
    assert_close(find(files, *TEXTS), alone, 1e-5)
    assert_close(find(files, *TEXTS[::-1]), alone[::-1], 1e-5)


def test_entities_stand_where_they_say_over_broken_lines(tiny: Build) -> None:
    text = parsing.LONG.replace(" in ", "\nin ").replace("wonderful", "won-\nderful")
    (found,) = find(tiny(parsing.gliner), text, threshold=0.0)
    assert [e["text"] for e in found] == [text[e["start"] : e["end"]] for e in found]
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found))
    assert {e["label"] for e in found} <= set(LABELS)
    assert len(found) > 10


def test_windows_own_every_word_once_and_read_it_in_context(tiny: Build) -> None:
    folder = tiny(parsing.gliner).folder
    model: Any = Ner(labels=LABELS, overlap=20).load(ModelFiles(folder), Device())
    for words in (1, 70, 81, 200, 500):
        text = "good " * words
        windows = model.finder.windows(text)
        owned = [w.note.spans[n][0] for w in windows for n in w.note.own]
        assert owned == list(range(0, 5 * words, 5))
        assert max(len(w.note.spans) for w in windows) <= 80
        assert all(len(w.ids) <= 128 for w in windows)
        inner = [w.note.own.start for w in windows[1:]]
        assert all(start == 10 for start in inner)


def test_a_megabyte_is_read_to_its_end(tiny: Build) -> None:
    finder = Ner(labels=LABELS).load(tiny(parsing.gliner), Device()).finder  # type: ignore[attr-defined]
    windows = finder.windows("good film " * 100_000)
    assert windows[-1].note.spans[-1] == (999_995, 999_999)


def test_of_entities_that_overlap_the_surest_is_kept() -> None:
    a, b, c = Found(0, 4, 0, 0.6), Found(3, 9, 1, 0.9), Found(9, 12, 0, 0.5)
    assert without_overlap([a, b, c, Found(3, 9, 0, 0.7)]) == [b, c]


def test_a_model_without_labels_to_find_is_refused_at_plan(tiny: Build, tmp_path: Path) -> None:
    config = config_of(resolve(str(tiny(parsing.gliner).folder), None, tmp_path), tmp_path)
    assert config is not None
    assert Ner(labels=LABELS).check(config) is None
    assert "options: {labels: [person, medicine]}" in str(Ner().check(config))
    for change in ({"span_mode": "token_level"}, {"fuse_layers": True}, {"encoder_config": None}):
        assert Ner(labels=LABELS).check({**config, **change}) is not None


def test_more_labels_than_the_model_reads_stop_the_stage(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="of the 128 tokens that the model reads at once"):
        find(tiny(parsing.gliner), "a", labels=("good " * 30, "film " * 70))


def test_weights_of_another_size_stop_the_stage(tiny: Build, tmp_path: Path) -> None:
    for path in tiny(parsing.gliner).folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "gliner_config.json").read_text())
    config["hidden_size"] = 16
    (tmp_path / "gliner_config.json").write_text(json.dumps(config))
    with pytest.raises(StageFailed, match="do not fit the configuration"):
        find(ModelFiles(tmp_path), "a")
