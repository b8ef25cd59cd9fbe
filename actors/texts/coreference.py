"""Which mentions of a text mean the same: the "start to end" head over a text encoder.

The head is that of Kirstain et al., "Coreference Resolution without Span Representations" (2021),
and its parameters are named as in F-coref's checkpoints (Otmazgin et al., 2022): a mention is
scored by its first and its last token, and looks for one antecedent among those before it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.activations import ACT2FN

from actors.checkpoint import DTYPES, below, fill, read_weights
from actors.stage import Device
from actors.texts.encoder import PADDING_IS_EXACT

# The score of a span that is none: far below any that a model gives.
NEVER = -10_000.0


class Features(nn.Module):
    """A token's features for one role, such as the start of a mention."""

    def __init__(self, config: Any, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, size)
        self.layer_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        """(tokens, hidden size) -> (tokens, size)."""
        found: Tensor = self.layer_norm(self.activation(self.dense(hidden)))
        return found


class Head(nn.Module):
    """Finds mentions and their antecedents in one document, given its tokens' vectors."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        settings = config.coref_head
        self.longest: int = settings["max_span_length"]
        self.share: float = settings["top_lambda"]
        size = settings["ffnn_size"]
        self.start_mention_mlp = Features(config, size)
        self.end_mention_mlp = Features(config, size)
        self.start_coref_mlp = Features(config, size)
        self.end_coref_mlp = Features(config, size)
        self.mention_start_classifier = nn.Linear(size, 1)
        self.mention_end_classifier = nn.Linear(size, 1)
        self.mention_s2e_classifier = nn.Linear(size, size)
        self.antecedent_s2s_classifier = nn.Linear(size, size)
        self.antecedent_e2e_classifier = nn.Linear(size, size)
        self.antecedent_s2e_classifier = nn.Linear(size, size)
        self.antecedent_e2s_classifier = nn.Linear(size, size)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first and the last token of the likeliest mentions, in order, and for each
        the number of its antecedent among them, or their count where it has none.

        hidden  float (tokens, hidden size)
        """
        scores = self.mention_scores(hidden)
        # In float32, as the checkpoints were trained: 0.29 of 100 tokens are 29.
        count = int(torch.tensor(len(hidden)) * self.share)
        chosen = scores.flatten().topk(count).indices.sort().values
        starts = chosen // scores.shape[1]
        ends = starts + chosen % scores.shape[1]
        pairs = self.antecedent_scores(hidden, starts, ends)
        worth = scores.flatten()[chosen]
        pairs = pairs + worth[:, None] + worth[None, :]
        earlier = torch.ones_like(pairs, dtype=torch.bool).tril(-1)
        pairs = pairs.masked_fill(~earlier, NEVER)
        none = pairs.new_zeros(count, 1)
        return starts, ends, torch.cat([pairs, none], dim=1).argmax(dim=1)

    def mention_scores(self, hidden: Tensor) -> Tensor:
        """Return the score of each span by its first token and its length - 1: (tokens, lengths).

        Lengths that no mention has are not computed, so time and memory grow with the text.
        """
        starts, ends = self.start_mention_mlp(hidden), self.end_mention_mlp(hidden)
        first = self.mention_start_classifier(starts).squeeze(-1)
        last = self.mention_end_classifier(ends).squeeze(-1)
        wanted = self.mention_s2e_classifier(starts)
        tokens = len(hidden)
        scores = hidden.new_full((tokens, min(self.longest, tokens)), NEVER)
        for more in range(scores.shape[1]):
            both = (wanted[: tokens - more] * ends[more:]).sum(-1)
            scores[: tokens - more, more] = both + first[: tokens - more] + last[more:]
        return scores

    def antecedent_scores(self, hidden: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Return how well each mention (row) goes with each other (column) as its antecedent."""
        first, last = self.start_coref_mlp(hidden)[starts], self.end_coref_mlp(hidden)[ends]
        by_first = self.antecedent_s2s_classifier(first) + self.antecedent_e2s_classifier(last)
        by_last = self.antecedent_s2e_classifier(first) + self.antecedent_e2e_classifier(last)
        found: Tensor = by_first @ first.T + by_last @ last.T
        return found


class Resolver:
    """A text encoder with the head: from token ids to clusters of mentions."""

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.device = device
        self.segment: int = config.coref_head["max_segment_len"]
        self.padding_is_exact = config.model_type in PADDING_IS_EXACT
        self.encoder = AutoModel.from_config(config)
        self.head = Head(config)
        weights = read_weights(folder)
        fill(self.encoder, below(weights, f"{self.encoder.base_model_prefix}."), folder)
        fill(self.head, weights, folder)
        for part in (self.encoder, self.head):
            part.eval().to(device.name, DTYPES[device.precision])

    def clusters(self, documents: Sequence[np.ndarray]) -> list[list[list[tuple[int, int]]]]:
        """Return the clusters of each document's mentions, by first and last token.

        documents  token ids, int64, special ones included
        """
        with torch.inference_mode():
            found = [self.head(hidden) for hidden in self._hidden(documents)]
        return [_clusters(*(part.tolist() for part in parts)) for parts in found]

    def _hidden(self, documents: Sequence[np.ndarray]) -> list[Tensor]:
        """Encode documents in segments that do not see each other; return each one's vectors."""
        cuts = [range(0, len(ids), self.segment) for ids in documents]
        segments = [
            torch.from_numpy(ids[start : start + self.segment]).to(self.device.name)
            for ids, starts in zip(documents, cuts, strict=True)
            for start in starts
        ]
        if self.padding_is_exact:
            encoded = iter(self._encode(segments))
        else:
            encoded = (self._encode([segment])[0] for segment in segments)
        return [torch.cat([next(encoded) for _ in starts]) for starts in cuts]

    def _encode(self, segments: Sequence[Tensor]) -> list[Tensor]:
        ids = nn.utils.rnn.pad_sequence(
            list(segments), batch_first=True, padding_value=self.encoder.config.pad_token_id or 0
        )
        lengths = torch.tensor([len(segment) for segment in segments], device=ids.device)
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return [row[:length] for row, length in zip(hidden, lengths.tolist(), strict=True)]


def _clusters(
    starts: list[int], ends: list[int], antecedents: list[int]
) -> list[list[tuple[int, int]]]:
    """Follow each mention to its antecedent: the chains that meet are one cluster."""
    cluster_of: dict[int, list[int]] = {}
    for mention, antecedent in enumerate(antecedents):
        if antecedent < len(starts):
            cluster = cluster_of.setdefault(antecedent, [antecedent])
            cluster.append(mention)
            cluster_of[mention] = cluster
    unlike = {id(cluster): cluster for cluster in cluster_of.values()}
    return [[(starts[n], ends[n]) for n in cluster] for cluster in unlike.values()]
