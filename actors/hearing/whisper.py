"""Whisper: what is said in windows of 30 seconds, in which language, and when.

All works on a batch of windows: `encode` them, `detect` their languages, `write`, and tell the
`times` of what was written. Nothing is kept between calls.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    GenerationMixin,
    WhisperForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutput

from actors.errors import StageFailed, nearest
from actors.hearing.alignment import Aligner
from actors.listening.listener import Listener
from actors.sound import Samples
from actors.stage import Device

STEP = 0.02
"""Seconds of one position of the encoder's output."""

NO_SPEECH = 0.6
NO_SPEECH_CHANCE = -1.0
"""OpenAI's bounds: a window is taken for empty when the mark of no speech has more than 0.6 and
the tokens that were written have a mean log probability below -1."""

MOST_ON_CPU = (8, 2**30)
MOST_ON_GPU = (32, 2**33)
"""Windows in a batch, and bytes of what the decoder keeps of them. CPU-s for 8 clips of 4 to 28 s
with tiny.en, by windows: one 11.6, two 9.7, four 9.3, eight 7.6; small keeps 0.1 GB of a window."""

REPEATED = 3
"""Where a text goes round in circles it is written again, with no three tokens twice."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to write: the options of the task with the same names."""

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    timestamps: Literal["none", "segment", "word"] = "segment"
    num_beams: int = 1
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """When the tokens of a window were said, in seconds from its start.

    starts  where each begins, and where the last one ends: one more than tokens.
    peaks   where the model looked for those that are no punctuation, sorted: what it heard.
    """

    starts: Sequence[float]
    peaks: Sequence[float]


@dataclass(frozen=True, slots=True)
class Encoding:
    """Windows as the decoder sees them.

    states  the encoder's output: (windows, positions, width).
    begun   logits of the first token of all: (windows, vocabulary), float32. They tell the
            language, and whether there is speech.
    cross   what the decoder's layers make of the states once and for all.
    """

    states: Tensor
    begun: Tensor
    cross: Cache | None

    def cache(self) -> EncoderDecoderCache:
        """Return a cache for a text that begins anew."""
        return EncoderDecoderCache(DynamicCache(), self.cross or DynamicCache())

    def part(self, windows: Sequence[int]) -> "Encoding":
        """Return some of the windows."""
        chosen = list(windows)
        return Encoding(self.states[chosen], self.begun[chosen], None)


