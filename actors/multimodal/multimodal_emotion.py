"""multimodal-emotion: what words, voice and face together say of an emotion."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from actors.audio_stage import AudioStage
from actors.emotions import SEVEN
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.scores import SCORES, named
from actors.sound_stage import LONGEST
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Pass,
    Row,
    model_option,
    option,
)
from actors.text import TEXT
from actors.text_stage import TextStage

if TYPE_CHECKING:
    from actors.feeling.senses import Sense

SENSES = ("text", "audio", "image")
LEAST = 1e-3
"""No model may rule an emotion out alone: what it thinks less likely than 0.1 % counts as that."""

PER_MODALITY = pa.list_(
    pa.struct([("modality", pa.string()), ("label", pa.string()), ("score", pa.float32())])
)
"""What each model said by itself, in the order text, audio, image."""


class MultimodalEmotion(TextStage, AudioStage, ImageStage):
    """Joins what three models say of an emotion: of a text, of a voice and of a face.

    Each of the three inputs may be missing, in a pipeline (its model is then not loaded) or in a
    row; a row with none of them is rejected (null_input). Each model's labels count as one of
    anger, disgust, fear, happiness, neutral, sadness and surprise (`names` for labels that are not
    known), and its probabilities are summed and brought to 1. They are joined as a weighted mean of
    logarithms, each relative to chance (one in as many emotions as the model knows): a model says
    nothing about an emotion that it does not know. `score` and `scores` are 0..1, together 1;
    `per_modality` has each model's own best. A long recording is heard in windows, a long text as
    far as its model reads. The picture should be a face: none is looked for. What is said, heard
    and seen is not what somebody feels.

    Default models: SamLowe/roberta-base-go_emotions (MIT), superb/hubert-large-superb-er
    (Apache-2.0) and trpakov/vit-face-expression (Apache-2.0).
    """

    reads: ClassVar[Columns] = {**TEXT, "audio": pa.binary(), "image": pa.binary()}
    optional_reads: ClassVar[frozenset[str]] = frozenset(SENSES)
    models: ClassVar[Defaults | None] = None

    text_model: str | None = model_option(
        "SamLowe/roberta-base-go_emotions", None, "Classifier of texts.", reads="text"
    )
    audio_model: str | None = model_option(
        "superb/hubert-large-superb-er", None, "Classifier of voices.", reads="audio"
    )
    image_model: str | None = model_option(
        "trpakov/vit-face-expression", None, "Classifier of faces.", reads="image"
    )
    text_weight: float = option(1.0, "How much the text counts beside the others.", gt=0, le=1e3)
    audio_weight: float = option(1.0, "How much the voice counts.", gt=0, le=1e3)
    image_weight: float = option(1.0, "How much the face counts.", gt=0, le=1e3)
    names: dict[str, str] = option(
        {}, "Which of the seven emotions a model's label counts as: {label: emotion}."
    )
    window_seconds: float = option(
        LONGEST,
        "Hear longer recordings in windows of so many seconds, and take the mean.",
        ge=0.1,
        le=LONGEST,
    )

    @field_validator("names")
    @classmethod
    def _are_emotions(cls, names: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(names.values()) - set(SEVEN))
        if unknown:
            raise ValueError(f"may say {', '.join(SEVEN)}, not {', '.join(unknown)}")
        return names

    @property
    def writes(self) -> Columns:
        """The likeliest emotion, its score, all scores, each model's own, whether text was cut."""
        return {
            "emotion": pa.string(),
            "score": pa.float32(),
            "scores": SCORES,
            "per_modality": PER_MODALITY,
            "text_truncated": pa.bool_(),
        }

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Ask for one of the three."""
        return None if inputs else "it needs a column of texts, recordings or images."

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the models of the inputs that there are."""
        from actors.feeling.senses import Hearing, Looking, Reading

        there = files.others
        senses: list[Sense] = []
        if "text_model" in there:
            read = (self.names, self.max_length, self.too_long)
            senses.append(Reading(there["text_model"], device, *read))
        if "audio_model" in there:
            hear = (self.names, self.samples, self.window_seconds)
            senses.append(Hearing(there["audio_model"], device, *hear))
        if "image_model" in there:
            look = (self.names, self.picture, self.image_backend)
            senses.append(Looking(there["image_model"], device, *look))
        return Feeling(self, senses)

    def joined(self, felt: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the chances of the seven, together 1, from those of each input: float32, (7,)."""
        total, weights, known_at_all = np.zeros(len(SEVEN)), 0.0, np.zeros(len(SEVEN), bool)
        for name, chances in felt.items():
            known, weight = np.isfinite(chances), float(getattr(self, f"{name}_weight"))
            logs = np.log(np.maximum(np.where(known, chances, 1), LEAST))
            total += weight * np.where(known, logs + np.log(known.sum()), 0.0)
            weights += weight
            known_at_all |= known
        powers = np.where(known_at_all, np.exp(total / weights), 0.0)
        shares: np.ndarray = (powers / powers.sum()).astype(np.float32)
        return shares


class Feeling(Model):
    """The loaded models, a pass for each."""

    def __init__(self, stage: MultimodalEmotion, senses: Sequence["Sense"]) -> None:
        self.stage = stage
        self.senses: list[Pass] = [Asking(), *senses]
        senses[-1].after = self.answer

    @property
    def passes(self) -> Sequence[Pass]:
        """First whether there is anything, then one pass per model."""
        return self.senses

    def answer(self, row: Row) -> Row:
        """Join what the models said of a row."""
        from actors.feeling.senses import CUT, FELT

        felt = row[FELT]
        scores = named(SEVEN, self.stage.joined(felt))
        own = {name: np.nan_to_num(chances) for name, chances in felt.items()}
        return {
            "emotion": scores[0]["label"],
            "score": scores[0]["score"],
            "scores": scores,
            "per_modality": [{"modality": name, **named(SEVEN, own[name])[0]} for name in own],
            "text_truncated": row.get(CUT),
        }


class Asking(Pass):
    """Refuses rows that have nothing to look at."""

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Nothing for the device."""
        for row in rows:
            if all(row.get(name) is None for name in SENSES):
                raise RowRejected("null_input", "the row has no text, no audio and no image")
        return [[] for _ in rows]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The row as it is."""
        return row
