"""Every recipe runs on a real Ray as its file says, but for where models lie and pools' sizes."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import transformers as hf

from actors import sound
from actors.audio.text_to_speech import TextToSpeech
from actors.errors import UsageError
from actors.models.embedded import prepare as prepared
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from jobs.training.train import load, train
from tests.recipes import RECIPES, answers, go, listed
from tests.tiny import pairs, text, translating
from tests.tiny.voices import RATE, wav
from tests.world import World

pytestmark = pytest.mark.ray

EARS = "embedded:whisper-tiny.en"  # half as large as the default
Build = Callable[..., ModelFiles]


TIMES = "start: float, end: float"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


# recordings ---------------------------------------------------------------------------------

CALL = [
    "Good morning, this is Acme support. How can I help you?",
    "My name is Maria Jansen. The lamp I ordered arrived broken.",
    "I am sorry to hear that. We will send a new lamp to you today.",
    "Thank you very much. That is wonderful.",
]
HIGHER = 1.15  # as fast again: enough for another voice
PAUSE = np.zeros(RATE // 2, np.float32)


@pytest.fixture(scope="module")
def lines(cache: Path) -> list[sound.Samples]:
    """Each line of the call, and a wake word, spoken by the embedded voice."""
    voice = Worker(TextToSpeech(), ModelFiles(prepared("piper-joe-medium", cache)))
    spoken = voice.answer([{"text": line} for line in [*CALL, "Alexa, good morning."]])
    return [sound.decode(row["audio"], RATE)[0] for row in spoken]


def higher(samples: sound.Samples) -> sound.Samples:
    """The same words by a higher voice."""
    return sound.decode(wav(samples, round(HIGHER * RATE)), RATE)[0]


@pytest.mark.embedded
def test_a_call_comes_out_as_who_said_what(
    world: World, cache: Path, lines: list[sound.Samples]
) -> None:
    (world.path / "calls").mkdir()
    parts = [
        part
        for n, said in enumerate(lines[:4])
        for part in (higher(said) if n % 2 else said, PAUSE)
    ]
    call = wav(np.concatenate(parts))
    (world.path / "calls/a.wav").write_bytes(call)
    (world.path / "calls/cut.wav").write_bytes(call[:100_000])
    outcome = go(world, cache, "call-centre", {1: EARS})
    columns, (row,) = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 1, 1)
    assert world.rejects("stage", "reason") == {("cut.wav", 0): ("source", "truncated_audio")}
    assert columns == {
        "_source": "string",
        "_row": "int64",
        "path": "string",
        "audio_seconds": "double",
        "n_speakers": "int32",
        "language": "string",
        "text": "string",
        "transcript": "string",
        "utterances": listed(f"speaker: string, {TIMES}, text: string"),
        "entities": listed("text: string, label: string, score: float, start: int32, end: int32"),
        "mood": "string",
        "mood_score": "float",
        "mood_truncated": "bool",
        "summary": "string",
    }
    assert None not in row.values()
    assert row["n_speakers"] == 2
    assert [words_of(line) for line in row["transcript"].splitlines()] == [
        words_of(f"SPEAKER_{n % 2 + 1}: {said}") for n, said in enumerate(CALL)
    ]
    assert ("Maria Jansen", "PERSON") in [(e["text"], e["label"]) for e in row["entities"]]
    assert row["mood"] in ("positive", "neutral", "negative")
    assert row["summary"] and row["summary"] != row["text"]


def words_of(text: str) -> list[str]:
    """Its words alone: a recogniser chooses its own marks, and hears Acme as it likes."""
    return re.findall(r"[a-z_0-9]+", re.sub(r"ac\wes?", "acme", text.lower()))


@pytest.mark.embedded
def test_a_speech_corpus_comes_out_with_words_wake_words_and_voices(
    world: World, cache: Path, lines: list[sound.Samples]
) -> None:
    folder = world.path / "recordings"
    folder.mkdir()
    files = {
        "a.wav": wav(np.concatenate([PAUSE, lines[4], PAUSE])),
        "b.wav": wav(lines[2]),
        "c.wav": wav(higher(lines[3])),
        "no.mp3": b"not a recording",
        "silence.wav": wav(np.zeros(RATE, np.float32)),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    outcome = go(world, cache, "speech-corpus", {1: EARS})
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 3, 2)
    assert world.rejects("stage", "reason") == {
        ("no.mp3", 0): ("source", "unreadable_audio"),
        ("silence.wav", 0): ("speaker-embedding", "no_speech"),
    }
    assert columns == {
        "_source": "string",
        "_row": "int64",
        "path": "string",
        "audio_seconds": "double",
        "speech": listed(TIMES),
        "speech_ratio": "float",
        "language": "string",
        "text": "string",
        "segments": listed(f"{TIMES}, text: string"),
        "keyword": "string",
        "keywords": listed(f"keyword: string, score: float, {TIMES}"),
        "voice": "list<element: float>",
    }
    assert [row["keyword"] for row in rows] == ["alexa", None, None]
    assert [words_of(row["text"]) for row in rows] == [
        words_of(said) for said in ("Alexa, good morning.", CALL[2], CALL[3])
    ]
    assert 0.4 < rows[0]["speech"][0]["start"] < 0.7 and rows[0]["segments"]
    same, other = (float(np.dot(rows[1]["voice"], rows[n]["voice"])) for n in (0, 2))
    assert other < same < 1


# reviews ------------------------------------------------------------------------------------

REVIEWS = [
    "Der Film war wunderbar und das Spiel auch.",
    "the battery died after two days and support was useless .",
    "  ",
    "Le colis est arrivé en retard. Deux fois!",
    None,
]


def language_detector(folder: Path) -> Path:
    """Its labels are those of the recipe's model."""
    model = hf.BertForSequenceClassification(text.bert_config(**text.labelled(["de", "en", "fr"])))
    return text.save(folder, model, text.bert_tokenizer())


