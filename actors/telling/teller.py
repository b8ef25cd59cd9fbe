"""Models that tell of one picture, each family as it was trained to be asked."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForVisualQuestionAnswering,
    AutoProcessor,
    AutoTokenizer,
)

from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item
from actors.telling.asked import Asked
from actors.texts.encoder import longest_input
from actors.writing.generation import Generation, Written, padded


class Teller:
    """A model of pictures of one size, with its tokenizer.

    `goes_on` says that what it writes goes on after the words it is given, as a caption after its
    beginning; else it answers them.
    """

    auto: Any = AutoModelForImageTextToText
    goes_on = True
    end: str | None = None

    def __init__(self, folder: Path, device: Device, backend: str, settings: Mapping[str, Any]):
        self.viewer = Viewer(self.auto, folder, device, backend)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.device = device
        ends = self._ends()
        self.generation = Generation(self.writer, self.tokenizer, device, hidden=ends)
        self.generation.ends += ends
        marks = {"eos_token_id": self.generation.ends} if ends else {}
        self.settings = {**settings, **marks}
        self.room  # noqa: B018 - raises

    def _ends(self) -> list[int]:
        """Return the token `end`, if the tokenizer has it: it ends answers beside the model's own
        marks, and is left out of them."""
        return [n] if self.end and (n := self.tokenizer.get_vocab().get(self.end)) else []

    @property
    def writer(self) -> Any:
        """The part of the model that writes."""
        return self.viewer.model

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""
        return self.viewer.side

    @property
    def batching(self) -> Batching:
        """Pictures of one shape, with questions of one length."""
        plain = self.generation.batching(self.settings["num_beams"])
        return Batching("shape", plain.rows, plain.budget)

    @cached_property
    def room(self) -> int:
        """Most tokens that it can be asked with, all marks included; at least two.

        Raises StageFailed where what is to be written leaves no room.
        """
        longest = longest_input(self.tokenizer, self.writer.config.get_text_config(decoder=True))
        more = self.settings["max_new_tokens"]
        if longest - more < 2:
            raise StageFailed(
                f"the model takes {longest} tokens, which max_new_tokens {more} leaves no room in;"
                " ask for fewer"
            )
        return longest - more if self.goes_on else longest

    def item(self, picture: Picture, words: str, cut: bool = False) -> Item:
        """Return what the model is asked; no words, where `words` is empty. With `cut`, words that
        do not fit are left out.

        Raises RowRejected (image_too_narrow, too_long, bad_prompt).
        """
        ids = self.ids(words)
        long = len(ids) > self.room
        if long and not cut:
            raise RowRejected(
                "too_long", f"{len(ids)} tokens are asked, the model takes {self.room}"
            )
        pixels = self.viewer.eye.pixels(picture.image)
        asked = Asked(self.short(ids) if long else ids, {"pixel_values": pixels[None]}, cut=long)
        return asked.item(self.settings["max_new_tokens"])

    def ids(self, words: str) -> np.ndarray:
        """Return the tokens of what the model is asked, however many."""
        raise NotImplementedError

    def short(self, ids: np.ndarray) -> np.ndarray:
        """Return as many of the tokens as there is room for."""
        return ids[: self.room]

    def tell(self, items: Sequence[Item], whole: bool = False) -> list[Written]:
        """Return what the model writes for items of one shape, and how likely it was; if `whole`,
        with the words that it goes on after."""
        pixels = self.viewer.eye.tensor([item.data.given["pixel_values"][0] for item in items])
        with torch.inference_mode():
            inputs = self.inputs(items, pixels.to(self.viewer.model.dtype))
        heads = [item.data.ids[1:] for item in items] if whole and self.goes_on else ()
        return self.generation.write(items, self.settings, inputs=inputs, chances=True, heads=heads)

    def inputs(self, items: Sequence[Item], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what `writer` is given."""
        return {**padded(items, None, self.device), "pixel_values": pixels}

    def words_of(self, text: str) -> list[int]:
        """Return a text's tokens without marks."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return found


class Git(Teller):
    """GIT: the words stand before what it writes, after one mark."""

    def ids(self, words: str) -> np.ndarray:
        """Return the first mark and the words."""
        return np.array([self.viewer.config.bos_token_id, *self.words_of(words)], np.int64)


class Blip(Teller):
    """BLIP's captions: its writer sees the picture through cross-attention."""

    @cached_property
    def writer(self) -> Any:
        """The decoder, with the marks that BLIP's own `generate` tells it."""
        decoder = self.viewer.model.text_decoder
        decoder.generation_config.eos_token_id = self.viewer.config.text_config.sep_token_id
        decoder.generation_config.pad_token_id = self.viewer.config.text_config.pad_token_id
        return decoder

    def ids(self, words: str) -> np.ndarray:
        """Return the first mark and the words."""
        begin = self.viewer.config.text_config.bos_token_id
        return np.array([begin, *self.words_of(words)], np.int64)

    def inputs(self, items: Sequence[Item], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the words and what the eye's encoder says of the pictures."""
        seen = self.viewer.model.vision_model(pixel_values=pixels)[0]
        return {**padded(items, None, self.device), **_crossed(seen)}


class BlipAnswerer(Blip):
    """BLIP's answers: an encoder reads the question beside the picture, and the writer reads it."""

    auto = AutoModelForVisualQuestionAnswering
    goes_on = False

    def ids(self, words: str) -> np.ndarray:
        """Return the question with the tokenizer's own marks."""
        return np.array(self.tokenizer(words, verbose=False).input_ids, np.int64)

    def short(self, ids: np.ndarray) -> np.ndarray:
        """Return the tokens that there is room for, and the last mark."""
        return np.append(ids[: self.room - 1], ids[-1])

    def inputs(self, items: Sequence[Item], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the writer's first mark, and the questions as the encoder reads them."""
        model = self.viewer.model
        words = padded(items, None, self.device)
        read = model.text_encoder(
            **words,
            **_crossed(model.vision_model(pixel_values=pixels)[0]),
            return_dict=False,
        )[0]
        begin = torch.full_like(words["input_ids"][:, :1], model.decoder_start_token_id)
        return {"input_ids": begin, "attention_mask": torch.ones_like(begin), **_crossed(read)}


class Florence(Teller):
    """Florence-2: an encoder-decoder; a prompt such as <CAPTION> stands for a task's sentence."""

    goes_on = False

    def __init__(self, folder: Path, device: Device, backend: str, settings: Mapping[str, Any]):
        super().__init__(folder, device, backend, settings)
        self._known: dict[str, np.ndarray] = {}
        self._processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, backend=backend
        )

    def ids(self, words: str) -> np.ndarray:
        """Return the picture's places and the words, as the model's own processor has them.

        A picture takes as many places whatever it shows, so a blank one stands for any.
        """
        found = self._known.get(words)
        if found is None:
            try:
                made = self._processor(images=Image.new("RGB", (32, 32)), text=words)
            except ValueError as error:
                raise RowRejected("bad_prompt", f"the model's processor says: {error}") from error
            if len(self._known) > 1_000:  # another thread may do the same
                self._known.clear()
            found = self._known[words] = np.array(made["input_ids"][0], np.int64)
        return found


class Painted(Teller):
    """A decoder over the encoder of a picture (ViT and GPT-2): it takes no words."""

    goes_on = False

    def ids(self, words: str) -> np.ndarray:
        """Return the mark that the decoder begins with."""
        if words:
            raise RowRejected("bad_prompt", "this model takes no prompt: it writes captions only")
        return np.zeros(1, np.int64)

    def inputs(self, items: Sequence[Item], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the pictures alone."""
        return {"pixel_values": pixels}


class Donut(Painted):
    """Donut, trained to answer questions about pages: it goes on after the question's marks."""

    goes_on = True
    end = "</s_answer>"

    def ids(self, words: str) -> np.ndarray:
        """Return the question with the marks that it was trained with.

        Raises RowRejected (bad_prompt) for a question that holds such marks itself.
        """
        if "<s_" in words or "</s_" in words:
            raise RowRejected("bad_prompt", "the question holds marks of the model's own, <s_...>")
        asked = f"<s_docvqa><s_question>{words}</s_question><s_answer>"
        return np.array(self.words_of(asked), np.int64)

    def inputs(self, items: Sequence[Item], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the pictures, and what the decoder goes on after."""
        words = padded(items, None, self.device)["input_ids"]
        return {"pixel_values": pixels, "decoder_input_ids": words}


def _crossed(read: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a decoder looks at while it writes, all of it."""
    mask = torch.ones(read.shape[:-1], dtype=torch.long, device=read.device)
    return {"encoder_hidden_states": read, "encoder_attention_mask": mask}
