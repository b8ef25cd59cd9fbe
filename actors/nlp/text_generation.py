"""text-generation: what a language model writes after a prompt, or answers in a chat."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import field_validator, model_validator

from actors.architecture import is_made_for, why_not
from actors.stage import (
    Batching,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    option,
)
from actors.writing_stage import ASKED, WritingStage, written_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.texts.encoder import Tokens
    from actors.writing.generation import Written
    from actors.writing.prompts import Prompts

DECODERS = ("ForCausalLM", "LMHeadModel")
"""Endings of the architectures that go on after a text."""

ANSWERERS = frozenset({"bart", "led", "longt5", "mbart", "mt5", "pegasus", "t5", "umt5"})
"""Families of encoder-decoders that read text; others, such as Whisper, read sound or images."""

CONTINUOUS_LACKS = ("do_sample", "num_beams", "repetition_penalty", "stop")
"""What continuous batching leaves out without a word, or draws for all rows at once."""


class TextGeneration(WritingStage):
    """Writes what a language model answers to a prompt, or to the messages of a chat.

    Each row has a `prompt` or `messages`, and a null in the other (neither: null_input; both:
    two_inputs). With a chat model a prompt is the user's turn. Chats need a chat template; models
    without one (GPT-2, T5) go on after the prompt. `generated_text` is what was written, without
    the prompt; `n_new_tokens` counts the end mark; `finish_reason` is "stop" (the model came to an
    end, or wrote one of `stop`) or "length" (max_new_tokens). Sampling draws by the prompt's
    tokens and `seed`: a row gets the same answer in every batch and run, and so do equal prompts.
    """

    reads: ClassVar[Columns] = ASKED
    optional_reads: ClassVar[frozenset[str]] = frozenset(reads)
    models: ClassVar[Defaults] = Defaults(
        hub="HuggingFaceTB/SmolLM2-360M-Instruct", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {"prompt": "Name three rivers of Europe."}

    template: str | None = option(
        None,
        "Text around each prompt, with {prompt} where it goes, such as 'Summarize: {prompt}'.",
    )
    chat: Literal["auto", "never"] = option(
        "auto",
        "auto: a prompt is the user's turn if the model has a chat template. never: it goes on"
        " after the bare prompt.",
    )
    max_length: int | None = option(
        None,
        "Most tokens of a prompt, template included; default: what the model takes beside"
        " max_new_tokens.",
        ge=1,
        le=10_000_000,
    )
    too_long: Literal["reject", "truncate"] = option(
        "reject",
        "A longer prompt: reject the row (too_long), or leave out its beginning (of a chat, the"
        " oldest turns) and set `prompt_truncated`; template and system text stay whole.",
    )
    batching: Literal["static", "continuous"] = option(
        "static",
        "continuous: a row that is done makes room for the next one at once; greedy only. On a CPU"
        " it was 1.3 times as fast where answers ended after a seventh of max_new_tokens, as fast"
        " where they came to half of it, and 0.6 times where all came to the limit.",
    )

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, template: str | None) -> str | None:
        if template is not None and "{prompt}" not in template:
            raise ValueError("must hold {prompt}, where the row's prompt goes: 'Reply: {prompt}'")
        return template

    @model_validator(mode="after")
    def _loop_agrees(self) -> Self:
        """Refuse what continuous batching leaves out."""
        lacking = self.changed(*CONTINUOUS_LACKS)
        if self.batching == "continuous" and lacking:
            raise ValueError(
                f"'batching: continuous' is greedy only and cannot do '{lacking[0]}';"
                " drop it, or use  batching: static"
            )
        return self

    @property
    def writes(self) -> Columns:
        """The text, both numbers of tokens, why it ended, and whether the prompt was cut."""
        return {**super().writes, "prompt_truncated": pa.bool_()}

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """One of the two inputs must be there."""
        if inputs:
            return None
        return (
            "text-generation reads column 'prompt' or 'messages', and there is neither.\n"
            "  name the column that holds one:  input: {prompt: COLUMN}"
        )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept decoders, and encoder-decoders for text."""
        if not config.get("is_encoder_decoder") and is_made_for(config, *DECODERS):
            return None
        answers = is_made_for(config, "ForConditionalGeneration")
        if not answers or config.get("model_type") not in ANSWERERS:
            needed = "a ...ForCausalLM model, or an encoder-decoder for text (T5, BART)"
            return why_not("text-generation", needed, config)
        if self.batching == "continuous":
            return "'batching: continuous' is for decoders, and this is an encoder-decoder"
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoConfig

        from actors.writing.continuous import Continuous
        from actors.writing.generation import Generation
        from actors.writing.prompts import Prompts, load_writer, room_for

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        model, tokenizer = load_writer(files.folder, config.is_encoder_decoder, device)
        room = room_for(tokenizer, model.config, self.max_new_tokens, self.max_length)
        chats = self.chat == "auto"
        prompts = Prompts(tokenizer, self.template, self.system, chats, room, self.too_long)
        writer = Generation(model, tokenizer, device)
        if self.batching == "continuous":
            loop = Continuous(writer, self.max_new_tokens)
            return Author(prompts, loop.write, loop.batching, self.max_new_tokens)
        write = partial(writer.write, **self.manner())
        return Author(prompts, write, writer.batching(self.num_beams), self.max_new_tokens)


class Author(Model):
    """A loaded model that writes after prompts."""

    def __init__(
        self,
        prompts: "Prompts",
        write: "Callable[[Sequence[Item]], list[Written]]",
        batching: Batching,
        max_new_tokens: int,
    ) -> None:
        self.prompts = prompts
        self.write = write
        self.batching = batching
        self.max_new_tokens = max_new_tokens

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row: its prompt's tokens, at the cost of those and of all it may write."""
        return [[self._item(tokens)] for tokens in self.prompts.tokens(rows)]

    def _item(self, tokens: "Tokens") -> Item:
        length = len(tokens.ids)
        return Item(tokens, cost=length + self.max_new_tokens, shape=length)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its tokens and what was written."""
        return [(item.data, one) for item, one in zip(items, self.write(items), strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Say what was written and why it ended."""
        ((tokens, written),) = outputs
        return {
            **written_columns(written, len(tokens.ids)),
            "prompt_truncated": tokens.cut,
        }
