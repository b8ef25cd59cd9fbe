"""speaker-diarization and speaker-attribution: turns, and who said what in them."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.audio.speaker_attribution import SpeakerAttribution
from actors.audio.speaker_diarization import SpeakerDiarization
from actors.models.embedded import prepare
from actors.speakers import clustering
from actors.speakers.clustering import Gathering, gather
from actors.speakers.frames import FrameDetector
from actors.speakers.spans import speech_spans
from actors.speakers.turns import Turn, borders_of, joined, named, turns_in, window_starts
from actors.speakers.voiceprint import unit
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import speakers
from tests.tiny.speakers import said, turn
from tests.tiny.voices import buzz, wav

Build = Callable[..., ModelFiles]


def people(*sizes: int) -> tuple[Any, Any]:
    """Windows of that many people, as vectors with a little noise, and their seconds."""
    random = np.random.default_rng(0)
    middles = np.repeat(np.eye(len(sizes), 8), sizes, axis=0)
    noisy = middles + 0.1 * random.standard_normal(middles.shape)
    return unit(noisy.astype(np.float32)), np.full(sum(sizes), 0.4, np.float32)


def test_each_voice_is_gathered_once() -> None:
    vectors, seconds = people(12, 30, 8)
    voices = gather(vectors, seconds, Gathering(0.7))
    assert sorted(np.bincount((vectors @ voices.T).argmax(1)).tolist()) == [8, 12, 30]


@pytest.mark.parametrize(
    ("how", "count"),
    [
        (Gathering(0.7, speakers=2), 2),
        (Gathering(0.7, most=2), 2),
        (Gathering(0.7, least=4.0), 2),
        (Gathering(0.7, least=1e3), 1),
        (Gathering(-1.0), 1),
        (Gathering(0.99999), 50),
    ],
)
def test_the_number_of_voices_obeys_what_is_known(how: Gathering, count: int) -> None:
    assert len(gather(*people(12, 30, 8), how)) == count


def test_odd_windows_are_no_speaker_where_the_number_is_known() -> None:
    vectors, seconds = people(60, 60, 8)
    vectors[:60] += vectors[60]  # the two are more alike than the odd ones are to either
    voices = gather(unit(vectors), seconds, Gathering(0.7, speakers=2, least=2.0))
    found = (unit(vectors) @ voices.T).argmax(1)
    assert sorted(np.bincount(found[:120]).tolist()) == [60, 60]


def test_a_long_recording_is_gathered_by_a_sample_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, seconds = people(120, 300)
    monkeypatch.setattr(clustering, "MOST_COMPARED", 50)
    found = (vectors @ gather(vectors, seconds, Gathering(0.7)).T).argmax(1)
    assert sorted(np.bincount(found).tolist()) == [120, 300]


def test_windows_reach_from_a_span_s_start_to_its_end() -> None:
    assert_close(window_starts((1.0, 3.6), 1.6, 0.4), [1.0, 1.4, 1.8, 2.0], 1e-6)
    assert_close(window_starts((1.0, 1.4), 1.6, 0.4), [0.4], 1e-6)
    assert window_starts((0.0, 0.4), 1.6, 0.4) == [0.0]


def test_a_turn_changes_half_way_between_two_windows() -> None:
    starts = [0.0, 0.4, 0.8, 1.2, 1.6, 2.0]
    likeness = np.array([[1, 0]] * 3 + [[0, 1]] * 3, np.float32)
    found = turns_in(borders_of((0.0, 3.6), starts, 1.6), likeness)
    assert [(round(t.start, 6), round(t.end, 6), t.speaker) for t in found] == [
        (0.0, 1.8, 0),
        (1.8, 3.6, 1),
    ]


def test_speakers_are_named_in_the_order_of_their_first_words() -> None:
    turns = joined([Turn(0.5, 1, 2), Turn(1.1, 2, 2), Turn(2, 3, 0), Turn(4, 5, 2)], 0.2)
    assert named(turns) == ([turn(0.5, 2, 1), turn(2, 3, 2), turn(4, 5, 1)], 2)
    assert named([]) == ([], 0)


def test_two_unlike_voices_take_turns(tiny: Build) -> None:
    stage = SpeakerDiarization(alike=0.5, min_speaker=0.3, n_speakers=2)
    (found,) = Worker(stage, tiny(speakers.voices)).answer(speakers.DIALOGUES[:1])
    assert found["n_speakers"] == 2
    first, last = found["turns"][0], found["turns"][-1]
    assert (first["speaker"], last["speaker"]) == ("SPEAKER_1", "SPEAKER_2")
    assert_close([first["start"], last["end"]], [0.0, 5.5], 0.05)


def test_no_more_is_found_than_asked_for(tiny: Build) -> None:
    stage = SpeakerDiarization(alike=0.9999, min_speaker=0.0, max_speakers=1)
    found = Worker(stage, tiny(speakers.voices)).answer(speakers.DIALOGUES)
    assert [row["n_speakers"] for row in found] == [1, 1, 1, 0]
    with pytest.raises(ValueError, match="leave max_speakers out"):
        SpeakerDiarization(n_speakers=2, max_speakers=3)


def test_a_frame_model_s_turns_are_its_speakers_active_frames(tiny: Build) -> None:
    files, data = tiny(speakers.frames), wav(buzz(2.0))
    stage = SpeakerDiarization(min_speech=0.0, min_silence=0.0)
    (found,) = Worker(stage, files).answer([{"audio": data}])
    detector = FrameDetector(files.folder, Device())
    activity = detector.activity(detector.infer(detector.items(buzz(2.0))))
    seconds = len(activity) * detector.hop
    spans = [speech_spans(one, detector.hop, seconds, stage.rules) for one in activity.T]
    assert sorted((t["start"], t["end"]) for t in found["turns"]) == sorted(chain(*spans))
    assert found["n_speakers"] == sum(bool(one) for one in spans)


def attribute(row: Row) -> Any:
    (answer,) = Worker(SpeakerAttribution(), ModelFiles.none()).answer([row])
    return answer


def words(*spoken: tuple[str, float, float]) -> list[Row]:
    return [{"word": word, "start": start, "end": end} for word, start, end in spoken]


def test_words_go_to_whose_turn_they_are_in() -> None:
    row = {
        "turns": [turn(0, 1, 1), turn(1, 3, 2), turn(3, 4, 1)],
        "segments": [said(0, 4, "ignored: there are words")],
        "words": words((" How", 0, 0.4), (" are", 0.8, 1.1), (" Fine", 1.2, 2), (" Ah", 3, 3.5)),
    }
    assert attribute(row) == {
        "utterances": [
            {"speaker": "SPEAKER_1", "start": 0, "end": 1.1, "text": "How are"},
            {"speaker": "SPEAKER_2", "start": 1.2, "end": 2, "text": "Fine"},
            {"speaker": "SPEAKER_1", "start": 3, "end": 3.5, "text": "Ah"},
        ],
        "transcript": "SPEAKER_1: How are\nSPEAKER_2: Fine\nSPEAKER_1: Ah",
    }


def test_a_sentence_goes_whole_to_whom_most_of_it_does() -> None:
    row = {
        "turns": [turn(0, 1, 1), turn(1.5, 3, 2)],
        "segments": [],
        "words": words(
            *((" How", 0, 0.4), (" are", 0.4, 0.8), (" you?", 0.9, 1.7)),  # lasts into the pause
            *((" Fine.", 1.7, 2), (" And", 2, 2.2), (" you", 2.2, 2.6)),
        ),
    }
    assert attribute(row)["transcript"] == "SPEAKER_1: How are you?\nSPEAKER_2: Fine. And you"
    for cut in ("words without marks", " a. b? c!"):
        row["words"] = words(*((f" {w}", n, n + 0.9) for n, w in enumerate(cut.split())))
        assert [u["speaker"] for u in attribute(row)["utterances"]] == ["SPEAKER_1", "SPEAKER_2"]


@pytest.mark.parametrize(
    ("start", "end", "speaker"),
    [
        (0.5, 1.4, "SPEAKER_1"),  # across a border: more of it before
        (0.9, 1.8, "SPEAKER_2"),
        (2.1, 2.2, "SPEAKER_2"),  # in a gap: the nearest
        (2.8, 2.9, "SPEAKER_1"),
        (4.1, 4.4, "SPEAKER_3"),  # two at once: who broke in
        (9.0, 9.0, "SPEAKER_1"),  # no time at all, after everything
    ],
)
def test_borders_gaps_and_overlaps_have_one_speaker(start: float, end: float, speaker: str) -> None:
    turns = [turn(0, 1, 1), turn(1, 2, 2), turn(3, 5, 1), turn(4, 4.5, 3)]
    found = attribute({"turns": turns, "segments": [said(start, end, "so")], "words": None})
    assert [one["speaker"] for one in found["utterances"]] == [speaker]


def test_without_turns_or_words_nobody_and_nothing_is_made_up() -> None:
    assert attribute({"turns": [], "segments": [said(0, 1, " ")]})["utterances"] == []
    assert attribute({"turns": [], "segments": [said(0, 1, "so")]})["transcript"] == "UNKNOWN: so"
    assert attribute({"turns": [turn(0, 1, 1)], "segments": []})["transcript"] == ""


@pytest.mark.embedded
def test_the_embedded_models_find_no_turns_where_nobody_speaks(cache: Path) -> None:
    files = ModelFiles(prepare("resemblyzer", cache), {"activity": prepare("silero-vad", cache)})
    (found,) = Worker(SpeakerDiarization(), files).answer([{"audio": speakers.SILENCE}])
    assert found == {"turns": [], "n_speakers": 0}
