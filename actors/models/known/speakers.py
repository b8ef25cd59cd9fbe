"""Embedded models of voices."""

from actors.models.entry import Embedded
from actors.models.wheel import Wheel

MODELS = (
    Embedded(
        name="silero-vad",
        tasks=(
            "voice-activity-detection",
            "speaker-diarization",
            "speaker-embedding",
            "speaker-identification",
            "speaker-verification",
        ),
        wheel=Wheel(
            package="silero-vad",
            version="6.2.3",
            sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
            licence="MIT",
            megabytes=11,
        ),
        inside="silero_vad/data",
        converter="silero_vad",
        licence="MIT",
        about="Silero VAD 6.2: finds speech, 16 kHz, 0.3 M parameters, by the Silero team",
        quality="on a 30 s telephone call: 99.4 % of speech found, 2.9 % of pauses taken for "
        "speech; none in noise, tones, silence; an hour takes 2.5 CPU-s",
    ),
    Embedded(
        name="resemblyzer",
        tasks=(
            "speaker-verification",
            "speaker-identification",
            "speaker-embedding",
            "speaker-diarization",
        ),
        wheel=Wheel(
            package="Resemblyzer",
            version="0.1.4",
            sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
            licence="Apache-2.0",
            megabytes=16,
        ),
        inside="resemblyzer",
        converter="resemblyzer",
        licence="Apache-2.0",
        about="Resemblyzer: a voice in 256 numbers, LSTM, 1.4 M parameters, by Resemble AI",
        quality="three English voices, stretches of 2.5 s: equal error rate 4.7 %, mean cosine of "
        "one speaker 0.80, of two 0.52; diarization error rate 17.9 % on a 30 s telephone call",
    ),
)
