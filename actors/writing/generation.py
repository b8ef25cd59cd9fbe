"""Writing token by token: one batch through `generate`, every row as if it were alone.

What transformers leaves to the batch is done by the row here: the dice of sampling, the strings
that stop an answer, the token that an answer begins with.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from actors.stage import Batching, Device, Item
from actors.writing.chances import Chances, chances_of_beams

# Families whose answers do not change when rows are padded under the attention mask (decoders on
# the left): each is compared, padded against alone, encoder-decoders in tests/test_text_encoder.py,
# decoders in tests/test_text_generation.py. Any other family only meets rows of its own length.
ENCODER_DECODERS = frozenset({"bart", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5"})
DECODERS = frozenset(
    {
        *("gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "opt"),
        *("phi", "phi3", "qwen2", "qwen3", "smollm3"),
    }
)
PADDING_IS_EXACT = ENCODER_DECODERS | DECODERS


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn: None or 0 leaves a limit out. The same prompt and seed always draw
    the same tokens."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: the text, its number of tokens (the end mark counted), and whether it
    came to an end by itself, not by the limit. `chance` is the mean probability of its tokens,
    where that was asked for."""

    text: str
    count: int
    ended: bool
    chance: float | None = None


class Generation:
    """A model that writes, with its tokenizer: decoders go on after the prompt, encoder-decoders
    answer it. Tokens in `hidden` are left out of texts, as special ones are."""

    def __init__(
        self, model: Any, tokenizer: Any, device: Device, hidden: Collection[int] = ()
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self.hidden = list(hidden)
        self.skips_marks = True  # special tokens are left out of texts
        self.goes_on = not model.config.is_encoder_decoder
        self.ends = _as_list(model.generation_config.eos_token_id)
        self.pad = padding_token(model, tokenizer)

    def batching(self, beams: int | None) -> Batching:
        """How rows may share a batch, beams as stated by the model if None. A row's cost counts the
        tokens that a decoder reads and may write; those that an encoder-decoder reads."""
        beams = beams or self.model.generation_config.num_beams or 1
        exact = self.model.config.model_type in PADDING_IS_EXACT and self.pad is not None
        # On a CPU, the budget bounds keys and values: 0.7 GB for SmolLM2-360M. Rows, measured:
        # LLaMA of 6.4 M parameters, tokens per CPU-s with 8, 16, 32 rows: 1,410, 1,863, 1,963 where
        # all answers go to the limit, 437, 403, 354 where they end after a seventh of it.
        # T5-small, CPU-s for 96 texts with 16, 32, 64 rows: 7.6, 6.1, 6.7; 4 beams with 8, 16, 32
        # rows: 22, 17, 16.
        rows, budget = (16 if self.goes_on else 32, 8_192)
        if self.device.name != "cpu":
            rows, budget = 64, 65_536
        return Batching("length" if exact else "shape", rows, max(1, budget // beams))

    def write(
        self,
        items: Sequence[Item],
        settings: Mapping[str, Any],
        sampling: Sampling | None = None,
        stops: Sequence[str] = (),
        penalty: float = 1.0,
        firsts: Sequence[int] | None = None,
        inputs: Mapping[str, torch.Tensor] | None = None,
        chances: bool = False,
        heads: Sequence[np.ndarray] = (),
    ) -> list[Written]:
        """Return what the model writes for each item; `item.data.ids` are its tokens.

        settings    arguments of `generate`, the same for all; `sampling` needs its max_new_tokens
        stops       strings that end an answer and are cut off it
        penalty     what the scores of tokens that stand there already are divided by
        firsts      the token that each answer begins with, such as a language
        inputs      what the model is given in place of the items' tokens, such as pictures too
        chances     whether to say how likely the tokens were; `settings` then tell num_beams
        heads       tokens that each text begins with, such as the beginning of a caption
        """
        if inputs is None:
            inputs = padded(items, self.pad, self.device, left=self.goes_on)
        start = self._start(inputs)
        processors: list[Any] = []
        if penalty != 1.0:
            processors.append(Repeats(penalty, inputs["attention_mask"] if self.goes_on else None))
        if firsts is not None:
            processors.append(Firsts(firsts, self.device))
        if sampling is not None:
            processors += self._dice(items, sampling, start, settings["max_new_tokens"])
        watch = StopStrings(self.tokenizer, stops, start, len(items))
        beams = chances and settings["num_beams"] > 1
        seen = Chances()
        processors += [seen] if chances and not beams else []
        with torch.inference_mode():
            found = self.model.generate(
                **inputs,
                **settings,
                do_sample=False,
                pad_token_id=self.pad,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList([watch] if stops else []),
                return_dict_in_generate=True,
                output_scores=beams,
            )
        new = found.sequences[:, start:].cpu().numpy()
        written = self.texts(new, watch.lengths, stops, self._forced(settings), heads)
        if not chances:
            return written
        steps = chances_of_beams(self.model, found) if beams else seen.table()
        return [
            replace(one, chance=float(row[: one.count].mean()) if one.count else 0.0)
            for one, row in zip(written, steps, strict=True)
        ]

    def _start(self, inputs: Mapping[str, torch.Tensor]) -> int:
        """Return how many tokens stand before those that are written."""
        read = inputs.get("input_ids" if self.goes_on else "decoder_input_ids")
        return 1 if read is None else read.shape[1]

    def _forced(self, settings: Mapping[str, Any]) -> int | None:
        """Return the length at which the model is made to write an end mark, as BART's and
        Marian's configurations ask; it is no end of its own."""
        stated = self.model.generation_config
        if stated.forced_eos_token_id is None:
            return None
        most = settings.get("max_new_tokens") or stated.max_new_tokens
        return most or (stated.max_length - 1 if stated.max_length else None)

    def _dice(self, items: Sequence[Item], sampling: Sampling, start: int, steps: int) -> list[Any]:
        """What sampling does to the scores, drawing included, in the order of transformers."""
        warpers: list[Any] = []
        if sampling.temperature != 1.0:
            warpers.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1.0:
            warpers.append(TopPLogitsWarper(sampling.top_p))
        rolls = np.stack([dice(item.data.ids, sampling.seed, steps) for item in items])
        return [*warpers, Dice(torch.from_numpy(rolls).to(self.device.name), start)]

    def texts(
        self,
        ids: Sequence[Any],
        lengths: Sequence[int | None],
        stops: Sequence[str] = (),
        forced: int | None = None,
        heads: Sequence[np.ndarray] = (),
    ) -> list[Written]:
        """Cut each row of new tokens at its end mark, or at the length where a string stopped it,
        and decode it, behind its head. An end mark at length `forced` counts as none."""
        ends = [self._end(row, length, forced) for row, length in zip(ids, lengths, strict=True)]
        kept = [row[:end] for row, (end, _) in zip(ids, ends, strict=True)]
        if self.hidden:
            kept = [row[~np.isin(row, self.hidden)] for row in kept]
        if heads:
            kept = [np.concatenate(pair) for pair in zip(heads, kept, strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=self.skips_marks)
        return [
            Written(_before(text, stops), end, ended)
            for text, (end, ended) in zip(texts, ends, strict=True)
        ]

    def _end(self, ids: Any, length: int | None, forced: int | None) -> tuple[int, bool]:
        marks = np.flatnonzero(np.isin(ids, self.ends))
        if length is not None and (not len(marks) or length <= marks[0]):
            return length, True
        end = int(marks[0]) + 1 if len(marks) else len(ids)
        return end, bool(len(marks)) and end != forced


class Dice(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Leaves each row the one token that its own number draws, so that the search for the
    likeliest token is a draw. transformers draws for the whole batch at once, and so a row's
    answer would hang on its neighbours."""

    def __init__(self, rolls: torch.Tensor, start: int) -> None:
        self.rolls = rolls
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of 0 for the drawn tokens and of minus infinity for all others."""
        roll = self.rolls[:, input_ids.shape[1] - self.start, None]
        heights = scores.double().softmax(-1).cumsum(-1)
        drawn = (heights <= roll * heights[:, -1:]).sum(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def dice(ids: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Return `count` numbers (float64, 0 to 1) that a prompt's tokens and the seed decide."""
    digest = hashlib.sha256(f"{seed} {ids.tolist()}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest))).random(count)


class Firsts(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Begins each row's answer with its own token, as forced_bos_token_id does for all rows."""

    def __init__(self, firsts: Sequence[int], device: Device) -> None:
        self.firsts = torch.tensor(firsts, device=device.name)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores, in the first step those that leave nothing but the token."""
        if input_ids.shape[1] > 1:
            return scores
        tokens = self.firsts.repeat_interleave(len(scores) // len(self.firsts))
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class Repeats(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Makes tokens less likely that stand in the prompt or the answer already. What fills a row up
    does not count as standing there: it may be the end mark."""

    def __init__(self, penalty: float, mask: torch.Tensor | None) -> None:
        self.plain = RepetitionPenaltyLogitsProcessor(penalty)
        self.mask = mask

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores with those of the tokens in `input_ids` lowered."""
        if self.mask is not None:
            mask = self.mask.repeat_interleave(len(scores) // len(self.mask), 0).bool()
            last = input_ids[:, mask.shape[1] - 1, None]  # prompts are padded on the left
            prompt = input_ids[:, : mask.shape[1]].where(mask, last)
            input_ids = torch.cat([prompt, input_ids[:, mask.shape[1] :]], 1)
        lowered: torch.Tensor = self.plain(input_ids, scores)
        return lowered


class StopStrings(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped
    """Ends a row as soon as its answer holds one of the strings, and remembers its length then:
    what fills the row up afterwards may look like an end mark."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], start: int, rows: int) -> None:
        self.tokenizer = tokenizer
        self.stops = stops
        self.start = start
        # A token holds at least one byte, but for special ones, which come single.
        self.reach = max((len(stop.encode()) for stop in stops), default=0) + 4
        self.lengths: list[int | None] = [None] * rows

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return which rows are done: bool (rows,)."""
        new = input_ids[:, self.start :]
        texts = self.tokenizer.batch_decode(new[:, -self.reach :].cpu(), skip_special_tokens=True)
        for row, text in enumerate(texts):
            if self.lengths[row] is None and any(stop in text for stop in self.stops):
                self.lengths[row] = new.shape[1]
        done = [length is not None for length in self.lengths]
        return torch.tensor(done, device=input_ids.device)


def padded(
    items: Sequence[Item], pad: int | None, device: Device, left: bool = False
) -> dict[str, torch.Tensor]:
    """Return input_ids and attention_mask, padded to the longest item, on the device."""
    lengths = np.array([len(item.data.ids) for item in items])
    mask = np.arange(lengths.max()) < lengths[:, None]
    if left:
        mask = mask[:, ::-1]
    ids = np.full(mask.shape, pad or 0, dtype=np.int64)
    ids[mask] = np.concatenate([item.data.ids for item in items])
    arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    return {name: torch.from_numpy(a).to(device.name) for name, a in arrays.items()}


def padding_token(model: Any, tokenizer: Any) -> int | None:
    """Return the token that fills a batch up; under the mask any will do, such as the end mark of
    GPT-2, which has no other."""
    known = [tokenizer.pad_token_id, getattr(model.config, "pad_token_id", None)]
    known += _as_list(model.generation_config.eos_token_id)[:1]
    return next((token for token in known if token is not None), None)


def _before(text: str, stops: Sequence[str]) -> str:
    places = [text.find(stop) for stop in stops if stop in text]
    return text[: min(places)] if places else text


def _as_list(tokens: Any) -> list[int]:
    if tokens is None:
        return []
    return list(tokens) if isinstance(tokens, (list, tuple)) else [tokens]