class Whisper:
    """A loaded Whisper model.

    codes     language -> its token; none in a model of English alone.
    rate      what it hears, in Hz; `seconds` of it fill a window.
    """

    def __init__(self, folder: Path, device: Device, wishes: Wishes) -> None:
        self._listener = Listener(WhisperForConditionalGeneration, folder, device)
        self._model = self._listener.model
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._stated = self._model.generation_config
        marks: Mapping[str, int] = getattr(self._stated, "lang_to_id", None) or {}
        self.codes = {mark.strip("<|>"): number for mark, number in marks.items()}
        self.rate = self._listener.rate
        self.seconds = self._listener.extractor.n_samples / self.rate
        self.wishes = wishes
        self._check(folder)
        self._end = int(self._stated.eos_token_id)
        self._config = self._settings()
        heads = getattr(self._stated, "alignment_heads", None)
        self._aligner = Aligner(self._model, heads) if heads else None

    def _check(self, folder: Path) -> None:
        """Raise StageFailed for wishes that this model cannot fulfil."""
        asked, codes = self.wishes.language, self.codes or {"en": 0}
        if asked is not None and asked not in codes:
            raise StageFailed(
                f"the model in {folder} does not know the language '{asked}'{nearest(asked, codes)}"
                f"\n  languages: {', '.join(codes)}"
            )
        if self.wishes.task == "translate" and not self.codes:
            raise StageFailed(f"the model in {folder} knows English alone: it cannot translate")
        if self.wishes.timestamps == "word" and not getattr(self._stated, "alignment_heads", None):
            raise StageFailed(
                f"the model in {folder} does not state which heads tell the time of a word"
                " (alignment_heads in generation_config.json); set timestamps to 'segment'"
            )

    def _settings(self) -> GenerationConfig:
        """Greedy or beams, and no more tokens than there is room for."""
        room = self._model.config.max_target_positions - len(self._prompt(None))
        self._stated.max_length = None  # would contradict max_new_tokens, with a warning
        config = copy.deepcopy(self._stated)
        most = min(self.wishes.max_new_tokens or room, room)
        config.update(do_sample=False, num_beams=self.wishes.num_beams, max_new_tokens=most)
        return config

    @property
    def rows(self) -> int:
        """How many windows may meet in a batch: what the decoder keeps of them bounds it."""
        config, size = self._model.config, self._model.dtype.itemsize
        layer = config.max_source_positions * config.d_model * size * self.wishes.num_beams
        most, room = MOST_ON_CPU if self._listener.device.name == "cpu" else MOST_ON_GPU
        return int(min(most, max(1, room // (2 * config.decoder_layers * layer))))

    @property
    def tells_time(self) -> bool:
        """Whether the model can say when a token was said."""
        return self._aligner is not None

    def features(self, samples: Samples) -> np.ndarray:
        """Return a window's log-mel features: (mels, frames), float32, filled up with silence."""
        found: np.ndarray = self._listener.features(samples).data
        return found

    def encode(self, features: Sequence[np.ndarray]) -> Encoding:
        """Return what the encoder makes of windows, and how the decoder begins with them."""
        given = torch.from_numpy(np.stack(features)).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            states: Tensor = self._model.model.encoder(given).last_hidden_state
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            first = torch.full((len(states), 1), self._stated.decoder_start_token_id)
            logits: Tensor = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                decoder_input_ids=first.to(states.device),
                past_key_values=cache,
            ).logits
        return Encoding(states, logits[:, -1].float(), cache.cross_attention_cache)

    def detect(self, encoding: Encoding) -> list[dict[str, float]]:
        """Return each language's probability, by window. Empty for a model of English alone."""
        tokens = list(self.codes.values())
        if not tokens:
            return [{} for _ in encoding.begun]
        chances = encoding.begun[:, tokens].softmax(-1).cpu().tolist()
        return [dict(zip(self.codes, row, strict=True)) for row in chances]

    def no_speech(self, encoding: Encoding) -> list[float]:
        """Return the probability that nobody speaks, by window."""
        mark = self._stated.no_timestamps_token_id - 1
        chances: list[float] = encoding.begun.softmax(-1)[:, mark].tolist()
        return chances

    def write(
        self, encoding: Encoding, languages: Sequence[str | None], again: bool = False
    ) -> list[list[int]]:
        """Return the tokens of each window, without prompt and end mark. `again`: no run of
        tokens may repeat."""
        prompts, states = self._prompts(languages), encoding.states
        config = copy.copy(self._config)
        # Beams multiply the rows, and a cache that is given would not follow.
        known = {"past_key_values": encoding.cache()} if self.wishes.num_beams == 1 else {}
        if again:
            config.no_repeat_ngram_size = REPEATED
        with torch.inference_mode():
            rows = GenerationMixin.generate(
                self._model,
                attention_mask=torch.ones(states.shape[:2], device=states.device),  # all is heard
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                decoder_input_ids=torch.tensor(prompts, device=states.device),
                generation_config=config,
                **known,
            )
        return [self._text(row) for row in rows[:, len(prompts[0]) :].tolist()]

    def chances(
        self, encoding: Encoding, languages: Sequence[str | None], written: Sequence[Sequence[int]]
    ) -> list[float]:
        """Return the mean log probability of what was written, the end mark counted."""
        prompts = self._prompts(languages)
        rows = [[*p, *ids, self._end] for p, ids in zip(prompts, written, strict=True)]
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._end] * (longest - len(row))] for row in rows])
        with torch.inference_mode():
            logits = (
                self._model(
                    encoder_outputs=BaseModelOutput(last_hidden_state=encoding.states),
                    decoder_input_ids=ids[:, :-1].to(encoding.states.device),
                    past_key_values=encoding.cache(),
                )
                .logits.float()
                .log_softmax(-1)
            )
        found = logits.gather(-1, ids[:, 1:, None].to(logits.device))[..., 0]
        skip = len(prompts[0]) - 1
        return [
            float(scores[skip : len(row) - 1].mean())
            for scores, row in zip(found, rows, strict=True)
        ]

    def times(
        self,
        encoding: Encoding,
        languages: Sequence[str | None],
        written: Sequence[Sequence[int]],
        seconds: Sequence[float],
    ) -> list[Timing]:
        """Return when the tokens were said. `seconds` are the windows' lengths without the
        silence that fills them up. Raises StageFailed where `tells_time` is false."""
        if self._aligner is None:
            raise StageFailed("the model does not state which heads tell the time of a word")
        found = self._aligner.attention(
            encoding.states, encoding.cache(), self._prompts(languages), written
        )
        return [
            self._timing(attention[..., : max(1, round(length / STEP))], ids)
            for attention, ids, length in zip(found, written, seconds, strict=True)
        ]

    def _timing(self, attention: Tensor, ids: Sequence[int]) -> Timing:
        peaks = attention.mean(0).argmax(-1).tolist()
        said = [peak for peak, number in zip(peaks, ids, strict=False) if self._is_said(number)]
        if self._aligner is None or not said:
            return Timing([0.0] * (len(ids) + 1), [])
        starts = self._aligner.starts(attention, min(said), max(said))
        return Timing([float(n) * STEP for n in starts], [n * STEP for n in sorted(said)])

    def _is_said(self, number: int) -> bool:
        """Whether a token is more than punctuation; half a character is."""
        text: str = self.tokenizer.decode([number])
        return any(c.isalnum() or not c.isascii() for c in text)

    def _prompts(self, languages: Sequence[str | None]) -> list[list[int]]:
        return [self._prompt(language) for language in languages]

    def _prompt(self, language: str | None) -> list[int]:
        """What the decoder is told: language and task, if it knows several, and no marks of time.

        The marks of the small models are rounded to seconds, and the texts worse (words wrong on
        a telephone call, with marks and without: base 22 % and 13 %).
        """
        told = [int(self._stated.decoder_start_token_id)]
        if self.codes:
            told += [self.codes[language or "en"], int(self._stated.task_to_id[self.wishes.task])]
        return [*told, int(self._stated.no_timestamps_token_id)]

    def _text(self, ids: list[int]) -> list[int]:
        """Cut at the end mark; drop what is no text."""
        written = ids[: ids.index(self._end)] if self._end in ids else ids
        return [number for number in written if number <= self._stated.no_timestamps_token_id]
