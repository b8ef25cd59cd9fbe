"""The figures of quality on voices are counted right."""

from pathlib import Path

import pytest

from benchmarks.quality_speakers import (
    Turn,
    alone,
    diarization_errors,
    equal_error_rate,
    read_rttm,
)

TRUTH = [Turn(0.0, 4.0, "a"), Turn(3.0, 6.0, "b")]


def test_a_perfect_answer_has_no_errors_whatever_its_names() -> None:
    found = [Turn(0.0, 4.0, "SPEAKER_2"), Turn(3.0, 6.0, "SPEAKER_1")]
    assert diarization_errors(TRUTH, found, 10.0)["DER"] == 0.0


def test_errors_are_shares_of_the_true_speech() -> None:
    found = [Turn(0.0, 3.5, "x"), Turn(3.5, 5.0, "y"), Turn(5.0, 5.5, "z"), Turn(6.0, 7.4, "y")]
    errors = diarization_errors(TRUTH, found, 10.0)
    expected = {"missed": 1.5 / 7, "false": 1.4 / 7, "confused": 0.5 / 7, "DER": 3.4 / 7}
    assert errors == pytest.approx(expected)


def test_no_answer_misses_everything() -> None:
    assert diarization_errors(TRUTH, [], 10.0)["DER"] == 1.0


def test_only_what_one_says_alone_is_compared() -> None:
    assert alone(TRUTH, "b") == [(4.0, 6.0)]


def test_the_equal_error_rate_lies_where_both_errors_meet() -> None:
    assert equal_error_rate([0.9, 0.8], [0.1, 0.2])[0] == 0.0
    assert equal_error_rate([0.9, 0.8, 0.7, 0.3], [0.1, 0.2, 0.3, 0.75]) == (0.25, 0.7)


def test_turns_are_read_from_rttm(tmp_path: Path) -> None:
    line = "SPEAKER sample 1 6.690 0.430 <NA> <NA> speaker90 <NA> <NA>\n"
    (tmp_path / "x.rttm").write_text(line + "\n")
    (turn,) = read_rttm(tmp_path / "x.rttm")
    assert (turn.start, round(turn.end, 3), turn.speaker) == (6.69, 7.12, "speaker90")
