"""What tasks share in which a model goes on after a prompt, or answers in a chat."""

from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from pydantic import model_validator

from actors.stage import Columns, Row, Stage, option

if TYPE_CHECKING:
    from actors.writing.generation import Written

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
"""Turns of a chat."""

ASKED: Columns = {"prompt": pa.string(), "messages": MESSAGES}
"""What such a task reads: one of the two."""


class WritingStage(Stage):
    """Base of tasks that write after a `prompt` or after the `messages` of a chat.

    Sampling draws by the prompt's tokens and `seed`: a row gets the same answer in every batch and
    run, and so do equal prompts.
    """

    max_new_tokens: int = option(256, "Most tokens written for a row.", ge=1, le=100_000)
    system: str | None = option(
        None, "What a chat begins with, where its own messages do not.", min_length=1
    )
    do_sample: bool = option(False, "Draw tokens by their chance, not always take the likeliest.")
    temperature: float = option(
        1.0, "Sampling: below 1 likely tokens get likelier, above 1 less so.", ge=0.01, le=100
    )
    top_k: int = option(0, "Sampling: only the likeliest so many; 0: all.", ge=0, le=1_000_000)
    top_p: float = option(
        1.0, "Sampling: only the likeliest that make up this chance together.", gt=0, le=1
    )
    seed: int = option(0, "Sampling: another seed, other answers.", ge=0, le=2**63 - 1)
    repetition_penalty: float = option(
        1.0, "Above 1: tokens that stand there already get less likely.", ge=0.01, le=10
    )
    num_beams: int = option(1, "Beams of the search; 1: greedy.", ge=1, le=64)
    stop: tuple[str, ...] = option(
        (), "Strings that end an answer and are cut off it.", max_length=16
    )

    @model_validator(mode="after")
    def _search_agrees(self) -> Self:
        """Refuse options that contradict each other."""
        drawn = self.changed("temperature", "top_k", "top_p", "seed")
        if drawn and not self.do_sample:
            raise ValueError(f"'{drawn[0]}' is for sampling: add  do_sample: true")
        if self.num_beams > 1 and (self.do_sample or self.stop):
            other = "do_sample" if self.do_sample else "stop"
            raise ValueError(f"'num_beams' above 1 and '{other}' do not go together; drop one")
        if "" in self.stop:
            raise ValueError("'stop' has an empty string, which would end every answer at once")
        return self

    def changed(self, *names: str) -> list[str]:
        """Return those of the options that differ from their defaults."""
        fields = type(self).model_fields
        return [name for name in names if getattr(self, name) != fields[name].default]

    @property
    def writes(self) -> Columns:
        """The text, both numbers of tokens, and why it ended."""
        return {
            "generated_text": pa.string(),
            "n_prompt_tokens": pa.int32(),
            "n_new_tokens": pa.int32(),
            "finish_reason": pa.string(),
        }

    def manner(self) -> dict[str, Any]:
        """Return how `Generation.write` is to write; for `load`, since it imports torch."""
        from actors.writing.generation import Sampling

        dice = Sampling(self.temperature, self.top_k, self.top_p, self.seed)
        return {
            # All that a model's generation_config.json could say otherwise.
            "settings": {
                "max_new_tokens": self.max_new_tokens,
                "num_beams": self.num_beams,
                "repetition_penalty": 1.0,  # ours leaves out what fills a row up
            },
            "sampling": dice if self.do_sample else None,
            "stops": self.stop,
            "penalty": self.repetition_penalty,
        }


def written_columns(written: "Written", read: int) -> Row:
    """Return the columns of `WritingStage` for what was written after `read` tokens."""
    return {
        "generated_text": written.text,
        "n_prompt_tokens": read,
        "n_new_tokens": written.count,
        "finish_reason": "stop" if written.ended else "length",
    }
