"""What all tasks on text models share: a fast tokenizer used once per block, and one forward.

Nothing here keeps state between calls, so `encode` may run in several threads at once.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from actors.errors import RowRejected, StageFailed
from actors.stage import Batching, Device, Item
from actors.writing.generation import ENCODER_DECODERS, Generation, padded

# Families whose answers do not change when rows are padded under the attention mask: each one is
# compared, padded against alone, in tests/test_text_encoder.py. Any other family only meets rows of
# its own length: convolution (ConvBERT), Fourier mixing (FNet) and pooling (Funnel) see padding.
PADDING_IS_EXACT = frozenset(
    {
        *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
        *("modernbert", "mpnet", "roberta", "xlm-roberta"),
    }
).union(ENCODER_DECODERS)
# RoBERTa and its kin count positions from pad_token_id + 1, so two of the 514 rows never serve.
POSITIONS_START_AFTER_PAD = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
# For a model that states no length at all (T5's positions are relative): what BERT and T5 saw.
USUAL_LENGTH = 512
# Tokenizers without a stated length say 1e30.
UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """One window of a text: token ids (int64), whether it is the cut start of a longer text, what
    the task wants to find again beside the answer, and, for two texts in one window, the number of
    the text that each token belongs to (int64), as the tokenizer counts."""

    ids: np.ndarray
    cut: bool = False
    note: Any = None
    types: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.ids.nbytes)

    def item(self) -> Item:
        """Return the item for the batcher: cost and shape are the number of tokens."""
        return Item(self, cost=len(self.ids), shape=len(self.ids))


def longest_input(tokenizer: Any, config: Any) -> int:
    """Return the most tokens, special ones included, that the model takes."""
    limits = [tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions and getattr(config, "relative_attention", False) is False:
        offset = config.pad_token_id + 1 if config.model_type in POSITIONS_START_AFTER_PAD else 0
        limits.append(positions - offset)
    known = [limit for limit in limits if limit < UNLIMITED]
    return min(known) if known else USUAL_LENGTH


class Encoder:
    """A text model with its tokenizer.

    max_length  most tokens in one window, special ones included; None or more than the model
                takes means what the model takes.
    overlap     tokens that neighbouring windows share, if the task uses `windows`.
    """

    def __init__(
        self,
        model: Any,
        folder: Path,
        device: Device,
        max_length: int | None = None,
        overlap: int = 0,
    ) -> None:
        self.model = model
        self.device = device
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not self.tokenizer.is_fast:
            raise StageFailed(f"{folder} has no fast tokenizer (tokenizer.json), which is needed")
        if any(self.tokenizer.backend_tokenizer.encode("a").type_ids):
            raise StageFailed(f"{folder} marks texts by token types, as XLNet does: not supported")
        limit = longest_input(self.tokenizer, model.config)
        self.length = min(limit, max_length or limit)
        self.backend = self._backend(overlap)
        self.pad = self.tokenizer.pad_token_id
        if self.pad is None:
            self.pad = getattr(model.config, "pad_token_id", None)
        # A DistilBERT saved with BERT's tokenizer is given types that it cannot read.
        reads = inspect.signature(model.forward).parameters
        self.typed = "token_type_ids" in reads and "token_type_ids" in (
            self.tokenizer.model_input_names
        )

    def _backend(self, overlap: int) -> Any:
        """Return the tokenizer proper, set up once: changing it later is not safe in threads."""
        backend = self.tokenizer.backend_tokenizer
        special = backend.num_special_tokens_to_add(False)
        if self.length <= special:
            raise StageFailed(f"max_length {self.length} leaves no room beside {special} marks")
        backend.no_padding()
        # Half a window at most: more would make windows advance by next to nothing.
        self.overlap = min(overlap, (self.length - special) // 2)
        backend.enable_truncation(self.length, stride=self.overlap)
        return backend

    @property
    def batching(self) -> Batching:
        """How rows may share a batch: padded where that is exact, else only at equal length."""
        exact = self.model.config.model_type in PADDING_IS_EXACT and self.pad is not None
        rows = 64 if self.pad is not None else 1
        return Batching("length" if exact else "shape", rows=rows, budget=self._budget())

    def _budget(self) -> int:
        # Rows per CPU-s of a MiniLM-sized BERT on short texts, by budget: 512 138, 1,024 134,
        # 2,048 128, 4,096 105, 8,192 85, 16,384 78: beyond 2,048 the activations leave the cache.
        # A GPU wants larger matrices.
        return 1_024 if self.device.name == "cpu" else 16_384

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the (first) window of each text."""
        return [self._tokens(found) for found in self.backend.encode_batch_fast(list(texts))]

    def _tokens(self, found: Any) -> Tokens:
        ids = np.asarray(found.ids, dtype=np.int64)
        # Asking for the overflow copies all of it, so only texts that fill the window are asked.
        return Tokens(ids, cut=len(ids) >= self.length and bool(found.overflowing))

    def windows(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """Return all windows of each text: none for one without tokens. The note of each is its
        tokens' offsets (code points, int64 (n, 2)) and which tokens are not special (bool (n,))."""
        return [self._windows(found) for found in self.backend.encode_batch(list(texts))]

    def _windows(self, found: Any) -> list[Tokens]:
        parts = [found, *(found.overflowing if len(found) >= self.length else ())]
        return [_located(part) for part in parts if not all(part.special_tokens_mask)]

    def check_length(self, tokens: Tokens, too_long: str) -> Tokens:
        """Return the tokens; raise RowRejected for a cut text unless `too_long` is "truncate"."""
        if tokens.cut and too_long == "reject":
            raise RowRejected(
                "too_long",
                f"the text has more than {self.length} tokens;"
                " set too_long to 'truncate' to use its beginning",
            )
        return tokens

    def inputs(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Return the model's inputs, padded on the right to the longest item, on the device."""
        given = padded(items, self.pad, self.device)
        if self.typed and items[0].data.types is not None:
            types = torch.zeros_like(given["input_ids"])
            known = np.concatenate([item.data.types for item in items])
            types[given["attention_mask"].bool()] = torch.from_numpy(known).to(types)
            given["token_type_ids"] = types
        return given

    def outputs(self, items: Sequence[Item], *names: str) -> list[np.ndarray]:
        """Return these outputs of the model: each float32, (items, ...)."""
        with torch.inference_mode():
            found = self.model(**self.inputs(items))
        return [getattr(found, name).float().cpu().numpy() for name in names]

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return the model's logits: float32, (items, ...)."""
        return self.outputs(items, "logits")[0]

    def logits_at(self, items: Sequence[Item], token: int) -> list[np.ndarray]:
        """Return, per item, the logits at the places of one token: float32, (places, ...).

        Only those leave the device: a vocabulary's logits for each token of a batch are gigabytes.
        """
        inputs = self.inputs(items)
        places = inputs["input_ids"] == token
        with torch.inference_mode():
            found = self.model(**inputs).logits[places].float().cpu().numpy()
        return np.split(found, places.sum(dim=1).cumsum(0)[:-1].tolist())

    def writing(self, beams: int | None) -> Batching:
        """How rows may share a batch that a sequence-to-sequence model answers with `beams`."""
        return Generation(self.model, self.tokenizer, self.device).batching(beams)

    def generate(self, items: Sequence[Item], settings: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Return what a sequence-to-sequence model writes for each item, and its tokens' number,
        the end mark counted."""
        written = Generation(self.model, self.tokenizer, self.device).write(items, settings)
        return [(one.text.strip(), one.count) for one in written]


def _located(found: Any) -> Tokens:
    offsets = np.array(found.offsets, dtype=np.int64).reshape(-1, 2)
    plain = np.array(found.special_tokens_mask) == 0
    return Tokens(np.asarray(found.ids, dtype=np.int64), note=(offsets, plain))
