"""Embedded models that say what a sound is."""

from actors.models.entry import Embedded
from actors.models.wheel import Wheel

MODELS = (
    Embedded(
        name="openwakeword",
        tasks=("keyword-spotting",),
        wheel=Wheel(
            package="pyopen-wakeword",
            version="1.1.0",
            sha256="754347a59de2b3d378a0cbc404a8b41164036e74fa1c185f88056974e4bfb6b4",
            licence="Apache-2.0",
            megabytes=7,
            target=("--platform", "manylinux_2_35_x86_64"),
        ),
        inside="pyopen_wakeword/models",
        converter="wake_words",
        # The package says Apache-2.0 of itself; openWakeWord says this of its models.
        licence="CC-BY-NC-SA-4.0",
        about="openWakeWord: alexa, hey jarvis, hey mycroft, hey rhasspy, okay nabu; 1.5 M "
        "parameters, by David Scripka, packaged by Michael Hansen; the speech embedding by Google",
        quality="not for commercial use. Of each word "
        "spoken by two synthesizers: all 20 of a neural voice (Piper joe), 42 of 60 of espeak-ng's "
        "(alexa 10, hey jarvis 12, hey mycroft 0, hey rhasspy 11, okay nabu 9 of 12), never "
        "another word; no hit in 119 s of recorded speech; 4 in 30 sentences made to sound alike "
        "(hey Microsoft, raspberry, a lexicon). 0.007 CPU-s a second",
    ),
)
