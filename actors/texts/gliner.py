"""Names of any kind: GLiNER's head over a text encoder that reads the kinds beside the text.

The model is that of Zaratiana et al., "GLiNER: Generalist Model for Named Entity Recognition using
Bidirectional Transformer" (2023), and its parameters are named as in its checkpoints. Each span of
up to `max_width` words is compared with each label.
"""

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from actors.checkpoint import DTYPES, below, fill, read_weights
from actors.errors import StageFailed
from actors.stage import Device
from actors.texts.encoder import PADDING_IS_EXACT, Tokens, longest_input

Span = tuple[int, int]

WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")
# Only a word's first token is compared; of a word without an end the model need not see more.
LONGEST_WORD = 100
# Tokens left for the text beside the labels: fewer give a word next to no context.
LEAST_ROOM = 32


@dataclass(frozen=True, slots=True)
class Found:
    """An entity: code points, which label, and its probability."""

    start: int
    end: int
    label: int
    score: float


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a window.

    spans   start and end of each in the text, code points
    firsts  position of each one's first token
    own     the words at which this window's entities may start; its neighbours have the others
    """

    spans: Sequence[Span]
    firsts: np.ndarray
    own: range


def _projection(size: int, out: int) -> nn.Sequential:
    # The empty place is the dropout's of training: the names count it.
    return nn.Sequential(
        nn.Linear(size, 4 * out), nn.ReLU(), nn.Identity(), nn.Linear(4 * out, out)
    )


class SpanLayer(nn.Module):
    """What a span is, from its first and its last word; and from the whole window in V1."""

    def __init__(self, size: int, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.project_start = _projection(size, size)
        self.project_end = _projection(size, size)
        self.out_project = _projection((3 if whole else 2) * size, size)

    def forward(self, words: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """(words, size) and the spans' first and last words -> (spans, size)."""
        parts = [self.project_start(words)[starts], self.project_end(words)[ends]]
        if self.whole:
            parts.append(words.mean(dim=0).expand(len(starts), -1))
        found: Tensor = self.out_project(torch.cat(parts, dim=-1).relu())
        return found


