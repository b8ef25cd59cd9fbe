"""text-to-speech: a text, read aloud."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import field_validator

from actors import sound
from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    Stage,
    model_option,
    option,
)  # fmt: skip
from actors.text import TEXT, full_text_of
from actors.voices.speaker import COLUMN, read_vector, why_not_this_size
from actors.voices.utterances import joined, utterances

if TYPE_CHECKING:
    from actors.voices.voice import Voice

VITS, SPEECHT5, BARK = ("VitsModel", "PiperVoice"), "SpeechT5ForTextToSpeech", "BarkModel"


class TextToSpeech(Stage):
    """Reads a text aloud, sentence by sentence, with short pauses between them.

    Voices: VITS (MMS and others), Piper's as embedded, SpeechT5 with its vocoder, Bark without
    voice presets. What a voice draws by chance comes from `seed` and the sentence, so a row sounds
    the same in any batch; on a GPU it sounds otherwise than on a CPU. Numbers and signs are read as
    the model's own tokenizer has it; signs that it does not know are left out. SpeechT5 takes a
    speaker's x-vector (512 numbers, as speechbrain/spkrec-xvect-voxceleb makes them) from the
    column `speaker_embedding`, else from the option; without either it takes zeros, and nobody's
    voice. Empty texts are rejected (empty_text), those without anything that can be said
    (nothing_to_say), and those beyond `max_characters` (too_long).
    """

    aliases: ClassVar[tuple[str, ...]] = ("text-to-audio",)
    reads: ClassVar[Columns] = {**TEXT, **COLUMN}
    optional_reads: ClassVar[frozenset[str]] = frozenset(COLUMN)
    models: ClassVar[Defaults] = Defaults(
        hub="microsoft/speecht5_tts", licence="MIT", embedded="embedded:piper-joe-medium"
    )
    sample: ClassVar[Row] = {"text": "Good morning. The first train leaves at seven."}

    speaker: int = option(
        0, "VITS of several voices: which one, counted from 0.", ge=0, le=1_000_000
    )
    speed: float = option(1.0, "VITS: times the model's own pace.", ge=0.25, le=4)
    speaker_embedding: tuple[float, ...] | None = option(
        None, "SpeechT5: whose voice; numbers, or the path of a .npy file with them."
    )
    vocoder: str | None = model_option(
        "microsoft/speecht5_hifigan", None, "SpeechT5: what makes sound of its spectrograms."
    )
    seed: int = option(0, "What chance starts from.", ge=0, le=2**31)
    pause: float = option(0.25, "Silence between sentences, in seconds.", ge=0, le=60)
    max_characters: int = option(
        20_000, "Longer texts are rejected; these take some 20 minutes to say.", ge=1, le=10_000_000
    )
    format: Literal["wav", "flac"] = option("wav", "Format of the sound, 16 bits a sample.")

    _read = field_validator("speaker_embedding", mode="before")(read_vector)

    @property
    def writes(self) -> Columns:
        """The sound as a file of one channel, its rate in Hz and its length."""
        return {"audio": pa.binary(), "sampling_rate": pa.int32(), "seconds": pa.float32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that speak, and options that they have."""
        if is_made_for(config, *VITS):
            voices = config.get("num_speakers", 1)
            return (
                f"the model has {voices} voices, counted from 0; speaker is {self.speaker}"
                if self.speaker >= voices
                else None
            )
        if not is_made_for(config, SPEECHT5, BARK):
            needed = "a VITS, Piper, SpeechT5 (...ForTextToSpeech) or Bark model"
            return why_not("text-to-speech", needed, config)
        if self.speed != 1 or self.speaker:
            return "speed and speaker are options of VITS models"
        size = why_not_this_size(self.speaker_embedding, config)
        return size if is_made_for(config, SPEECHT5) else None

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The vocoder, for a SpeechT5."""
        needed = config is not None and is_made_for(config, SPEECHT5)
        return super().model_options(config) if needed else []

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the voice, whichever it is."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True).to_dict()
        return Reader(self, self._voice(config, files, device))

    def _voice(self, config: Mapping[str, Any], files: ModelFiles, device: Device) -> "Voice":
        if is_made_for(config, *VITS):
            from actors.voices.vits import Vits

            return Vits(files.folder, device, self.seed, self.speaker, self.speed)
        if is_made_for(config, BARK):
            from actors.voices.bark import Bark

            return Bark(files.folder, device, self.seed)
        from actors.voices.speecht5_reader import SpeechT5Reader

        folders = files.folder, files.others["vocoder"]
        return SpeechT5Reader(folders, device, self.seed, self.speaker_embedding)


class Reader(Model):
    """A loaded voice that reads texts."""

    def __init__(self, stage: TextToSpeech, voice: "Voice") -> None:
        self.stage = stage
        self.voice = voice
        self.batching = voice.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per sentence that has something to say."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        text, most = full_text_of(row), self.stage.max_characters
        if len(text) > most:
            raise RowRejected("too_long", f"the text has {len(text)} characters, {most} may be")
        found = [self.voice.item(sentence, row) for sentence in utterances(text)]
        items = [item for item in found if item is not None]
        if not items:
            raise RowRejected("nothing_to_say", "the text holds nothing that this voice can say")
        return items

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its samples."""
        return self.voice.say(items)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the sentences into one file."""
        rate = self.voice.rate
        samples = joined(outputs, rate, self.stage.pause)
        return {
            "audio": sound.encode(samples, rate, self.stage.format.upper()),
            "sampling_rate": rate,
            "seconds": len(samples) / rate,
        }
