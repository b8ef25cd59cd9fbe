"""visual-question-answering: what a picture says to a question."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.scores import labels_of, named, sigmoid
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import full_text_of

if TYPE_CHECKING:
    from actors.telling.teller import Teller
    from actors.telling.vilt import Vilt

ANSWERS = pa.list_(pa.struct([("answer", pa.string()), ("score", pa.float32())]))

NEEDED = "ViLT or BLIP with ...ForQuestionAnswering, or GIT (chat models answer as multimodal-chat)"
"""What `check` says that it accepts."""


class VisualQuestionAnswering(ImageStage):
    """Answers a question about a picture.

    ViLT scores each of the answers that it knows, by itself (0..1): `answer` and `score` are the
    best, `answers` the best `top_k`. BLIP and GIT write one answer; its score is the mean
    probability of its tokens, and `answers` holds it alone. Questions longer than the model takes
    (ViLT: 40 tokens) are rejected (too_long), or with `too_long: truncate` read to that length;
    `question_truncated` says so. ViLT looks at all of a picture also where its configuration asks
    for a draw of its patches.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "question": pa.string()}
    models: ClassVar[Defaults] = Defaults(
        hub="dandelin/vilt-b32-finetuned-vqa", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {"question": "How many people are there?"}

    top_k: int = option(5, "ViLT: most answers in `answers`.", ge=1, le=10_000)
    too_long: Literal["reject", "truncate"] = option(
        "reject",
        "A question longer than the model takes: reject the row (too_long), or read its beginning"
        " and set `question_truncated`.",
    )
    max_new_tokens: int = option(10, "BLIP, GIT: most tokens of an answer.", ge=1, le=10_000)
    num_beams: int = option(1, "BLIP, GIT: beams of the search; 1: greedy.", ge=1, le=64)

    @property
    def writes(self) -> Columns:
        """The best answer, its score, the best few, and whether the question was cut."""
        return {
            "answer": pa.string(),
            "score": pa.float32(),
            "answers": ANSWERS,
            "question_truncated": pa.bool_(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that answer questions about pictures."""
        family = config.get("model_type")
        answers = is_made_for(config, "ForQuestionAnswering") and family in ("vilt", "blip")
        if answers or family == "git":
            return None
        return why_not("visual-question-answering", NEEDED, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoConfig

        from actors.telling.teller import BlipAnswerer, Git
        from actors.telling.vilt import Vilt

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        if config.model_type == "vilt":
            return Chooser(self, Vilt(files.folder, device, self.image_backend))
        settings = {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams}
        kind = BlipAnswerer if config.model_type == "blip" else Git
        return Writer(self, kind(files.folder, device, self.image_backend, settings))

    def answer(self, found: Sequence[Row], cut: bool) -> Row:
        """Return the columns for answers, the best first."""
        best = list(found[: self.top_k])
        return {**best[0], "answers": best, "question_truncated": cut}


class Asker(Model):
    """What both kinds of models share: a picture and a question are one item."""

    def __init__(self, stage: VisualQuestionAnswering, mind: "Vilt | Teller") -> None:
        self.stage = stage
        self.mind = mind
        self.batching = mind.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        words = full_text_of(row, "question")
        picture = self.stage.picture(row, self.mind.side)
        return self.mind.item(picture, words, cut=self.stage.too_long == "truncate")


class Chooser(Asker):
    """A loaded ViLT, which knows its answers."""

    mind: "Vilt"

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the score of each answer, float32, and whether the question was cut."""
        scores = sigmoid(self.mind.logits(items))
        return [(score, item.data.cut) for score, item in zip(scores, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best answers."""
        ((scores, cut),) = outputs
        found = named(labels_of(self.mind.viewer.config), scores)[: self.stage.top_k]
        return self.stage.answer(
            [{"answer": one["label"], "score": one["score"]} for one in found], cut
        )


class Writer(Asker):
    """A loaded model that writes its answer."""

    mind: "Teller"

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: what was written, and whether the question was cut."""
        return [
            (one, item.data.cut) for one, item in zip(self.mind.tell(items), items, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only answer."""
        ((written, cut),) = outputs
        return self.stage.answer([{"answer": written.text.strip(), "score": written.chance}], cut)
