"""speaker-identification: which of known speakers is heard."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import config_in, is_made_for, why_not
from actors.errors import StageFailed
from actors.scores import SCORES
from actors.speakers.models import knows_voices, load_voiceprint
from actors.stage import Columns, Defaults, Device, Model, ModelFiles, Row, folder_option, option
from actors.voice_stage import VoiceStage

if TYPE_CHECKING:
    from actors.speakers.voiceprint import Vector, Voiceprint

CLASSIFIER = "ForSequenceClassification"


class SpeakerIdentification(VoiceStage):
    """Says which of known speakers is heard in a recording.

    Known by example: `enrolment` names a folder with a recording, or a sub-folder of recordings,
    for each speaker, and the model turns voices into vectors; `score` is the cosine with the
    nearest speaker (-1..1), `embedding` the vector. Or known to a classifier, from its training:
    `score` is a probability (0..1), `embedding` null. `speaker` is null where the score does not
    reach the threshold: it is somebody else. A recording in which nobody speaks is rejected
    (no_speech).
    """

    models: ClassVar[Defaults] = Defaults(
        hub="anton-l/wav2vec2-base-superb-sv",
        licence="Apache-2.0",
        embedded="embedded:resemblyzer",
    )
    example: ClassVar[Mapping[str, Any]] = {"enrolment": "./speakers"}

    enrolment: str | None = folder_option(
        "Folder of known speakers: NAME.wav, or NAME/ANY.wav; not for classifiers. Its content is"
        " part of the stage's fingerprint."
    )
    threshold: float | None = option(
        None,
        "Score that a speaker must reach; default: 0.75 with Resemblyzer, 0.86 with x-vectors, 0"
        " with classifiers.",
        ge=-1,
        le=1,
    )
    top_k: int = option(5, "Most speakers in `scores`.", ge=1, le=10_000)

    @property
    def writes(self) -> Columns:
        """The speaker, the best few with their scores, and the voice."""
        return {
            "speaker": pa.string(),
            "score": pa.float32(),
            "scores": SCORES,
            "embedding": pa.list_(pa.float32()),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of voices with an enrolment, and classifiers without."""
        if is_made_for(config, CLASSIFIER):
            if self.enrolment is None:
                return None
            return "a classifier knows its speakers already; leave `enrolment` out"
        if not knows_voices(config):
            needed = f"a ...ForXVector or ...{CLASSIFIER} model, or embedded:resemblyzer"
            return why_not("speaker-identification", needed, config)
        if self.enrolment is None:
            return "it knows no speakers yet: name a folder of their recordings as `enrolment`"
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and hear the known speakers."""
        problem = self.check(config_in(files.folder))
        if problem:
            raise StageFailed(f"{files.folder}: {problem}")
        if self.enrolment is None:
            return self._classifier(files, device)
        from actors.speakers.enrolment import Enrolment

        voiceprint = load_voiceprint(files.folder, device)
        known = Enrolment(files.others["enrolment"], self._hear(voiceprint, files, device))

        def answer(voices: list["Vector"]) -> Row:
            scores = known.similarities(voices[0])
            return self._named(known.names, scores, voiceprint, voices[0].tolist())

        return self.compare(voiceprint, files, device, answer)

    def _classifier(self, files: ModelFiles, device: Device) -> Model:
        from actors.speakers.classifier import SpeakerClassifier

        model = SpeakerClassifier(files.folder, device)
        return self.compare(
            model, files, device, lambda found: self._named(model.labels, found[0], model, None)
        )

    def _hear(
        self, voiceprint: "Voiceprint", files: ModelFiles, device: Device
    ) -> Callable[[bytes], "Vector"]:
        """Return what turns an enrolled recording, all channels mixed, into its vector."""
        from actors.speakers.passes import answer_alone

        mixed = self.model_copy(update={"channel": None})
        model = mixed.compare(voiceprint, files, device, lambda voices: {"voice": voices[0]})

        def voice_of(audio: bytes) -> "Vector":
            voice: Vector = answer_alone(model, {"audio": audio})["voice"]
            return voice

        return voice_of

    def _named(
        self,
        names: Sequence[str],
        scores: "Vector",
        model: "Voiceprint",
        embedding: list[float] | None,
    ) -> Row:
        """Name the best speakers."""
        least = model.threshold if self.threshold is None else self.threshold
        best = np.argsort(-scores, kind="stable")[: self.top_k]
        found = [{"label": names[n], "score": float(scores[n])} for n in best]
        known = found[0]["score"] >= least
        return {
            "speaker": found[0]["label"] if known else None,
            "score": found[0]["score"],
            "scores": found,
            "embedding": embedding,
        }
