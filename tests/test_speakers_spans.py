"""Where speech begins and ends, given how likely it is frame by frame."""

import numpy as np
import pytest

from actors.audio.voice_activity_detection import VoiceActivityDetection
from actors.speakers.spans import Rules, speech_spans

PLAIN = Rules(min_speech=0.0, min_silence=0.0, padding=0.0)


def spans(chances: list[float], rules: Rules, hop: float = 0.1) -> list[tuple[float, float]]:
    found = speech_spans(np.array(chances, np.float32), hop, len(chances) * hop, rules)
    return [(round(start, 6), round(end, 6)) for start, end in found]


def test_speech_begins_at_the_threshold_and_ends_well_below_it() -> None:
    assert spans([0.4, 0.5, 0.4, 0.36, 0.3, 0.4, 0.9], PLAIN) == [(0.1, 0.4), (0.6, 0.7)]
    assert spans([0.1, 0.2], PLAIN) == spans([], PLAIN) == []


def test_short_silence_does_not_end_speech_and_short_speech_is_none() -> None:
    chances = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert spans(chances, Rules(min_silence=0.15, min_speech=0.15, padding=0.0)) == [(0.0, 0.4)]


def test_padding_stays_in_the_recording_and_meets_in_the_middle() -> None:
    chances = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    found = spans(chances, Rules(min_silence=0.0, min_speech=0.0, padding=0.1))
    assert found == [(0.0, 0.15), (0.15, 0.4), (0.6, 0.8)]


def test_long_speech_is_cut_where_it_is_least_likely() -> None:
    chances = [0.9] * 10
    chances[4] = chances[7] = 0.6
    cut = Rules(min_speech=0.0, min_silence=0.0, padding=0.0, max_span=0.5)
    assert spans(chances, cut) == [(0.0, 0.4), (0.4, 0.7), (0.7, 1.0)]
    assert all(end - start <= 0.5001 for start, end in spans([0.9] * 99, cut))


def test_segments_with_their_padding_keep_to_the_longest() -> None:
    found = spans([0.9] * 99, Rules(padding=0.1, max_span=1.0))
    assert found[0][0] == 0.0 and found[-1][1] == 9.9
    assert max(end - start for start, end in found) <= 1.0001


def test_a_limit_without_room_beside_the_padding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_segment 0\.5 leaves no room beside padding 0\.25"):
        VoiceActivityDetection(max_segment=0.5, padding=0.25)
