"""speech-emotion-recognition: how a voice sounds."""

from collections.abc import Mapping
from typing import Any, ClassVar

from actors.emotions import WORDS, word_of
from actors.listening.families import classifies_sound, why_no_classifier
from actors.sound_stage import SoundClassificationStage
from actors.stage import Defaults, option


class SpeechEmotionRecognition(SoundClassificationStage):
    """Says how a voice sounds: angry, happy, sad, neutral, or what else the model tells apart.

    `label` and `score` are the likeliest emotion; `scores` the best `top_k`, best first (0..1).
    Short codes of the usual models become words: neu neutral, hap happiness, ang anger, sad
    sadness. A recording longer than the model hears at once is heard in windows; their scores'
    mean counts, and `windows` has the likeliest emotion of each (seconds). Silence is answered,
    too: detect voice activity first. How a voice sounds is not what its owner feels.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="superb/wav2vec2-base-superb-er", licence="Apache-2.0"
    )

    words: bool = option(True, "Turn the usual codes of emotions into words; else leave labels.")
    names: dict[str, str] = option(
        {}, "What to call a label of the model, before any other rule: {label: word}."
    )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers of sounds one of whose labels is an emotion."""
        if not classifies_sound(config):
            return why_no_classifier("speech-emotion-recognition", config)
        labels = list((config.get("id2label") or {}).values())
        if self.names or any(word_of(label) in WORDS.values() for label in labels):
            return None
        shown = ", ".join(labels[:5]) or "none"
        return (
            f"none of the model's labels is a known emotion (they are {shown});"
            " if they are emotions, say which with the option names"
        )

    def call(self, label: str) -> str:
        """Return the word for an emotion."""
        return self.names.get(label) or (word_of(label) if self.words else label)
