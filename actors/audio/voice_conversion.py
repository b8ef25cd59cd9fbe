"""voice-conversion: the same words, in another voice."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import field_validator

from actors import sound
from actors.architecture import is_made_for, why_not
from actors.audio_stage import AudioStage
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    model_option,
    option,
)  # fmt: skip
from actors.voices.speaker import COLUMN, read_vector, vector_of, why_not_this_size
from actors.voices.utterances import joined
from actors.voices.windows import quiet_parts

if TYPE_CHECKING:
    from actors.voices.speecht5_converter import SpeechT5Converter

SPEECHT5 = "SpeechT5ForSpeechToSpeech"


class VoiceConversion(AudioStage):
    """Says again in another voice what a recording says.

    The model is a SpeechT5 with its vocoder; whose voice it takes is a speaker's x-vector (512
    numbers, as speechbrain/spkrec-xvect-voxceleb makes them) from the column `speaker_embedding`,
    else from the option; without either it takes zeros, and nobody's voice. The decoder leaves out
    by chance, even after training; the chance comes from `seed`, so a row sounds the same in any
    batch, and on a GPU otherwise than on a CPU. Recordings longer than `part_seconds` are said part
    by part, cut where they are quietest. Only parts of exactly equal length share a batch.
    """

    reads: ClassVar[Columns] = {**AudioStage.reads, **COLUMN}
    optional_reads: ClassVar[frozenset[str]] = frozenset(COLUMN)
    models: ClassVar[Defaults] = Defaults(hub="microsoft/speecht5_vc", licence="MIT")

    speaker_embedding: tuple[float, ...] | None = option(
        None, "Whose voice; numbers, or the path of a .npy file with them."
    )
    vocoder: str | None = model_option(
        "microsoft/speecht5_hifigan", None, "What makes sound of the model's spectrograms."
    )
    part_seconds: float = option(20.0, "Seconds of speech said at once, at most.", ge=1, le=120)
    stretch: float = option(
        1.5, "An answer may be so many times as long as what was heard; there it ends.", ge=1, le=16
    )
    seed: int = option(0, "What chance starts from.", ge=0, le=2**31)
    format: Literal["wav", "flac"] = option("wav", "Format of the sound, 16 bits a sample.")

    _read = field_validator("speaker_embedding", mode="before")(read_vector)

    @property
    def writes(self) -> Columns:
        """The sound as a file of one channel, its rate in Hz and its length."""
        return {
            "converted_audio": pa.binary(),
            "sampling_rate": pa.int32(),
            "seconds": pa.float32(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept a SpeechT5 from speech to speech."""
        if not is_made_for(config, SPEECHT5):
            return why_not("voice-conversion", f"a {SPEECHT5}", config)
        return why_not_this_size(self.speaker_embedding, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model and its vocoder."""
        from actors.voices.speecht5_converter import SpeechT5Converter

        folders = files.folder, files.others["vocoder"]
        return Converter(self, SpeechT5Converter(folders, device, self.seed, self.stretch))


class Converter(Model):
    """A loaded SpeechT5 that converts recordings."""

    def __init__(self, stage: VoiceConversion, converter: "SpeechT5Converter") -> None:
        self.stage = stage
        self.converter = converter
        self.model = converter.model
        self.batching = self.model.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per part of a recording."""
        return [self._parts(row) for row in rows]

    def _parts(self, row: Row) -> list[Item]:
        rate, stage = self.converter.rate, self.stage
        speaker = vector_of(row, stage.speaker_embedding, self.model.speaker_size)
        parts = quiet_parts(stage.samples(row, rate), rate, stage.part_seconds)
        return [self.converter.item(part, speaker) for part in parts]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its samples."""
        return self.model.say(items)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the parts into one file."""
        samples, rate = joined(outputs, self.model.rate, pause=0.0), self.model.rate
        return {
            "converted_audio": sound.encode(samples, rate, self.stage.format.upper()),
            "sampling_rate": rate,
            "seconds": len(samples) / rate,
        }
