"""keyword-spotting: windows equal the pipeline's, neighbours are one hit, wake words are heard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from actors import sound
from actors.audio.keyword_spotting import KeywordSpotting
from actors.listening.wake_words import HEARD, RATE, STEP, STRETCH, WakeWordListener, WakeWords
from actors.models.embedded import prepare
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import listen
from tests.tiny.voices import RECORDINGS, buzz, tone, wav

Build = Callable[..., ModelFiles]
SPOKEN = Path(__file__).parent / "recordings" / "hey_jarvis.flac"
"""0.9 s, made with espeak-ng: the word alone, no silence around it."""

TWO_WORDS = {"words": [{"word": w, "width": 8, "normed": True, "verifier": 4} for w in "ab"]}


def spot(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(KeywordSpotting(**options), files).answer(rows)


def stretch(end: float, *scores: float) -> Any:
    """A second of sound that ends there."""
    return (end - 1.0, end, np.array(scores, np.float32))


def test_every_window_s_scores_equal_the_pipeline(tiny: Build) -> None:
    files, samples = tiny(listen.commands), np.concatenate([buzz(1.2, 300), tone(1.1, 900)])
    pipeline = hf.pipeline("audio-classification", model=str(files.folder), device="cpu")
    starts = [0.0, 0.5, 1.0, 1.3]
    pieces = [samples[round(s * RATE) : round((s + 1) * RATE)] for s in starts]
    expected = [{s["label"]: s["score"] for s in pipeline(piece)} for piece in pieces]
    best = {label: max(one[label] for one in expected) for label in ("yes", "no", "stop")}
    (answer,) = spot(files, [{"audio": wav(samples)}], threshold=0)
    assert_close({k["keyword"]: k["score"] for k in answer["keywords"]}, best, 1e-5)
    assert {(k["start"], k["end"]) for k in answer["keywords"]} == {(0.0, 2.3)}
    label = max(best, key=lambda name: best[name])
    assert (answer["label"], answer["score"]) == (label, pytest.approx(best[label], abs=1e-5))


def test_neighbouring_windows_with_one_word_are_one_hit() -> None:
    scored = [stretch(1, 0.9, 0.1), stretch(1.5, 0.6, 0.3), stretch(2, 0.2, 0.7)]
    scored += [stretch(2.5, 0.1, 0.8), stretch(3.0, 0.95, 0.0)]
    found = KeywordSpotting().answer(["go", "stop"], scored, near=1.0)
    go, stop, again = found["keywords"]
    assert_close(go, {"keyword": "go", "score": 0.9, "start": 0.0, "end": 1.5}, 1e-6)
    assert_close(stop, {"keyword": "stop", "score": 0.8, "start": 1.0, "end": 2.5}, 1e-6)
    assert_close(again, {"keyword": "go", "score": 0.95, "start": 2.0, "end": 3.0}, 1e-6)
    assert (found["label"], found["score"]) == ("go", pytest.approx(0.95))


def test_ignored_labels_are_no_keywords_and_none_may_be_left(tiny: Build) -> None:
    scored = [stretch(1, 0.9, 0.1)]
    assert KeywordSpotting(ignore=["go"]).answer(["go", "stop"], scored, 1.0) == {
        "label": None,
        "score": None,
        "keywords": [],
    }
    found = spot(tiny(listen.commands), RECORDINGS, threshold=0, ignore=listen.COMMANDS[1:])
    assert {k["keyword"] for answer in found for k in answer["keywords"]} == {"yes"}


def test_a_shorter_recording_is_heard_as_it_is(tiny: Build) -> None:
    files = tiny(listen.commands)
    pipeline = hf.pipeline("audio-classification", model=str(files.folder), device="cpu")
    scores = {s["label"]: s["score"] for s in pipeline(buzz(0.6))}
    (answer,) = spot(files, [{"audio": wav(buzz(0.6))}], threshold=0)
    assert {k["keyword"]: k["score"] for k in answer["keywords"]} == pytest.approx(
        {label: scores[label] for label in ("yes", "no", "stop")}, abs=1e-5
    )


def test_wake_words_of_a_stretch_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    model = listen.scatter(WakeWords(TWO_WORDS)).eval()
    samples = torch.from_numpy(buzz(4.0))[: 48 * STEP + 480][None]
    with torch.inference_mode():
        whole, late = model(samples), model(samples[:, 10 * STEP :])
        early = model(samples[:, : 40 * STEP + 480])
    assert whole.shape == (1, 24, 2) and np.ptp(whole.numpy()) > 0.1
    assert (whole[:, 10:] - late).abs().max() < 1e-5
    assert (whole[:, : early.shape[1]] - early).abs().max() < 1e-5
    assert HEARD == 31_712  # 196 frames of 512 samples, 160 apart


def test_windows_that_leave_gaps_are_refused() -> None:
    with pytest.raises(ValidationError, match="would not be heard"):
        KeywordSpotting(window_seconds=0.4)


@pytest.fixture
def wake_words(cache: Path) -> ModelFiles:
    return ModelFiles(prepare("openwakeword", cache))


@pytest.mark.embedded
def test_a_wake_word_is_heard_as_tensorflow_lite_hears_it(wake_words: ModelFiles) -> None:
    """The score and the places above 0.5 are those of the package's own runtime."""
    (answer,) = spot(wake_words, [{"audio": SPOKEN.read_bytes()}])
    (hit,) = answer["keywords"]
    assert_close(answer["score"], 0.995428443, 1e-5)
    assert (hit["keyword"], answer["label"]) == ("hey jarvis", "hey jarvis")
    assert_close(
        [hit["start"], hit["end"]], [0.0, sound.inspect(SPOKEN.read_bytes()).seconds], 1e-6
    )


