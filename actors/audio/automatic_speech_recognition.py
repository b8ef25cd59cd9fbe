"""automatic-speech-recognition: what is said in a recording, and when."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from actors.architecture import is_made_for, why_not
from actors.audio_stage import AudioStage
from actors.hearing.transcript import COLUMNS
from actors.listening.families import ENGLISH_ONLY_WORDS, RAW
from actors.stage import Columns, Defaults, Device, Model, ModelFiles, option

WINDOW = 30.0
"""Seconds of a window of models that spell: what they were trained on is half as long."""

ONLY_WHISPER = ("language", "task", "num_beams", "max_new_tokens")
ONLY_SPELLERS = ("window_seconds", "overlap_seconds")
"""Options that mean nothing to the other kind of model."""


class AutomaticSpeechRecognition(AudioStage):
    """Writes down what is said in a recording of any length, and when.

    Whisper hears windows that are cut at pauses; models that spell (wav2vec 2.0 and its kin,
    ...ForCTC) hear windows that overlap. `language` is a code such as en; null where the model
    does not tell it, or nobody speaks. `segments` are sentences, or less where there is a pause;
    of a translation, or a model that cannot tell when a word was said, they are whole windows.
    Silence has an empty text.
    """

    aliases: ClassVar[tuple[str, ...]] = ("speech-to-text",)
    models: ClassVar[Defaults] = Defaults(
        hub="openai/whisper-small", licence="Apache-2.0", embedded="embedded:whisper-base"
    )

    language: str | None = option(
        None,
        "Whisper: the code of the language that is spoken, such as en; default: detected in each"
        " recording's first window.",
        min_length=2,
        max_length=8,
    )
    task: Literal["transcribe", "translate"] = option(
        "transcribe", "Whisper: write in the language that is spoken, or in English."
    )
    timestamps: Literal["none", "segment", "word"] = option(
        "segment", "Tell when segments were said, or words too. The text is the same."
    )
    num_beams: int = option(
        1, "Whisper: beams of the search; 1 takes the likeliest token.", ge=1, le=16
    )
    max_new_tokens: int | None = option(
        None, "Whisper: most tokens of a window; default: all there is room for.", ge=1, le=10_000
    )
    window_seconds: float | None = option(
        None, f"Models that spell: length of a window; default: {WINDOW:g}.", ge=1, le=300
    )
    overlap_seconds: float | None = option(
        None,
        "Models that spell: what a window shares with each neighbour; default: a sixth of it.",
        ge=0.1,
        le=60,
    )

    @property
    def writes(self) -> Columns:
        """Text, language, segments and words."""
        return COLUMNS

    @property
    def window(self) -> tuple[float, float]:
        """A window's length and what it shares with each neighbour, in seconds."""
        length = self.window_seconds or WINDOW
        return length, length / 6 if self.overlap_seconds is None else self.overlap_seconds

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse options that contradict each other."""
        if self.task == "translate" and self.timestamps == "word":
            raise ValueError(
                "timestamps 'word' cannot be had with task 'translate': the words of a translation"
                " are not in the recording; set timestamps to 'segment'"
            )
        length, overlap = self.window
        if 2 * overlap >= length:
            raise ValueError(
                f"a window of {length:g} s cannot share {overlap:g} s with each of two neighbours;"
                " set overlap_seconds below half of window_seconds"
            )
        return self

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept Whisper and models that spell, with the options that are theirs."""
        if is_made_for(config, "WhisperForConditionalGeneration"):
            whisper = "Whisper, which hears 30 s at a time,"
            return self._mistaken(whisper, ONLY_SPELLERS) or self._not_known(config)
        if is_made_for(config, "ForCTC") and config.get("model_type") in RAW:
            return self._mistaken("a model that spells (...ForCTC)", ONLY_WHISPER)
        needed = "a Whisper model, or one that spells raw sound (...ForCTC of wav2vec 2.0 and kin)"
        return why_not("automatic-speech-recognition", needed, config)

    def _mistaken(self, kind: str, others: tuple[str, ...]) -> str | None:
        """Refuse options that are another kind of model's."""
        asked = [name for name in others if getattr(self, name) != self._default(name)]
        if not asked:
            return None
        return f"{kind} has no use for {', '.join(asked)}; take the option away"

    def _default(self, name: str) -> Any:
        return type(self).model_fields[name].default

    def _not_known(self, config: Mapping[str, Any]) -> str | None:
        """Refuse what a Whisper model of English alone cannot do."""
        if config.get("vocab_size") != ENGLISH_ONLY_WORDS:
            return None
        if self.task == "translate":
            return "the model knows English alone: it cannot translate; name one of many languages"
        if self.language not in (None, "en"):
            return (
                f"the model knows English alone, not '{self.language}'; name one of many languages"
            )
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load Whisper or a speller, whichever the model is."""
        from transformers import AutoConfig

        from actors.hearing.ctc import Speller
        from actors.hearing.dictation import Dictation
        from actors.hearing.hearer import Hearer
        from actors.hearing.whisper import Whisper, Wishes

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        if config.model_type != "whisper":
            return Speller(self, files.folder, device, self.timestamps, *self.window)
        wishes = Wishes(
            self.language, self.task, self.timestamps, self.num_beams, self.max_new_tokens
        )
        return Dictation(self, Hearer(Whisper(files.folder, device, wishes)))