class Head(nn.Module):
    """Compares spans with labels, given their tokens' vectors."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size = config["hidden_size"]
        self.width: int = config.get("max_width", 12)
        inner = config["encoder_config"]["hidden_size"]
        self.projection = nn.Linear(inner, size) if inner != size else nn.Identity()
        layers = config.get("num_rnn_layers", 1)
        self.lstm = nn.LSTM(size, size // 2, layers, bidirectional=True) if layers > 0 else None
        self.spans = SpanLayer(size, config.get("span_mode") == "markerV1")
        self.labels = _projection(size, size)

    def fill(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Load the weights, whose names tell the places in the original's modules."""
        fill(self.projection, below(weights, "token_rep_layer.projection."), folder)
        if self.lstm is not None:
            fill(self.lstm, below(weights, "rnn.lstm."), folder)
        # V1 has a projection of the first word that it does not use.
        fill(self.spans, below(weights, "span_rep_layer.span_rep_layer."), folder)
        fill(self.labels, below(weights, "prompt_rep_layer."), folder)

    def forward(
        self, hidden: Tensor, labels: Tensor, firsts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first and the last word of each span, and its probability for each label.

        hidden  float (tokens, encoder's size)
        labels  positions of the labels' tokens
        firsts  positions of the words' first tokens
        """
        hidden = self.projection(hidden)
        words = hidden[firsts]
        if self.lstm is not None:
            words = self.lstm(words)[0]
        starts = torch.arange(len(words), device=hidden.device).repeat_interleave(self.width)
        ends = starts + torch.arange(self.width, device=hidden.device).repeat(len(words))
        starts, ends = starts[ends < len(words)], ends[ends < len(words)]
        scores = self.spans(words, starts, ends) @ self.labels(hidden[labels]).T
        return starts, ends, scores.float().sigmoid()


class Finder:
    """A GLiNER model that looks for the given labels.

    overlap  words that neighbouring windows of a long text share, if the window is long enough.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        labels: Sequence[str],
        overlap: int,
        device: Device,
    ) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        inner = AutoConfig.for_model(**{"model_type": "deberta-v2", **config["encoder_config"]})
        self.encoder = AutoModel.from_config(inner)
        self.head = Head(config)
        weights = read_weights(folder)
        fill(self.encoder, below(weights, "token_rep_layer.bert_layer.model."), folder)
        self.head.fill(weights, folder)
        for part in (self.encoder, self.head):
            part.eval().to(device.name, DTYPES[device.precision])
        self.padding_is_exact = inner.model_type in PADDING_IS_EXACT
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.backend = tokenizer.backend_tokenizer
        self.backend.no_padding()
        self.backend.no_truncation()
        mark, end = config.get("ent_token", "<<ENT>>"), config.get("sep_token", "<<SEP>>")
        self.prompt = [*(part for label in labels for part in (mark, label)), end]
        self.limit = longest_input(tokenizer, inner)
        self.most_words: int = config.get("max_len", 384)
        self.overlap = min(overlap, self.most_words // 2)
        self.room = self._room()
        self.marks = self._marks(config, len(labels))

    def _room(self) -> int:
        used = len(self.backend.encode(self.prompt, is_pretokenized=True).ids)
        if self.limit - used < LEAST_ROOM:
            raise StageFailed(
                f"the labels take {used} of the {self.limit} tokens that the model reads at once:"
                f" name fewer or shorter ones, or look for them in two stages"
            )
        return self.limit - used

    def _marks(self, config: Mapping[str, Any], count: int) -> Tensor:
        """Return where the labels' tokens stand, which is the same in every text."""
        ids = np.array(self.backend.encode(self.prompt, is_pretokenized=True).ids)
        places = np.flatnonzero(ids == config["class_token_index"])
        if len(places) != count:
            raise StageFailed(
                f"the tokenizer does not know the mark {self.prompt[0]} of the model's labels"
                f" (class_token_index {config['class_token_index']})"
            )
        after = 0 if config.get("embed_ent_token", True) else 1
        return torch.from_numpy(places + after).to(self.device.name)

    def windows(self, text: str) -> list[Tokens]:
        """Return the windows of a text, each with its labels; the note of each is its Words."""
        spans = [match.span() for match in WORD.finditer(text)]
        if not spans:
            return []
        words = [text[start : min(end, start + LONGEST_WORD)] for start, end in spans]
        cuts = self._cuts(words)
        half = self.overlap // 2
        borders = [0, *(max(a, b - half) for (_, b), (a, _) in pairwise(cuts))]
        owned = [range(a, b) for a, b in zip(borders, [*borders[1:], len(words)], strict=True)]
        return [
            self._window(words[a:b], spans[a:b], range(own.start - a, own.stop - a))
            for (a, b), own in zip(cuts, owned, strict=True)
        ]

    def _cuts(self, words: Sequence[str]) -> list[Span]:
        """Return the windows' first words and ends: as many words, and tokens, as may be."""
        plain = self.backend.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        numbers = np.array([n for n in plain.word_ids if n is not None], dtype=np.int64)
        tokens = np.cumsum(np.bincount(numbers, minlength=len(words)))
        cuts: list[Span] = []
        start, before = 0, 0
        while not cuts or cuts[-1][1] < len(words):
            fitting = int(np.searchsorted(tokens, before + self.room, side="right"))
            end = min(max(fitting, start + 1), start + self.most_words, len(words))
            cuts.append((start, end))
            start = max(end - self.overlap, start + (end - start + 1) // 2)
            before = int(tokens[start - 1])
        return cuts

    def _window(self, words: Sequence[str], spans: Sequence[Span], own: range) -> Tokens:
        found = self.backend.encode([*self.prompt, *words], is_pretokenized=True)
        numbers = np.array([-1 if n is None else n for n in found.word_ids]) - len(self.prompt)
        known, firsts = np.unique(numbers[: self.limit], return_index=True)
        kept = known >= 0
        # A word may have no token at all: a control character that the tokenizer drops.
        spans = [spans[n] for n in known[kept]]
        own = range(*np.searchsorted(known[kept], [own.start, own.stop]).tolist())
        ids = np.asarray(found.ids[: self.limit], dtype=np.int64)
        return Tokens(ids, note=Words(spans, firsts[kept], own))

    def find(self, windows: Sequence[Tokens], threshold: float) -> list[list[Found]]:
        """Return the entities of each window that score more than the threshold."""
        with torch.inference_mode():
            hidden = self._hidden([window.ids for window in windows])
            return [
                self._of_window(vectors, window.note, threshold)
                for vectors, window in zip(hidden, windows, strict=True)
            ]

    def _hidden(self, documents: Sequence[np.ndarray]) -> Tensor:
        lengths = np.array([len(ids) for ids in documents])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.encoder.config.pad_token_id or 0, dtype=np.int64)
        ids[mask] = np.concatenate(documents)
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        inputs = {n: torch.from_numpy(a).to(self.device.name) for n, a in arrays.items()}
        found: Tensor = self.encoder(**inputs).last_hidden_state
        return found

    def _of_window(self, hidden: Tensor, words: Words, threshold: float) -> list[Found]:
        if not len(words.firsts):
            return []
        places = torch.from_numpy(words.firsts).to(self.device.name)
        starts, ends, scores = (
            part.cpu().numpy() for part in self.head(hidden, self.marks, places)
        )
        sure = np.argwhere(scores > threshold)
        return [
            Found(words.spans[starts[n]][0], words.spans[ends[n]][1], int(c), float(scores[n, c]))
            for n, c in sure
            if starts[n] in words.own
        ]


def without_overlap(found: Sequence[Found]) -> list[Found]:
    """Return the entities in order, of those that overlap the surest one."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda entity: -entity.score):
        place = bisect(kept, one.start, key=lambda entity: entity.start)
        free = place == 0 or kept[place - 1].end <= one.start
        if free and (place == len(kept) or one.end <= kept[place].start):
            kept.insert(place, one)
    return kept