@pytest.mark.embedded
def test_embeddings_and_faint_scores_are_tensorflow_lite_s(wake_words: ModelFiles) -> None:
    listener = WakeWordListener(wake_words.folder, Device())
    whole = np.round(buzz(3.0) * 32768)
    samples = torch.from_numpy(whole[: 37 * STEP + 480] / 32768).float()[None]
    with torch.inference_mode():
        scores = listener.model(samples)[0].numpy()
        bands = listener.model.spectrogram(samples * 32768)
        embeddings = listener.model.embedder(bands)[0].numpy()
    seen = [-0.3510513, 5.6144462, 10.1166945, -5.4859347, 10.6366367]
    assert scores.shape == (13, 5) and embeddings.shape == (28, 96)
    assert_close(embeddings[-1, :5].tolist(), seen, 2e-4)  # of numbers up to 70
    assert_close(scores[-1].tolist(), [2.8435e-4, 7.376149e-3, 8e-9, 1.0558e-4, 8.6369e-4], 1e-6)


@pytest.mark.embedded
def test_a_wake_word_is_found_late_in_a_long_recording_and_beside_others(
    wake_words: ModelFiles,
) -> None:
    spoken, _ = sound.decode(SPOKEN.read_bytes(), RATE)
    long = np.zeros(round(40 * RATE), np.float32)
    place = STRETCH * STEP - 6_400  # the word lies over the end of the first stretch
    long[place : place + len(spoken)] = spoken
    rows: list[Row] = [{"audio": wav(long)}, *RECORDINGS, {"audio": SPOKEN.read_bytes()}]
    answers = spot(wake_words, rows)
    assert_close(answers, [spot(wake_words, [row])[0] for row in rows], 1e-5)
    assert [answer["label"] for answer in answers] == ["hey jarvis", *[None] * 4, "hey jarvis"]
    (hit,) = answers[0]["keywords"]
    end = (place + len(spoken)) / RATE
    assert hit["start"] < place / RATE < end - 0.5 < hit["end"] < end + 1.5


@pytest.mark.embedded
def test_no_wake_word_is_heard_in_silence_or_one_sample(wake_words: ModelFiles) -> None:
    rows: list[Row] = [{"audio": wav(np.zeros(n, np.float32))} for n in (1, 160, RATE)]
    nothing = {"label": None, "score": None, "keywords": []}
    assert spot(wake_words, rows) == [nothing] * 3
