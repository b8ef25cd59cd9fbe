"""How right the tasks on voices are with the embedded Silero VAD and Resemblyzer, on real speech.

A telephone call of 30 s between two people with turns marked by hand (pyannote-audio's sample),
and a narrator's 44 s, a dialogue's 28 s and two sounds that are no speech (moonshine-voice's
assets); both are read out of wheels. Made-up noise, tones and silence beside them. So few voices
say whether the models work, not how well they do in general.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_speakers
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors import sound
from actors.audio.speaker_diarization import SpeakerDiarization
from actors.audio.speaker_embedding import SpeakerEmbedding
from actors.audio.voice_activity_detection import VoiceActivityDetection
from actors.models.embedded import prepare
from actors.models.wheel import Wheel
from actors.sound import Samples
from actors.stage import ModelFiles, Row, Stage
from actors.worker import Worker
from benchmarks.carried import carried

CALL = Wheel(
    package="pyannote-audio",
    version="4.0.7",
    sha256="852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6",
    licence="MIT",
    megabytes=1,
)
VOICES = Wheel(
    package="moonshine-voice",
    version="0.1.5",
    sha256="1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
    licence="MIT",
    megabytes=20,
    target=("--platform", "manylinux_2_34_x86_64"),
)

RATE = 16_000
GRID = 0.01
"""Seconds: how finely turns are compared."""

PIECES = (2.5, 5.0)
"""Seconds of the stretches of speech that are compared as voices; 0.6 of that at least."""


@dataclass(frozen=True)
class Turn:
    """One stretch of one speaker, in seconds."""

    start: float
    end: float
    speaker: str


def read_rttm(path: Path) -> list[Turn]:
    """The turns in a file of NIST's RTTM lines."""
    fields = [line.split() for line in path.read_text("utf-8").splitlines()]
    return [Turn(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields if f]


def grid(turns: Sequence[Turn], seconds: float) -> NDArray[np.bool_]:
    """Who speaks in each step of the grid: (speakers, steps)."""
    names = sorted({turn.speaker for turn in turns})
    found = np.zeros((len(names), round(seconds / GRID)), bool)
    for turn in turns:
        steps = slice(round(turn.start / GRID), round(turn.end / GRID))
        found[names.index(turn.speaker), steps] = True
    return found


def diarization_errors(
    truth: Sequence[Turn], found: Sequence[Turn], seconds: float
) -> dict[str, float]:
    """Missed, false and confused speech and their sum, as shares of the true speech.

    Overlaps count, and there is no tolerance around borders. Speakers are matched as fits best.
    """
    true, given = grid(truth, seconds), grid(found, seconds)
    width = max(len(true), len(given))
    true, given = (np.pad(one, ((0, width - len(one)), (0, 0))) for one in (true, given))
    right = max((true & given[list(order)]).sum() for order in permutations(range(width)))
    wanted, got = true.sum(axis=0), given.sum(axis=0)
    missed, extra = np.maximum(wanted - got, 0).sum(), np.maximum(got - wanted, 0).sum()
    confused = np.minimum(wanted, got).sum() - right
    parts = {"missed": missed, "false": extra, "confused": confused}
    return {
        name: float(n / wanted.sum()) for name, n in {**parts, "DER": sum(parts.values())}.items()
    }


def equal_error_rate(same: Sequence[float], different: Sequence[float]) -> tuple[float, float]:
    """Where as many same pairs are refused as different ones taken: the rate, the threshold."""
    places = sorted([*same, *different])
    rates = [
        (np.mean(np.array(same) < place), np.mean(np.array(different) >= place), place)
        for place in places
    ]
    refused, taken, place = min(rates, key=lambda one: abs(one[0] - one[1]))
    return float(refused + taken) / 2, float(place)


def pieces(samples: Samples, spans: Sequence[tuple[float, float]], seconds: float) -> list[Samples]:
    """Stretches of so many seconds out of spans, and what is left of each if that is enough."""
    cuts = [
        (start, min(start + seconds, end))
        for begin, end in spans
        for start in np.arange(begin, end, seconds)
    ]
    return [
        samples[int(start * RATE) : int(end * RATE)]
        for start, end in cuts
        if end - start >= 0.6 * seconds
    ]


def alone(turns: Sequence[Turn], speaker: str) -> list[tuple[float, float]]:
    """Where one speaker speaks and nobody else does."""
    here = grid([t for t in turns if t.speaker == speaker], 60.0)[0]
    others = grid([t for t in turns if t.speaker != speaker], 60.0)[0]
    edges = np.flatnonzero(np.diff(np.pad(here & ~others, 1).astype(int)))
    return [(a * GRID, b * GRID) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def line(name: str, value: str, what: str) -> None:
    print(f"{name:38} {value:>10}   {what}")


def answer(stage: Stage, files: ModelFiles, recordings: Sequence[bytes]) -> list[Any]:
    rows: list[Row] = [{"audio": data} for data in recordings]
    return Worker(stage, files).answer(rows)


def show_activity(files: ModelFiles, call: bytes, turns: list[Turn], folder: Path) -> None:
    random = np.random.default_rng(0)
    times = np.arange(10 * RATE) / RATE
    sounds = {
        "white noise, 10 s": 0.1 * random.standard_normal(len(times)),
        "tone of 440 Hz, 10 s": 0.3 * np.sin(2 * np.pi * 440 * times),
        "silence, 10 s": 0 * times,
    }
    quiet = {name: sound.encode(one.astype(np.float32), RATE) for name, one in sounds.items()}
    quiet |= {f"{n} (a chime)": (folder / n).read_bytes() for n in ("error.wav", "success.wav")}
    found = answer(VoiceActivityDetection(), files, [call, *quiet.values()])
    (heard,) = grid([Turn(s["start"], s["end"], "") for s in found[0]["segments"]], 30.0)
    spoken = grid(turns, 30.0).any(axis=0)
    line("speech found", f"{(heard & spoken).sum() / spoken.sum():.1%}", "of the telephone call's")
    share = (heard & ~spoken).sum() / (~spoken).sum()
    line("taken for speech", f"{share:.1%}", "of the telephone call's pauses")
    for name, one in zip(quiet, found[1:], strict=True):
        line("taken for speech", f"{one['speech_ratio']:.1%}", name)


def show_voices(files: ModelFiles, people: dict[str, list[Samples]], seconds: float) -> None:
    data = [sound.encode(one, RATE) for found in people.values() for one in found]
    owners = [name for name, found in people.items() for _ in found]
    answers = answer(SpeakerEmbedding(), files, data)
    heard = [n for n, one in enumerate(answers) if isinstance(one, dict)]  # not: pauses
    vectors = [np.array(answers[n]["embedding"], np.float32) for n in heard]
    owners = [owners[n] for n in heard]
    pairs = list(combinations(range(len(vectors)), 2))
    cosine = {pair: float(vectors[pair[0]] @ vectors[pair[1]]) for pair in pairs}
    groups: dict[str, list[float]] = {}
    for one, other in pairs:
        names = sorted({owners[one], owners[other]})
        groups.setdefault(" and ".join(names), []).append(cosine[one, other])
    for names, found in groups.items():
        kind = "different speakers" if " and " in names else "same speaker"
        spread = f"{min(found):.2f} to {max(found):.2f}, {len(found)} pairs: {names}"
        line(f"cosine, {kind}", f"{np.mean(found):.2f}", spread)
    same = [value for names, found in groups.items() if " and " not in names for value in found]
    other = [value for names, found in groups.items() if " and " in names for value in found]
    rate, place = equal_error_rate(same, other)
    counts = f"{len(same)} same and {len(other)} different pairs of {seconds} s"
    line("equal error rate", f"{rate:.1%}", f"{counts}, at cosine {place:.2f}")
    for threshold in (0.7, 0.75, 0.8):
        refused, taken = np.mean(np.array(same) < threshold), np.mean(np.array(other) >= threshold)
        line(f"at threshold {threshold}", f"{refused:.1%}", f"refused, {taken:.1%} wrongly taken")


def show_turns(files: ModelFiles, call: bytes, turns: list[Turn], folder: Path) -> None:
    for told in (None, 2):
        (found,) = answer(SpeakerDiarization(n_speakers=told), files, [call])
        errors = diarization_errors(turns, [Turn(**one) for one in found["turns"]], 30.0)
        parts = ", ".join(f"{name} {share:.1%}" for name, share in errors.items() if name != "DER")
        how = f"n_speakers: {told}" if told else "defaults"
        what = f"telephone call, {how}: {found['n_speakers']} speakers; {parts}"
        line("diarization error rate", f"{errors['DER']:.1%}", what)
    names = {"endgame_nagg_nell.wav": 2, "two_cities.wav": 1, "beckett.wav": 1}
    found = answer(SpeakerDiarization(), files, [(folder / name).read_bytes() for name in names])
    for (name, count), one in zip(names.items(), found, strict=True):
        line("speakers found", str(one["n_speakers"]), f"{name}, which has {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    parser.add_argument("--data", type=Path, default=Path(".cache/quality"))
    given = parser.parse_args()
    sample = carried(CALL, "pyannote/audio/sample", given.data)
    assets = carried(VOICES, "moonshine_voice/assets", given.data)
    activity = prepare("silero-vad", given.cache)
    files = ModelFiles(prepare("resemblyzer", given.cache), {"activity": activity})
    call, turns = (sample / "sample.wav").read_bytes(), read_rttm(sample / "sample.rttm")
    heard, _ = sound.decode(call, RATE)
    narrator, _ = sound.decode((assets / "two_cities.wav").read_bytes(), RATE)
    begun = time.process_time()
    show_activity(ModelFiles(activity), call, turns, assets)
    for seconds in PIECES:
        callers = ("speaker90", "speaker91")
        people = {name: pieces(heard, alone(turns, name), seconds) for name in callers}
        people["narrator"] = pieces(narrator, [(0.0, len(narrator) / RATE)], seconds)
        show_voices(files, people, seconds)
    show_turns(files, call, turns, assets)
    line("CPU-seconds", f"{time.process_time() - begun:.1f}", "for all of the above, models loaded")


if __name__ == "__main__":
    main()
