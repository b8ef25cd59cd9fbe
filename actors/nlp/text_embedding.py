"""text-embedding: a vector that stands for a text's meaning."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_text_encoder, why_not
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import full_text_of
from actors.text_stage import TextStage

if TYPE_CHECKING:
    from actors.texts.sentence_encoder import SentenceEncoder


class TextEmbedding(TextStage):
    """Turns a text into a vector: texts of like meaning get vectors that point the same way.

    All vectors of a model have one size. Empty texts are rejected (empty_text).
    """

    aliases: ClassVar[tuple[str, ...]] = ("feature-extraction",)
    models: ClassVar[Defaults] = Defaults(
        hub="sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        embedded="embedded:all-minilm-l6-v2",
    )
    searched: ClassVar[Mapping[str, str]] = {"text": "embedding"}

    pooling: Literal["auto", "mean", "cls"] = option(
        "auto", "How token vectors become one: their mean, the first, or what the model states."
    )
    normalize: bool = option(True, "Give all vectors length 1, so that a dot product is a cosine.")

    @property
    def writes(self) -> Columns:
        """The vector, and whether the text was cut."""
        return {"embedding": pa.list_(pa.float32()), "embedding_truncated": pa.bool_()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept text encoders."""
        if is_text_encoder(config):
            return None
        return why_not("text-embedding", "a text encoder (such as BertModel)", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the encoder."""
        from actors.texts.sentence_encoder import SentenceEncoder

        sentences = SentenceEncoder(
            files.folder, device, self.pooling, self.normalize, self.max_length
        )
        return Embedder(self, sentences)


class Embedder(Model):
    """A loaded sentence encoder."""

    def __init__(self, stage: TextEmbedding, sentences: "SentenceEncoder") -> None:
        self.stage = stage
        self.sentences = sentences
        self.batching = sentences.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text: its tokens."""
        encoder = self.sentences.encoder
        found = encoder.encode([full_text_of(row) for row in rows])
        return [[encoder.check_length(one, self.stage.too_long).item()] for one in found]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: a vector (float32) and whether the text was cut."""
        vectors = self.sentences.vectors(items)
        return [(vector, item.data.cut) for vector, item in zip(vectors, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only window's vector is the answer."""
        ((vector, cut),) = outputs
        return {"embedding": vector, "embedding_truncated": cut}
