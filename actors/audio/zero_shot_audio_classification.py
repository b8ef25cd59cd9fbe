"""zero-shot-audio-classification: which of your own labels fits a recording, without training."""

from collections.abc import Mapping
from typing import Any, ClassVar

from actors.architecture import is_made_for, why_not
from actors.label_stage import LabelStage
from actors.scores import Scorer
from actors.sound_stage import SoundClassifier, SoundStage
from actors.stage import Defaults, Device, Model, ModelFiles, option


class ZeroShotAudioClassification(LabelStage, SoundStage):
    """Says which of your own labels fits a recording, without training: sounds, places, music.

    A CLAP model compares the recording with a sentence about each label; `scores` are a softmax
    over all labels, best first (0..1), so labels that should hold for "none of them" must be among
    them. A recording shorter than 10 s is repeated to fill them, as in training; a longer one is
    heard in windows of 10 s, the last one ending with it, and the mean of their scores counts:
    nothing is cut at random. `windows` has the best label of each (seconds).
    """

    models: ClassVar[Defaults] = Defaults(hub="laion/clap-htsat-unfused", licence="Apache-2.0")
    example: ClassVar[Mapping[str, Any]] = {"labels": ("a dog barking", "rain", "a siren")}

    hypothesis_template: str = option(
        "This is a sound of {}.", "The sentence that a label is put into, at {}."
    )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept CLAP models."""
        if is_made_for(config, "ClapModel"):
            return None
        return why_not("zero-shot-audio-classification", "a ClapModel", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and make the labels' vectors."""
        from actors.listening.clap import ClapListener

        listener = ClapListener(files.folder, device, self.sentences(self.labels))
        return SoundClassifier(self, listener, Scorer(self.labels, "softmax", len(self.labels)))
