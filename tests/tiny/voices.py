"""Sounds made by formula: tones, a voice-like buzz, silence; and files of them."""

import numpy as np

from actors import sound
from actors.sound import Samples

RATE = 16_000
"""Hz: what nearly all models of speech hear."""


def tone(seconds: float, pitch: float = 440.0, rate: int = RATE, gain: float = 0.3) -> Samples:
    """A sine."""
    times = np.arange(round(seconds * rate)) / rate
    return (gain * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def buzz(seconds: float, pitch: float = 120.0, seed: int = 0, rate: int = RATE) -> Samples:
    """Harmonics that come and go with a little noise: no words, and every seed another."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    harmonics = [np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 12)]
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(2, 6) * times)
    made = 0.1 * loud * np.sum(harmonics, axis=0) + 0.01 * random.standard_normal(len(times))
    return made.astype(np.float32)


def wav(samples: Samples, rate: int = RATE, subtype: str = "FLOAT") -> bytes:
    """A WAV file; floats by default, so that nothing is rounded."""
    return sound.encode(samples, rate, subtype=subtype)


RECORDINGS = [
    {"audio": wav(buzz(seconds, pitch, seed))}
    for seed, (seconds, pitch) in enumerate([(0.6, 110), (1.0, 180), (0.6, 240), (1.7, 140)])
]
"""Rows of an audio task: of two lengths that are equal and two that are not."""

NO_RECORDINGS = {
    "null_input": {"audio": None},
    "wrong_type": {"audio": 7},
    "empty_file": {"audio": b""},
    "unreadable_audio": {"audio": b"not a recording"},
    "truncated_audio": {"audio": RECORDINGS[1]["audio"][:2000]},
    "no_samples": {"audio": wav(np.zeros(0, np.float32))},
    "not_finite": {"audio": wav(np.array([0.1, np.nan, 0.2], np.float32))},
}
"""What any audio task rejects: reason -> row."""