def test_reviews_are_translated_from_the_language_that_was_found(
    world: World, tiny: Build, cache: Path
) -> None:
    lines = [json.dumps({"text": line}) + "\n" for line in REVIEWS]
    (world.path / "reviews.jsonl").write_text("".join(lines))
    builders = [language_detector, translating.m2m100, text.bert_classifier, pairs.bert_pairs]
    models = {number: tiny(build).folder for number, build in enumerate(builders)}
    outcome = go(world, cache, "reviews", models)
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 3, 2)
    assert world.rejects("stage", "reason") == {
        ("reviews.jsonl", 2): ("text-classification", "empty_text"),
        ("reviews.jsonl", 4): ("text-classification", "null_input"),
    }
    assert columns == {
        "_source": "string",
        "_row": "int64",
        "text": "string",
        "language": "string",
        "translation": "string",
        "translation_truncated": "bool",
        "sentiment": "string",
        "sentiment_score": "float",
        "tags": listed("label: string, score: float"),
    }
    assert [row["text"] for row in rows] == [REVIEWS[n] for n in (0, 1, 3)]
    for row in rows:
        stays = row["language"] == "en"
        assert row["language"] in ("de", "en", "fr")
        assert (row["translation"] == row["text"]) == stays
        assert None not in row.values()
        assert {tag["label"] for tag in row["tags"]} == {"price", "quality", "delivery", "service"}


# tables -------------------------------------------------------------------------------------

PLANS = ("basic", "plus", "pro")


def customers(count: int, seed: int) -> list[Row]:
    """Customers whose leaving follows from plan and months, with gaps."""
    dice = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        plan, months = PLANS[dice.integers(3)], int(dice.integers(1, 60))
        rows.append(
            {
                "customer": f"c{number:03}",
                "age": "" if number % 9 == 0 else int(dice.integers(18, 80)),
                "plan": plan,
                "months": months,
                "spent": round(float(dice.uniform(10, 900)), 2),
                "churned": "yes" if months < 24 and plan != "pro" else "no",
            }
        )
    return rows


COMMENTS = [
    "The parcel came two weeks late.",
    "Far too expensive for what it is.",
    "",
    "The waiter was rude to us.",
    "It broke after two days.",
]


@pytest.mark.embedded
def test_a_table_is_enriched_by_the_model_that_its_training_made(world: World, cache: Path) -> None:
    write_csv(world.path / "past-customers.csv", customers(200, seed=0))
    file = world.path / "table-training.yaml"
    file.write_text((RECIPES / file.name).read_text())
    report = train(load(file, ["threads=1"]), file, cache)
    new = customers(len(COMMENTS), seed=1)
    truth = [row.pop("churned") for row in new]
    write_csv(
        world.path / "customers.csv",
        [{**row, "comment": said} for row, said in zip(new, COMMENTS, strict=True)],
    )
    with pytest.raises(UsageError, match="train table-training"):
        go(world, cache, "table-training")
    with pytest.raises(UsageError, match="run table-enrichment"):
        load(RECIPES / "table-enrichment.yaml")
    outcome = go(world, cache, "table-enrichment")
    columns, rows = answers(world)
    assert report["metrics"]["accuracy"] > 0.9 > report["baseline"]["accuracy"]
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 4, 1)
    assert world.rejects() == {("customers.csv", 2): "empty_text"}
    assert columns == {
        "_source": "string",
        "_row": "int64",
        "customer": "string",
        "comment": "string",
        "topic": "string",
        "topic_score": "float",
        "comment_vector": "list<element: float>",
        "churned": "string",
        "churned_score": "float",
        "unseen": "list<element: string>",
    }
    assert [row["customer"] for row in rows] == ["c000", "c001", "c003", "c004"]
    assert [row["topic"] for row in rows] == ["delivery", "price", "service", "quality"]
    assert [row["churned"] for row in rows] == [truth[n] for n in (0, 1, 3, 4)]
    assert all(len(row["comment_vector"]) == 384 for row in rows)
    assert all(row["unseen"] == [] and 0.5 < row["churned_score"] <= 1 for row in rows)
