"""What tasks share that compare voices."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actors.audio_stage import AudioStage
from actors.errors import StageFailed
from actors.sound import Samples
from actors.speakers.models import ACTIVITY, load_activity
from actors.stage import Device, Model, ModelFiles, Row, model_option, option

if TYPE_CHECKING:
    from actors.speakers.voiceprint import Vector, Voiceprint


class VoiceStage(AudioStage):
    """Base of tasks that turn the voice in each recording that they read into a vector.

    Silence and noise are left out first; a recording in which nobody speaks is rejected
    (no_speech).
    """

    speech_only: bool = option(
        True, "Hear only where somebody speaks; false: the recording as it is, silence and all."
    )
    activity: str | None = model_option(
        hub=ACTIVITY, embedded=ACTIVITY, help="Model that finds speech, for `speech_only`."
    )

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """No model that finds speech where all is heard."""
        named = super().model_options(config)
        return [one for one in named if self.speech_only or one[0] != "activity"]

    def recordings(self, row: Row, rate: int) -> list[Samples]:
        """Return the recordings that the row has. Raises RowRejected."""
        return [self.samples(row, rate, name) for name in self.reads]

    def compare(
        self,
        voiceprint: "Voiceprint",
        files: ModelFiles,
        device: Device,
        answer: Callable[[list["Vector"]], Row],
    ) -> Model:
        """Return the model that hears the recordings and hands their vectors to `answer`."""
        from actors.speakers.passes import Hearing, Passes, Voices
        from actors.speakers.spans import Rules

        rate = voiceprint.rate
        if not self.speech_only:
            return Voices(voiceprint, lambda row: self.recordings(row, rate), answer)
        detector = load_activity(files, device)
        check_rates(rate, detector.rate)
        hearing = Hearing(detector, lambda row: self.recordings(row, rate))
        spoken = Rules()
        return Passes(
            hearing,
            Voices(voiceprint, lambda row: [h.speech(spoken) for h in row["heard"]], answer),
        )


def check_rates(voices: int, activity: int) -> None:
    """Raise StageFailed when two models cannot hear the same samples."""
    if voices != activity:
        raise StageFailed(
            f"the model hears at {voices} Hz, the one that finds speech at {activity} Hz; name one"
            f" of the same rate as `activity`"
        )
