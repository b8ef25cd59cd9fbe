"""Recordings made from a seed: as long as utterances are, loud and soft like speech, no words."""

from typing import Any

import numpy as np

from actors import sound

RATE = 16_000


def recordings(count: int, shortest: float, longest: float) -> list[dict[str, Any]]:
    """Return rows with WAV files of 16 bits; seconds are log-uniform between the two bounds."""
    random = np.random.default_rng(3)
    seconds = np.exp(random.uniform(np.log(shortest), np.log(longest), count))
    return [{"audio": sound.encode(_voice(length, random), RATE)} for length in seconds]


def _voice(seconds: float, random: np.random.Generator) -> Any:
    """Harmonics of a gliding pitch under a syllable's rhythm, and some noise: (samples,)."""
    times = np.arange(int(seconds * RATE)) / RATE
    pitch = random.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.2, 1) * times))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    loud = np.clip(np.sin(2 * np.pi * random.uniform(2, 5) * times) + 0.3, 0, 1)
    voice = sum(np.sin(k * phase) / k for k in range(1, 16))
    return (0.1 * loud * voice + 0.005 * random.standard_normal(len(times))).astype(np.float32)
