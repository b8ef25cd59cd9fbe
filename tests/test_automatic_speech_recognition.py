"""automatic-speech-recognition: what plain generate and the pipeline say, over any length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import transformers as hf
from pydantic import ValidationError

from actors import sound
from actors.audio.automatic_speech_recognition import AutomaticSpeechRecognition
from actors.errors import RowRejected, StageFailed
from actors.stage import ModelFiles, Row
from actors.worker import Limits, Worker
from tests.close import assert_close
from tests.tiny.hearing import speller, whisper_writer
from tests.tiny.listen import CHORDS
from tests.tiny.voices import RATE, RECORDINGS, buzz, tone, wav

Build = Callable[..., ModelFiles]
SHORT = [*RECORDINGS, *CHORDS[:2]]
LONG: Row = {"audio": wav(buzz(7.3, 150, 9))}


def recognise(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(AutomaticSpeechRecognition(**options), files).answer(rows)


def samples_of(row: Row) -> Any:
    return sound.decode(row["audio"], RATE)[0]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("languages", [True, False])
def test_whisper_writes_what_plain_generate_does(languages: bool, beams: int, tiny: Build) -> None:
    files = tiny(whisper_writer, languages=languages)
    model = hf.WhisperForConditionalGeneration.from_pretrained(files.folder).eval()
    processor = hf.AutoProcessor.from_pretrained(files.folder)
    found = recognise(files, SHORT, max_new_tokens=6, num_beams=beams)
    for row, answer in zip(SHORT, found, strict=True):
        given = processor(samples_of(row), sampling_rate=RATE, return_tensors="pt").input_features
        told = {"task": "transcribe", "language": answer["language"]} if languages else {}
        ids = model.generate(given, max_new_tokens=6, num_beams=beams, **told)[0]
        assert answer["text"] == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_the_language_is_the_one_that_whisper_detects(tiny: Build) -> None:
    files = tiny(whisper_writer)
    model = hf.WhisperForConditionalGeneration.from_pretrained(files.folder).eval()
    extractor = hf.AutoFeatureExtractor.from_pretrained(files.folder)
    for row, answer in zip(SHORT, recognise(files, SHORT, max_new_tokens=6), strict=True):
        given = extractor(samples_of(row), sampling_rate=RATE, return_tensors="pt")
        token = int(model.detect_language(given.input_features)[0])
        codes = {number: code for code, number in model.generation_config.lang_to_id.items()}
        assert answer["language"] == (codes[token].strip("<|>") if answer["text"] else None)


def test_a_language_that_is_asked_for_is_taken(tiny: Build) -> None:
    answers = {}
    for code in ("en", "de"):
        found = recognise(tiny(whisper_writer), SHORT, language=code, max_new_tokens=6)
        assert {answer["language"] for answer in found if answer["text"]} == {code}
        answers[code] = [answer["text"] for answer in found]
    assert answers["en"] != answers["de"]


def test_all_windows_of_a_recording_have_the_language_of_its_first(tiny: Build) -> None:
    files = tiny(whisper_writer)
    (whole,) = recognise(files, [LONG], max_new_tokens=6)
    (told,) = recognise(files, [LONG], max_new_tokens=6, language=whole["language"])
    assert whole == told
    one_by_one = Worker(AutomaticSpeechRecognition(max_new_tokens=6), files, limits=Limits(rows=1))
    assert one_by_one.answer([LONG]) == [whole]


def test_the_text_is_the_same_with_and_without_times(tiny: Build) -> None:
    rows, texts = [*SHORT, LONG], []
    for times in ("none", "segment", "word"):
        found = recognise(tiny(whisper_writer), rows, timestamps=times, max_new_tokens=6)
        texts.append([answer["text"] for answer in found])
        asked = (times != "none", times == "word")
        given = {(a["segments"] is not None, a["words"] is not None) for a in found}
        assert given == {asked}
    assert texts[0] == texts[1] == texts[2]


def test_times_lie_in_the_recording_and_go_forward(tiny: Build) -> None:
    rows = [*SHORT, LONG]
    for build in (whisper_writer, speller):
        options = {"max_new_tokens": 6} if build is whisper_writer else {"window_seconds": 2.0}
        for row, answer in zip(
            rows, recognise(tiny(build), rows, timestamps="word", **options), strict=True
        ):
            length = len(samples_of(row)) / RATE
            starts = [word["start"] for word in answer["words"]]
            assert starts == sorted(starts)
            assert all(0 <= w["start"] <= w["end"] <= length + 1e-3 for w in answer["words"])
            words = " ".join(word["word"] for word in answer["words"])
            assert words.split() == answer["text"].split()
            segments = " ".join(segment["text"] for segment in answer["segments"])
            assert segments.split() == answer["text"].split()


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("window", [2.4, 30.0])
def test_spelling_equals_the_pipeline_in_windows_and_whole(
    norm: str, window: float, tiny: Build
) -> None:
    files = tiny(speller, norm=norm)
    rows = [*SHORT, LONG]
    pipeline = hf.pipeline("automatic-speech-recognition", str(files.folder))
    found = recognise(files, rows, timestamps="word", window_seconds=window)
    for row, answer in zip(rows, found, strict=True):
        given = {"raw": samples_of(row), "sampling_rate": RATE}
        told = pipeline(given, return_timestamps="word", chunk_length_s=window)
        assert answer["text"] == told["text"]
        words = [(word["word"], word["start"], word["end"]) for word in answer["words"]]
        assert_close(words, [(c["text"], *c["timestamp"]) for c in told["chunks"]], 1e-5)


def test_silence_has_an_empty_text_and_no_language(tiny: Build) -> None:
    silence: Row = {"audio": wav(np.zeros(5 * RATE, np.float32))}
    found = recognise(tiny(whisper_writer), [silence, SHORT[0]])
    empty = {"text": "", "language": None, "segments": [], "words": None}
    assert found[0] == empty and found[1]["text"]


@pytest.mark.parametrize("build", [whisper_writer, speller])
def test_any_rate_any_channels_and_one_sample(build: Any, tiny: Build) -> None:
    sounds = [tone(0.7, 300, rate) for rate in (8_000, 44_100, 96_000)]
    rows: list[Row] = [
        {"audio": wav(samples, rate)}
        for samples, rate in zip(sounds, (8_000, 44_100, 96_000), strict=True)
    ]
    rows += [{"audio": wav(np.stack([sounds[0]] * 8, 1), 8_000)}, {"audio": wav(sounds[0][:1])}]
    *heard, tiny_one = recognise(tiny(build), rows)
    assert all(isinstance(answer["text"], str) for answer in heard)
    assert heard[3] == heard[0]
    if build is speller:
        assert isinstance(tiny_one, RowRejected) and tiny_one.reason == "audio_too_short"
    else:
        assert tiny_one["text"] == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "de"}, "knows English alone"),
        ({"task": "translate"}, "knows English alone"),
        ({"window_seconds": 10.0}, "no use for window_seconds"),
    ],
)
def test_what_a_model_of_english_alone_cannot_do_is_refused_by_plan(
    settings: Any, message: str
) -> None:
    config = {"architectures": ["WhisperForConditionalGeneration"], "vocab_size": 51_864}
    assert AutomaticSpeechRecognition().check(config) is None
    assert message in str(AutomaticSpeechRecognition(**settings).check(config))


def test_options_of_whisper_are_refused_for_a_model_that_spells() -> None:
    config = {"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2"}
    assert AutomaticSpeechRecognition(timestamps="word").check(config) is None
    asked = AutomaticSpeechRecognition(language="en", num_beams=2).check(config)
    assert asked is not None and "no use for language, num_beams" in asked


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="set timestamps to 'segment'"):
        AutomaticSpeechRecognition(task="translate", timestamps="word")
    with pytest.raises(ValidationError, match="set overlap_seconds below half"):
        AutomaticSpeechRecognition(window_seconds=4.0, overlap_seconds=2.0)


def test_an_unknown_language_and_missing_heads_are_told_when_the_model_is_loaded(
    tiny: Build,
) -> None:
    with pytest.raises(StageFailed, match="does not know the language 'dee' \\(did you mean"):
        recognise(tiny(whisper_writer), [], language="dee")
    with pytest.raises(StageFailed, match="alignment_heads"):
        recognise(tiny(whisper_writer, heads=False), [], timestamps="word")


def test_without_heads_and_in_translations_segments_are_windows(tiny: Build) -> None:
    for files, task in (
        (tiny(whisper_writer, heads=False), "transcribe"),
        (tiny(whisper_writer), "translate"),
    ):
        (answer,) = recognise(files, [LONG], max_new_tokens=6, task=task)
        assert 4 <= len(answer["segments"]) <= 6
        said = " ".join(segment["text"] for segment in answer["segments"])
        assert said == answer["text"]


@pytest.mark.parametrize("loud", [0, 1])
def test_a_batch_on_a_long_recording_is_answered_as_each_alone(loud: int, tiny: Build) -> None:
    rows: list[Row] = [LONG, *SHORT, {"audio": wav(buzz(5.1, 200, 3) * 3**loud)}]
    for build, options in ((whisper_writer, {"max_new_tokens": 6}), (speller, {})):
        worker = Worker(AutomaticSpeechRecognition(timestamps="word", **options), tiny(build))
        alone = [worker.answer([row])[0] for row in rows]
        assert_close(worker.answer(rows), alone, 1e-5)
