"""audio-classification: which of a model's labels fit a recording."""

from collections.abc import Mapping
from typing import Any, ClassVar

from actors.architecture import config_in
from actors.listening.families import classifies_sound, names_languages, why_no_classifier
from actors.scores import Scorer
from actors.sound_stage import SoundClassificationStage, SoundClassifier
from actors.stage import Defaults, Device, Model, ModelFiles


class AudioClassification(SoundClassificationStage):
    """Says which of a model's labels fit a recording, and how well: sounds, music, commands.

    `label` and `score` are the best label; `scores` the best `top_k`, best first. Scores are
    probabilities (0..1): over all labels together, or of each label by itself where the model's
    problem_type says that several may hold. A recording longer than the model hears at once is
    heard in windows, the last one ending with it; their scores' mean counts, and `windows` has
    the best label of each (seconds). A Whisper model of many languages (openai/whisper-base)
    names the language that is spoken, by its code; it names one also for silence.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="MIT/ast-finetuned-audioset-10-10-0.4593", licence="BSD-3-Clause"
    )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers of sounds, and Whisper models of many languages."""
        if classifies_sound(config) or names_languages(config):
            return None
        return why_no_classifier("audio-classification", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier, or the model that names languages."""
        config = config_in(files.folder)
        if classifies_sound(config):
            return super().load(files, device)
        from actors.hearing.languages import LanguageListener

        listener = LanguageListener(files.folder, device)
        return SoundClassifier(self, listener, Scorer.of(self, listener.labels, "softmax"))
