"""speaker-attribution: who said what."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from actors.errors import RowRejected
from actors.speakers.turns import TURN
from actors.speakers.utterances import spoken, spoken_words
from actors.stage import Columns, Device, Item, Model, ModelFiles, Row, Stage

SEGMENT = pa.struct([("start", pa.float32()), ("end", pa.float32()), ("text", pa.string())])
WORD = pa.struct([("word", pa.string()), ("start", pa.float32()), ("end", pa.float32())])
UTTERANCE = pa.struct(
    [
        ("speaker", pa.string()),
        ("start", pa.float32()),
        ("end", pa.float32()),
        ("text", pa.string()),
    ]
)


class SpeakerAttribution(Stage):
    """Says who said what: joins the turns of speaker-diarization with recognised speech.

    Each word goes to the speaker whose turns share most of its time, else to the nearest turn; but
    a sentence, where the recogniser writes marks, goes whole to whom two thirds of its words do.
    Neighbouring words of one speaker are an utterance. Where the row has no words, whole segments
    are given away, and one that crosses a change of speakers stays in one piece: let
    automatic-speech-recognition answer words. `transcript` has a line per utterance, "SPEAKER_1:
    ...". Works without a model. What is said where there are no turns at all is by UNKNOWN.
    """

    reads: ClassVar[Columns] = {
        "turns": pa.list_(TURN),
        "segments": pa.list_(SEGMENT),
        "words": pa.list_(WORD),
    }
    rounds: ClassVar[bool] = True
    optional_reads: ClassVar[frozenset[str]] = frozenset({"words"})
    sample: ClassVar[Row] = {
        "turns": [
            {"start": 0.0, "end": 1.4, "speaker": "SPEAKER_1"},
            {"start": 1.5, "end": 2.2, "speaker": "SPEAKER_2"},
        ],
        "segments": [
            {"start": 0.1, "end": 1.3, "text": "How are you?"},
            {"start": 1.6, "end": 2.1, "text": "Fine."},
        ],
    }

    @property
    def writes(self) -> Columns:
        """The utterances in order, and the same as text."""
        return {"utterances": pa.list_(UTTERANCE), "transcript": pa.string()}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """There is nothing to load."""
        return Attribution()


class Attribution(Model):
    """Gives words to turns; nothing goes to the device."""

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """No items; raises RowRejected for a row without turns or speech."""
        for row in rows:
            _check("turns", row["turns"])
            if row.get("words") is None:
                _check("segments", row["segments"])
        return [[] for _ in rows]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Give words, or segments, to speakers."""
        words, turns = row.get("words"), row["turns"]
        if words is None:
            utterances = spoken(row["segments"], turns)
        else:
            utterances = spoken_words([{**w, "text": w["word"]} for w in words], turns)
        lines = [f"{one['speaker']}: {one['text']}" for one in utterances]
        return {"utterances": utterances, "transcript": "\n".join(lines)}


def _check(name: str, value: Any) -> None:
    if value is None:
        raise RowRejected("null_input", f"the row has no {name}")
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise RowRejected("wrong_type", f"{name} is {type(value).__name__}, expected a list")
