"""Models that chat about pictures and sound, asked through their own processors.

A processor decides into how many tiles, patches or frames it cuts what it is shown, so only rows
whose parts have the same shapes share a batch; questions are padded on the left, where that is
exact.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import AutoModelForMultimodalLM

from actors.checkpoint import load_model
from actors.errors import RowRejected, StageFailed
from actors.stage import Batching, Device, Item
from actors.telling.asked import Asked
from actors.telling.conversation import Turn
from actors.telling.processors import open_processor
from actors.writing.generation import Generation, Written, padded
from actors.writing.prompts import room_for

# Families whose answers do not change when questions are padded on the left under the attention
# mask: each is compared, padded against alone, in tests/test_multimodal_chat.py. Any other family
# only meets questions of its own length.
PADDING_IS_EXACT = frozenset(
    {
        *("idefics", "idefics2", "idefics3", "smolvlm"),
        *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "phi4_multimodal"),
    }
)
# Inputs with a value for each token.
BESIDE = frozenset({"mm_token_type_ids", "token_type_ids", "image_attention_mask"})
# What `generate` does not take, or what is made again for the batch.
NEEDLESS = frozenset({"input_ids", "attention_mask", "num_img_tokens"})
# Marks that end an answer where generation_config.json may not say so, by model_type; from the
# models' cards.
STOPS = {"idefics": "<end_of_utterance>", "got_ocr2": "<|im_end|>"}
# What IDEFICS must not write, from its card.
BANNED = {"idefics": ("<image>", "<fake_token_around_image>")}
CAUSAL_BY_MISTAKE = ("Phi4MultimodalVisionAttention", "Phi4MultimodalAudioAttention")


class Talker:
    """A chat model with its processor. `manner` is how `Generation.write` is to write."""

    def __init__(
        self,
        folder: Path,
        device: Device,
        backend: str,
        manner: Mapping[str, Any],
        most: int | None = None,
    ) -> None:
        self.processor = open_processor(folder, backend)
        self.model = load_model(AutoModelForMultimodalLM, folder, device)
        _look_both_ways(self.model)
        self.device = device
        self.tokenizer = self.processor.tokenizer
        self.family = self.model.config.model_type
        self.generation = Generation(self.model, self.tokenizer, device)
        self.manner = {**manner, "settings": {**manner["settings"], **self._marks()}}
        self.more = manner["settings"]["max_new_tokens"]
        config = self.model.config.get_text_config(decoder=True)
        self.room = room_for(self.tokenizer, config, self.more, most)
        self.lengths_meet = self.family in PADDING_IS_EXACT and self.generation.pad is not None
        self._check_template()

    def _marks(self) -> dict[str, Any]:
        """Return what ends an answer and what it may not hold, where the model does not say so."""
        stop = STOPS.get(self.family)
        number = self.tokenizer.convert_tokens_to_ids
        if stop and number(stop) is not None:
            self.generation.ends = [*self.generation.ends, number(stop)]
        banned = [[number(mark)] for mark in BANNED.get(self.family, ())]
        ends = {"eos_token_id": self.generation.ends} if self.generation.ends else {}
        return {**ends, "bad_words_ids": banned} if banned else ends

    def _check_template(self) -> None:
        """Raise StageFailed for a model that cannot be asked; the first call also sets the
        tokenizer up, which is not safe in threads."""
        try:
            self.item([Turn("user", "a")])
        except RowRejected as error:
            raise StageFailed(f"the model's chat template does not work: {error}") from error

    @property
    def rate(self) -> int:
        """Samples per second of the sound that it hears, in Hz. Raises RowRejected without ears."""
        for name in ("feature_extractor", "audio_processor"):
            found = getattr(getattr(self.processor, name, None), "sampling_rate", None)
            if found:
                return int(found)
        raise RowRejected("hears_nothing", f"the model ({self.family}) hears no sound")

    @property
    def batching(self) -> Batching:
        """Rows whose pictures and sound have one shape."""
        plain = self.generation.batching(self.manner["settings"]["num_beams"])
        return Batching("shape", plain.rows, plain.budget)

    def item(self, turns: Sequence[Turn]) -> Item:
        """Return a chat on its way to the device. Raises RowRejected (too_long, bad_messages)."""
        self._check_marks(turns)
        found = self._processed(turns)
        ids = np.asarray(found["input_ids"][0], np.int64)
        if len(ids) > self.room:
            raise RowRejected(
                "too_long",
                f"pictures, sound and text take {len(ids)} tokens, and {self.room} fit beside what"
                " is to be written; smaller pictures (max_side) take fewer",
            )
        arrays = {
            name: np.asarray(value)
            for name, value in found.items()
            if torch.is_tensor(value) and name not in NEEDLESS
        }
        # Phi-4's mask of patches has the name of IDEFICS' mask of tokens.
        beside = {n: a for n, a in arrays.items() if n in BESIDE and a.shape[:2] == (1, len(ids))}
        given = {name: array for name, array in arrays.items() if name not in beside}
        return Asked(ids, given, beside=beside).item(self.more, self.lengths_meet)

    def _check_marks(self, turns: Sequence[Turn]) -> None:
        """Raise RowRejected for a text that holds a mark which stands for a picture or sound."""
        for name in ("image_token", "video_token", "audio_token", "fake_image_token"):
            mark = getattr(self.processor, name, None)
            if isinstance(mark, str) and any(mark in turn.text for turn in turns):
                raise RowRejected("bad_messages", f"a text holds the model's own mark {mark}")

    def _processed(self, turns: Sequence[Turn]) -> Mapping[str, Any]:
        """Return what the model's own processor makes of a chat."""
        if self.family == "idefics" and not self.processor.chat_template:
            return self._idefics(turns)
        chat = [{"role": turn.role, "content": turn.parts()} for turn in turns]
        try:
            found: Mapping[str, Any] = self.processor.apply_chat_template(
                [chat],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        except (TemplateError, ValueError) as error:
            raise RowRejected("bad_messages", f"the model's processor says: {error}") from error
        return found

    def _idefics(self, turns: Sequence[Turn]) -> Mapping[str, Any]:
        """Ask the first IDEFICS, which has no template, in the form of its card."""
        end = "<end_of_utterance>\n"
        parts: list[Any] = []
        for turn in turns:
            # A part that is nothing but an address would be fetched; this one never is.
            parts += [f"{turn.role.capitalize()}: ", *turn.pictures, f" {turn.text}{end}"]
        found: Mapping[str, Any] = self.processor(
            text=[[*parts, "Assistant:"]], add_end_of_utterance_token=False, return_tensors="pt"
        )
        return found

    def write(self, items: Sequence[Item]) -> list[Written]:
        """Return the answers to chats whose pictures and sound have one shape."""
        return self.generation.write(items, inputs=self._inputs(items), **self.manner)

    def _inputs(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        words = padded(items, self.generation.pad, self.device, left=True)
        length = words["input_ids"].shape[1]
        given = {
            name: np.concatenate([item.data.given[name] for item in items])
            for name in items[0].data.given
        }
        beside = {
            name: np.concatenate([_led(item.data.beside[name], length) for item in items])
            for name in items[0].data.beside
        }
        return words | {n: self._tensor(array) for n, array in {**given, **beside}.items()}

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array).to(self.device.name)
        return tensor.to(self.model.dtype) if tensor.is_floating_point() else tensor


def _look_both_ways(model: Any) -> None:
    """Let each patch of a picture see all others, as Phi-4's eye was made to.

    transformers marks its attention as causal, which counts only where no patch of the batch is
    masked: what a picture says would hang on its neighbours.
    """
    for module in model.modules():
        if type(module).__name__ in CAUSAL_BY_MISTAKE:
            module.is_causal = False


def _led(array: np.ndarray, length: int) -> np.ndarray:
    """Return a row's values per token, (1, tokens, ...), with zeros before them."""
    missing = length - array.shape[1]
    return np.pad(array, [(0, 0), (missing, 0), *[(0, 0)] * (array.ndim - 2)])
