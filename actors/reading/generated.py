"""Reading by models that write the text token by token: lines (TrOCR), whole pages (Donut and the
models that transformers calls image-text-to-text)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LogitsProcessorList,
    VisionEncoderDecoderModel,
)

from actors.images import decode
from actors.reading.detector import precise
from actors.reading.lines import Read, page_columns, unplaced_columns
from actors.stage import Batching, Device, Item, Model, Pass, Row
from actors.writing.chances import Chances

PROMPTS = {"glm_ocr": "Text Recognition:", "paddleocr_vl": "OCR:"}
"""What a model was trained to be asked, by model_type; from their model cards."""

STOPS = {"got_ocr2": "<|im_end|>"}
"""What ends a model's answer where its generation_config.json does not say so, by model_type."""

PROMPT = "Read all the text in this image. Answer with the text alone."
"""For models that can be asked anything."""


class Writer:
    """A model that generates text from an image, greedily."""

    def __init__(self, model: Any, tokenizer: Any, max_new_tokens: int) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._max_new_tokens = max_new_tokens
        self._ends = _ends(model, tokenizer)

    def write(self, start: int, **inputs: Any) -> list[Read]:
        """Return text and score of each image; `start` tokens of the output are the prompt's."""
        chances = Chances()
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                num_beams=1,
                eos_token_id=self._ends or None,
                logits_processor=LogitsProcessorList([chances]),
            )
        new = tokens[:, start:].cpu()
        steps = torch.from_numpy(chances.table())
        texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        scores = [self._score(*pair) for pair in zip(new, steps, strict=True)]
        return [(text.strip(), score) for text, score in zip(texts, scores, strict=True)]

    def _score(self, tokens: torch.Tensor, chances: torch.Tensor) -> float:
        """The mean chance of the tokens up to the end mark; what follows it is padding."""
        ends = torch.isin(tokens, torch.tensor(self._ends, dtype=torch.long)).nonzero()
        count = int(ends[0]) + 1 if len(ends) else len(tokens)
        return float(chances[:count].mean())


class Pictures:
    """An image processor whose last step, the arithmetic on pixels, waits for the device."""

    def __init__(self, folder: Path, device: Device) -> None:
        self._processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self._device = device

    def small(self, image: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the image at the model's size: 3, height, width; uint8."""
        out = self._processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
        return np.asarray(out["pixel_values"][0], np.uint8)

    def pixels(self, items: Sequence[Item]) -> torch.Tensor:
        """Return a batch as the model takes it."""
        processor = self._processor
        pixels = torch.from_numpy(np.stack([item.data for item in items])).to(self._device.name)
        values = pixels.float()
        if processor.do_rescale:
            values = values * processor.rescale_factor
        if processor.do_normalize:
            values = (values - self._column(processor.image_mean)) / self._column(
                processor.image_std
            )
        return precise(values, self._device)

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, device=self._device.name).view(-1, 1, 1)


class LineWriter(Pass):
    """A TrOCR-like model over the boxes of a page."""

    batching = Batching("fixed", rows=16, budget=16)

    def __init__(
        self,
        folder: Path,
        device: Device,
        max_pixels: int,
        min_line_score: float,
        max_new_tokens: int,
    ) -> None:
        self._max_pixels, self._min_line_score = max_pixels, min_line_score
        self._pictures = Pictures(folder, device)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = _loaded(VisionEncoderDecoderModel, folder, device)
        self._writer = Writer(model, tokenizer, max_new_tokens)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Cut out each page's lines at the model's size."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        if not row["boxes"]:
            return []
        page = np.asarray(decode(row["image"], self._max_pixels))
        return [Item(self._pictures.small(box.crop(page))) for box in row["boxes"]]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return (text, score) for each line."""
        return list(self._writer.write(1, pixel_values=self._pictures.pixels(items)))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the lines in reading order."""
        return page_columns(row["boxes"], outputs, self._min_line_score)


class DonutPages(Model):
    """A Donut-like model: the whole page at a fixed size, without boxes."""

    batching = Batching("fixed", rows=8, budget=8)

    def __init__(
        self, folder: Path, device: Device, max_pixels: int, max_new_tokens: int, prompt: str | None
    ) -> None:
        self._max_pixels, self._device = max_pixels, device
        self._pictures = Pictures(folder, device)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = _loaded(VisionEncoderDecoderModel, folder, device)
        self._writer = Writer(self._model, tokenizer, max_new_tokens)
        self._prompt = tokenizer(prompt or "", add_special_tokens=False).input_ids

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Shrink each page to the model's size."""
        return [
            [Item(self._pictures.small(decode(row["image"], self._max_pixels)))] for row in rows
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return (text, score) for each page."""
        inputs: dict[str, Any] = {"pixel_values": self._pictures.pixels(items)}
        if self._prompt:
            start = torch.tensor([self._prompt] * len(items), device=self._device.name)
            inputs["decoder_input_ids"] = start
        # A prompt stands in the start token's place: transformers adds none for Donut.
        return list(self._writer.write(len(self._prompt) or 1, **inputs))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Answer with lines that have no place."""
        return unplaced_columns(outputs[0])


class ChatPages(Model):
    """A model of the image-text-to-text kind: the page and a prompt in, text out.

    One page a time: these models cut pages into a number of tiles that depends on their shape, and
    padding would change answers.
    """

    batching = Batching("fixed", rows=1, budget=1)

    def __init__(
        self, folder: Path, device: Device, max_pixels: int, max_new_tokens: int, prompt: str | None
    ) -> None:
        self._max_pixels, self._device = max_pixels, device
        self._processor = AutoProcessor.from_pretrained(folder)
        model = _loaded(AutoModelForImageTextToText, folder, device)
        self._prompt = prompt or PROMPTS.get(model.config.model_type, PROMPT)
        self._writer = Writer(model, self._processor.tokenizer, max_new_tokens)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Let the model's own processor cut the page up and write the prompt."""
        return [[Item(self._inputs(row))] for row in rows]

    def _inputs(self, row: Row) -> Any:
        page = decode(row["image"], self._max_pixels)
        if not getattr(self._processor, "chat_template", None):
            return self._processor(images=page, return_tensors="pt")
        content = [{"type": "image", "image": page}, {"type": "text", "text": self._prompt}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return (text, score) for the page."""
        [item] = items
        inputs = item.data.to(self._device.name)
        if self._device.precision == "bf16":
            inputs = inputs.to(torch.bfloat16)
        return list(self._writer.write(inputs["input_ids"].shape[1], **inputs))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Answer with lines that have no place."""
        return unplaced_columns(outputs[0])


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer."""
    told = model.generation_config.eos_token_id
    ends = list(told) if isinstance(told, list) else [told] if told is not None else []
    stop = STOPS.get(model.config.model_type)
    return [*ends, tokenizer.convert_tokens_to_ids(stop)] if stop else ends


def _loaded(kind: Any, folder: Path, device: Device) -> Any:
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    model = kind.from_pretrained(folder, dtype=dtype).eval().to(device.name)
    model.generation_config.max_length = None  # would contradict max_new_tokens, with a warning
    return model
