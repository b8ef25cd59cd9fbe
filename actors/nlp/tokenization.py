"""tokenization: the tokens of a text, as a model would read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import why_not
from actors.errors import RowRejected, StageFailed
from actors.stage import Batching, Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import SPAN, text_of
from actors.text_stage import TextStage

# Keys of a config.json that tell of a vocabulary, by themselves or in a part for text.
VOCABULARY = ("vocab", "text", "encoder", "decoder", "tokenizer", "llm_", "language")
# Ids, offsets, masks and a short string: a token of the tokenizers library.
TOKEN_BYTES = 100


class Tokenization(TextStage):
    """Cuts texts into a model's tokens: ids, tokens, and where each stands in the text.

    `offsets` are code points of the text as given: null for special tokens, and null as a whole
    for the few tokenizers that do not tell them (those written in Python, such as ByT5's).
    `n_tokens` counts `ids`. A text is read to its end unless `max_length` is given;
    `tokens_truncated` says whether it was cut. An empty text has special tokens only. Any
    tokenizer serves: of a model on the hub, whose weights are not fetched, or of a folder with
    nothing but its files.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="google-bert/bert-base-uncased",
        licence="Apache-2.0",
        embedded="embedded:all-minilm-l6-v2",
    )
    weights: ClassVar[bool] = False
    chunk: ClassVar[int] = 32

    max_length: int | None = option(
        None,
        "Most tokens of a text, special ones included; default: all, however many.",
        ge=8,
        le=1_000_000,
    )
    add_special_tokens: bool = option(
        True, "Add the special tokens that the model expects, such as [CLS] and [SEP]."
    )

    @property
    def writes(self) -> Columns:
        """The tokens and how many they are, and whether the text was cut."""
        return {
            "ids": pa.list_(pa.int32()),
            "tokens": pa.list_(pa.string()),
            "offsets": pa.list_(SPAN),
            "n_tokens": pa.int32(),
            "tokens_truncated": pa.bool_(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that read text; a folder with a tokenizer alone is not asked."""
        if any(word in key for key in config for word in VOCABULARY):
            return None
        return why_not("tokenization", "a model with a vocabulary", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the tokenizer."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise StageFailed(f"{files.folder} holds no tokenizer that opens: {error}") from error
        return Fast(self, tokenizer) if tokenizer.is_fast else Slow(self, tokenizer)

    def checked(self, cut: bool) -> bool:
        """Return whether the text was cut; raise RowRejected if it must not be."""
        if cut and self.too_long == "reject":
            raise RowRejected(
                "too_long",
                f"the text has more than {self.max_length} tokens;"
                " set too_long to 'truncate' to keep its beginning",
            )
        return cut


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's tokens, as the tokenizers library holds them, and whether the text was cut."""

    found: Any
    cut: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory, roughly, for the worker's bound on what waits."""
        return TOKEN_BYTES * len(self.found.ids)


class Fast(Model):
    """A tokenizer of the tokenizers library. Its work is preparation: no device is needed."""

    batching = Batching("fixed")

    def __init__(self, stage: Tokenization, tokenizer: Any) -> None:
        self.stage = stage
        self.backend = tokenizer.backend_tokenizer
        vocabulary = self.backend.get_vocab(with_added_tokens=True)
        # By id: the library's own `tokens` shows what stands in the text where it is unknown.
        self.names = {number: name for name, number in vocabulary.items()}
        self.backend.no_padding()
        self.backend.no_truncation()
        if stage.max_length is not None:
            self.backend.enable_truncation(stage.max_length)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text: its tokens."""
        texts = [text_of(row) for row in rows]
        special = self.stage.add_special_tokens
        encoded = self.backend.encode_batch(texts, add_special_tokens=special)
        return [[Item(Encoded(one, self.stage.checked(self._cut(one))))] for one in encoded]

    def _cut(self, found: Any) -> bool:
        # Asking for the overflow copies all of it, so only texts that fill the limit are asked.
        most = self.stage.max_length
        return most is not None and len(found.ids) >= most and bool(found.overflowing)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """The tokens, which are there already."""
        return [item.data for item in items]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Write the tokens out."""
        ((found, cut),) = [(one.found, one.cut) for one in outputs]
        places = zip(found.offsets, found.special_tokens_mask, strict=True)
        return {
            "ids": found.ids,
            "tokens": [self.names[number] for number in found.ids],
            "offsets": [None if special else {"start": a, "end": b} for (a, b), special in places],
            "n_tokens": len(found.ids),
            "tokens_truncated": cut,
        }


class Slow(Model):
    """A tokenizer written in Python: it does not tell where its tokens stand."""

    batching = Batching("fixed")

    def __init__(self, stage: Tokenization, tokenizer: Any) -> None:
        self.stage = stage
        self.tokenizer = tokenizer

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text: its ids (int64), and whether it was cut."""
        return [[Item(self._ids(text_of(row)))] for row in rows]

    def _ids(self, text: str) -> tuple[np.ndarray, bool]:
        special, most = self.stage.add_special_tokens, self.stage.max_length
        ids = self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        cut = self.stage.checked(most is not None and len(ids) > most)
        if cut:
            limits = {"truncation": True, "max_length": most}
            ids = self.tokenizer(text, add_special_tokens=special, **limits)["input_ids"]
        return np.asarray(ids, dtype=np.int64), cut

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """The ids, which are there already."""
        return [item.data for item in items]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Write the tokens out."""
        ((found, cut),) = outputs
        ids = found.tolist()
        return {
            "ids": ids,
            "tokens": self.tokenizer.convert_ids_to_tokens(ids),
            "offsets": None,
            "n_tokens": len(ids),
            "tokens_truncated": cut,
        }
