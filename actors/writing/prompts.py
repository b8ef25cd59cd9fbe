"""From a row to the tokens that a model is asked with: templates, chats, and what is too long."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from actors.checkpoint import load_model
from actors.errors import RowRejected, StageFailed
from actors.stage import Device, Row
from actors.text import full_text_of, text_of
from actors.texts.encoder import Tokens, longest_input

Message = dict[str, str]
"""One turn of a chat: `role` and `content`."""

GAP = "{prompt}"
"""Where a row's prompt goes in a template."""


def load_writer(folder: Path, answers: bool, device: Device) -> tuple[Any, Any]:
    """Load a model that writes and its tokenizer; `answers` says that it is an encoder-decoder.

    Raise StageFailed for a model without weights, and without a fast tokenizer.
    """
    model = load_model(AutoModelForSeq2SeqLM if answers else AutoModelForCausalLM, folder, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.is_fast:
        raise StageFailed(f"{folder} has no fast tokenizer (tokenizer.json), which is needed")
    return model, tokenizer


def room_for(tokenizer: Any, config: Any, max_new_tokens: int, most: int | None) -> int:
    """Return the most tokens of a prompt; raise StageFailed if what is to be written leaves none.

    Encoder-decoders write apart from what they read.
    """
    longest = longest_input(tokenizer, config)
    room = longest if config.is_encoder_decoder else longest - max_new_tokens
    if room < 1:
        raise StageFailed(
            f"the model takes {longest} tokens, which max_new_tokens {max_new_tokens} leaves no"
            " room in; ask for fewer"
        )
    return min(room, most or room)


class Prompts:
    """Makes the tokens of rows.

    template  text around a row's prompt, with GAP where it goes
    system    what a chat begins with, unless the row's own messages do
    chat      whether a plain prompt is put as a user's turn, if the model has a chat template
    room      most tokens of a prompt
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str | None,
        system: str | None,
        chat: bool,
        room: int,
        too_long: Literal["reject", "truncate"],
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template or GAP
        self.system = system
        self.chats = chat and bool(tokenizer.chat_template)
        self.room = room
        self.too_long = too_long
        if system is not None and not self.chats:
            raise StageFailed("option 'system' needs a model with a chat template, and chat: auto")

    def tokens(self, rows: Sequence[Row]) -> list[Tokens]:
        """Return each row's tokens; raise RowRejected for a row that cannot be asked."""
        asked = [self._asked(row) for row in rows]
        ids = self._ids([self._written(one) for one in asked])
        return [self._fitting(one, found) for one, found in zip(asked, ids, strict=True)]

    def _asked(self, row: Row) -> str | list[Message]:
        """Return what the row asks: a text, or a chat."""
        asked = asked_of(row)
        if not self.chats and not isinstance(asked, str):
            message = "'messages' need a model with a chat template, and chat: auto"
            raise RowRejected("no_chat_template", message)
        return asked

    def _written(self, asked: str | list[Message]) -> str:
        """Return the whole prompt as the model reads it."""
        if isinstance(asked, str):
            text = self.template.replace(GAP, asked)
            if not self.chats:
                return text
            asked = [{"role": "user", "content": text}]
        if self.system is not None and asked[0]["role"] != "system":
            asked = [{"role": "system", "content": self.system}, *asked]
        try:
            written = self.tokenizer.apply_chat_template(
                asked, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            message = f"the model's chat template says: {error}"
            raise RowRejected("bad_messages", message) from error
        return str(written)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        # A chat template writes the special tokens itself; either all rows are chats, or none is.
        if not texts:
            return []
        special = not self.chats
        found: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=special, verbose=False
        ).input_ids
        return found

    def _fitting(self, asked: str | list[Message], ids: list[int]) -> Tokens:
        if len(ids) <= self.room:
            return Tokens(np.asarray(ids, dtype=np.int64))
        for shorter in self._shorter(asked, len(ids)):
            (ids,) = self._ids([self._written(shorter)])
            if len(ids) <= self.room:
                return Tokens(np.asarray(ids, dtype=np.int64), cut=True)
        raise RowRejected(
            "too_long",
            f"the prompt has {len(ids)} tokens, and {self.room} fit beside what is to be written;"
            " set too_long to 'truncate' to leave out its beginning",
        )

    def _shorter(self, asked: str | list[Message], count: int) -> Iterator[str | list[Message]]:
        """Yield ever shorter prompts: oldest turns left out, then the last turn's beginning."""
        if self.too_long == "reject":
            return
        if isinstance(asked, str):
            yield from _ends_of(asked, count - self.room, self._places)
            return
        system = [one for one in asked[:1] if one["role"] == "system"]
        turns = asked[len(system) :]
        for first in range(1, len(turns)):
            yield [*system, *turns[first:]]
        if turns:
            last = turns[-1]
            (alone,) = self._ids([self._written([*system, last])])
            over = len(alone) - self.room
            for content in _ends_of(last["content"], over, self._places):
                yield [*system, {**last, "content": content}]

    def _places(self, text: str) -> list[int]:
        """Return where each token of a text begins."""
        found = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return [start for start, _ in found.offset_mapping]


def _ends_of(text: str, over: int, places: Callable[[str], list[int]]) -> Iterator[str]:
    """Yield the text without its first `over` tokens, and some more each time: at a new beginning
    words may fall into other tokens."""
    starts = places(text)
    step = 1
    while over < len(starts):
        yield text[starts[over] :]
        over, step = over + step, 2 * step


def asked_of(row: Row) -> str | list[Message]:
    """Return what a row asks, a text or a chat; raise RowRejected unless it is just one of them."""
    prompt, messages = row.get("prompt"), row.get("messages")
    if prompt is None and messages is None:
        raise RowRejected("null_input", "both 'prompt' and 'messages' are null")
    if prompt is not None and messages is not None:
        raise RowRejected("two_inputs", "the row has a 'prompt' and 'messages'; leave one null")
    if prompt is not None:
        return full_text_of(row, "prompt")
    return [message_of(one) for one in _list_of(messages)]


def _list_of(messages: Any) -> list[Any]:
    if not isinstance(messages, list):
        raise RowRejected("wrong_type", f"'messages' is {type(messages).__name__}, expected a list")
    if not messages:
        raise RowRejected("empty_text", "'messages' is an empty list")
    return messages


def message_of(message: Any) -> Message:
    """Return a message; raise RowRejected unless it has a role and a content."""
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise RowRejected("bad_messages", "a message has no role or no content")
    if message["role"] is None or message["content"] is None:
        raise RowRejected("bad_messages", "a message's role or content is null")
    return {name: text_of(message, name) for name in ("role", "content")}
