"""Hearing: cuts at pauses, tokens in time, words and sentences; the embedded model on speech."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.models.whisper.generation_whisper import _dynamic_time_warping

from actors import sound
from actors.audio.automatic_speech_recognition import AutomaticSpeechRecognition
from actors.errors import StageFailed
from actors.hearing.alignment import first_positions
from actors.hearing.hearer import Hearer
from actors.hearing.transcript import Spoken, sentences, text_of
from actors.hearing.whisper import Whisper, Wishes
from actors.hearing.windows import (
    Span,
    background,
    hop_of,
    loudness,
    spans_at_pauses,
    spans_with_overlap,
    without_silence,
)
from actors.hearing.writing import words
from actors.models.convert.whisper import read_weights
from actors.models.embedded import prepare
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from benchmarks.carried import carried
from benchmarks.quality_speakers import VOICES
from tests.tiny.hearing import writes_words
from tests.tiny.voices import RATE, buzz

HOP = hop_of(RATE)
QUOTE = "Ever tried, ever failed. No matter, try again. Fail again. Fail better."


def plain(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def cut(samples: Any, size: float = 3.0, search: float = 1.0) -> list[Span]:
    loud = loudness(samples, RATE)
    return spans_at_pauses(loud, HOP, len(samples), round(size * RATE), round(search * RATE))


def test_spans_are_the_whole_and_no_longer_than_a_window() -> None:
    for seconds in (0.1, 3.0, 3.01, 11.7):
        samples = buzz(seconds, seed=4)
        spans = cut(samples)
        assert [s.start for s in spans] == [0, *(s.end for s in spans[:-1])]
        assert spans[-1].end == len(samples)
        assert max(s.end - s.start for s in spans) <= 3 * RATE


def test_a_cut_lies_in_the_pause() -> None:
    silence = np.zeros(round(0.4 * RATE), np.float32)
    samples = np.concatenate([buzz(2.3), silence, buzz(2.0, seed=1)])
    (first, _) = cut(samples)
    assert 2.3 * RATE < first.end < 2.7 * RATE


def test_overlapping_spans_keep_each_sample_once() -> None:
    for length in (5, 100, 101, 160, 161, 999):
        spans = spans_with_overlap(length, size=100, overlap=20)
        kept = [n for s in spans for n in range(s.start + s.left, s.end - s.right)]
        assert kept == list(range(length))
        assert all(s.end - s.start <= 100 for s in spans)


def test_background_is_left_out_at_the_ends_only() -> None:
    quiet = np.full(RATE, 1e-4, np.float32)
    samples = np.concatenate([quiet, buzz(0.5), quiet, buzz(0.5), quiet])
    loud = loudness(samples, RATE)
    found = without_silence(loud, HOP, Span(0, len(samples)), background(loud))
    assert found is not None
    assert found.start / RATE == pytest.approx(1.0, abs=0.2)
    assert found.end / RATE == pytest.approx(3.0, abs=0.2)
    assert without_silence(loud, HOP, Span(0, RATE // 2), background(loud)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 1), (4, 4), (7, 30)])
def test_paths_through_time_are_those_of_transformers(shape: tuple[int, int]) -> None:
    cost = np.random.default_rng(sum(shape)).normal(size=shape)
    tokens, places = _dynamic_time_warping(cost)
    jumps = np.pad(np.diff(tokens), (1, 0), constant_values=1).astype(bool)
    assert first_positions(cost).tolist() == places[jumps].tolist()


def test_words_have_their_punctuation_and_the_times_of_their_letters() -> None:
    tokenizer = writes_words()
    ids = tokenizer("a good, zß!", add_special_tokens=False).input_ids
    starts = [float(n) for n in range(len(ids) + 1)]
    found = words(tokenizer, ids, starts, "en")
    assert [word.text.strip() for word in found] == ["a", "good,", "zß!"]
    assert text_of(found) == "a good, zß!"
    assert [word.start for word in found] == sorted(word.start for word in found)
    last, end = tokenizer.decode(ids[-1:]), found[-1].end
    assert last == "!" and end == starts[-2]


def test_where_no_spaces_are_written_each_character_is_a_word() -> None:
    tokenizer = writes_words()
    ids = tokenizer("日本。", add_special_tokens=False).input_ids
    found = words(tokenizer, ids, [float(n) for n in range(len(ids) + 1)], "ja")
    assert [word.text for word in found] == ["日", "本。"] and text_of(found) == "日本。"


def test_segments_end_with_sentences_and_pauses_but_not_with_titles() -> None:
    said = " Dr. Lee came. He said 'no.' Then he | left"
    pieces, now = [], 0.0
    for word in said.split():
        now += 2.0 if word == "|" else 0.0
        if word != "|":
            pieces.append(Spoken(f" {word}", now, now + 0.3))
            now += 0.4
    found = [segment.text for segment in sentences(pieces)]
    assert found == ["Dr. Lee came.", "He said 'no.'", "Then he", "left"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a whole CTranslate2 file"),
        (struct.pack("<IH4sII", 6, 4, b"Bert", 1, 0), "'Bert' of format 6"),
        (struct.pack("<IH11sII", 6, 11, b"WhisperSpec", 3, 2), "not a whole"),
    ],
)
def test_a_file_that_holds_no_whisper_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(StageFailed, match=message):
        read_weights(data)


@pytest.fixture(scope="module")
def quote(cache: Path) -> Any:
    """10 s of real speech, moonshine-voice's: (samples,) at 16 kHz."""
    file = carried(VOICES, "moonshine_voice/assets", cache / "speech") / "beckett.wav"
    return sound.decode(file.read_bytes(), RATE)[0]


@pytest.mark.embedded
def test_real_speech_is_written_down_with_the_times_of_its_words(quote: Any, cache: Path) -> None:
    stage = AutomaticSpeechRecognition(timestamps="word")
    worker = Worker(stage, ModelFiles(prepare("whisper-tiny.en", cache)))
    rows: list[Row] = [{"audio": sound.encode(quote, RATE)}]
    rows.append({"audio": sound.encode(np.zeros(2 * RATE, np.float32), RATE)})
    spoken, silent = worker.answer(rows)
    assert isinstance(spoken, dict) and isinstance(silent, dict)
    assert (spoken["text"], spoken["language"]) == (QUOTE, "en")
    assert " ".join(word["word"] for word in spoken["words"]) == QUOTE
    assert silent == {"text": "", "language": None, "segments": [], "words": []}
    loud = loudness(quote, RATE)
    for word in spoken["words"]:  # each one has sound in it, well above the room's noise
        part = loud[round(word["start"] * 100) : round(word["end"] * 100) + 1]
        assert part.max() > 100 * np.median(np.sort(loud)[: len(loud) // 10])


@pytest.mark.embedded
def test_what_whisper_skips_is_heard_again_and_put_in_its_place(quote: Any, cache: Path) -> None:
    whisper = Whisper(prepare("whisper-tiny.en", cache), Device(), Wishes())
    hearer = Hearer(whisper)
    window = hearer.window(quote, 0.0, None)
    write, asked = whisper.write, []

    def skipping(encoding: Any, languages: Any, again: bool = False) -> list[list[int]]:
        """The first answer stops after the first sentence."""
        (ids,) = write(encoding, languages, again)
        asked.append(len(ids))
        stop = whisper.tokenizer(".", add_special_tokens=False).input_ids[0]
        return [ids[: ids.index(stop) + 1] if len(asked) == 1 else ids]

    whisper.write = skipping  # type: ignore[method-assign]
    (found,) = hearer.hear([window])
    assert plain(text_of(found)) == plain(QUOTE) and len(asked) == 2
