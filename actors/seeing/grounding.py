"""Finding what phrases name: Grounding DINO and OWL, which read the phrases and see the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer

from actors.architecture import config_in
from actors.detections import ENDS, GROUNDERS
from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.seeing.detectors import ordered
from actors.seeing.distances import Found
from actors.seeing.viewer import Viewer
from actors.stage import Device, Item

Ids = tuple[tuple[int, ...], ...]
"""Token ids, one list for each text."""

END = ". "
"""Between two phrases, as Grounding DINO was trained."""


class Grounder:
    """A loaded model that finds what phrases name; `usual` is its threshold.

    Pictures share a batch where they have one shape and the same phrases.
    """

    usual: float

    def __init__(self, folder: Path, device: Device, backend: str) -> None:
        self.viewer = Viewer(AutoModelForZeroShotObjectDetection, folder, device, backend)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.batching = self.viewer.batching
        self.device = device

    def item(self, picture: Picture, phrases: Sequence[str]) -> Item:
        """Return a picture and its phrases as the model takes them.

        Raises RowRejected (image_too_narrow; too_long, invalid_text for phrases).
        """
        asked = self.read(phrases)
        note = (asked, (picture.height, picture.width))
        item = self.viewer.item(picture, note)
        return Item(item.data, item.cost, (item.shape, asked))

    def check(self, phrases: Sequence[str]) -> None:
        """Raise StageFailed for phrases of the stage's own that the model cannot be asked."""
        try:
            self.read(phrases)
        except RowRejected as error:
            raise StageFailed(f"phrases: {error.message}") from None

    def read(self, phrases: Sequence[str]) -> Any:
        """Return the phrases as token ids, hashable."""
        raise NotImplementedError

    def infer(self, items: Sequence[Item]) -> list[Found]:
        """Return what each picture shows of the phrases, best first: every box that the model
        draws, `labels` being numbers of phrases."""
        asked = items[0].data[1][0]
        outputs = self.viewer.forward([i.data[0] for i in items], **self.inputs(asked, len(items)))
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        sizes = torch.tensor([i.data[1][1] for i in items], device=outputs.logits.device)
        every = self.found(outputs, asked, sizes)
        return [ordered(*one, *size) for one, size in zip(every, sizes.tolist(), strict=True)]

    def inputs(self, asked: Any, pictures: int) -> dict[str, torch.Tensor]:
        """Return the phrases on the device, once for each picture."""
        raise NotImplementedError

    def found(self, outputs: Any, asked: Any, sizes: torch.Tensor) -> list[tuple[Any, Any, Any]]:
        """Return labels, scores and boxes of each picture."""
        raise NotImplementedError

    def _tensor(self, ids: Any) -> torch.Tensor:
        return torch.tensor(ids, dtype=torch.int64, device=self.device.name)


class GroundingDino(Grounder):
    """Grounding DINO: all phrases are one text; a box says how it likes each of its tokens.

    A box's score is that of its best token, and its phrase the one whose token it likes best.
    """

    usual = 0.25

    def read(self, phrases: Sequence[str]) -> tuple[Ids, Ids]:
        """Return the text's ids, and for each phrase the places of its tokens."""
        if any(mark in phrase for phrase in phrases for mark in ENDS):
            raise RowRejected("invalid_text", "a phrase holds a '.' or '?', which ends a phrase")
        words = [phrase.strip().lower() for phrase in phrases]
        text = END.join(words) + "."
        made = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids, most = made["input_ids"], self.viewer.config.max_text_len
        if len(ids) > most:
            raise RowRejected("too_long", f"the phrases have {len(ids)} tokens, of {most}")
        places, start = [], 0
        for word in words:
            end = start + len(word)
            places.append(_between(made["offset_mapping"], start, end))
            start = end + len(END)
        if not all(places):
            raise RowRejected("invalid_text", "a phrase has no character that the model reads")
        return (tuple(ids),), tuple(places)

    def inputs(self, asked: tuple[Ids, Ids], pictures: int) -> dict[str, torch.Tensor]:
        """The text, with a mask over all of it."""
        ids = self._tensor(asked[0]).expand(pictures, -1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def found(
        self, outputs: Any, asked: tuple[Ids, Ids], sizes: torch.Tensor
    ) -> list[tuple[Any, Any, Any]]:
        """Boxes with the score of their best token."""
        likes = outputs.logits.sigmoid()
        best = torch.stack([likes[..., list(places)].amax(-1) for places in asked[1]], -1)
        numbers = (best.argmax(-1), likes.amax(-1), self._boxes(outputs, sizes))
        return list(zip(*(values.cpu().numpy() for values in numbers), strict=True))

    def _boxes(self, outputs: Any, sizes: torch.Tensor) -> torch.Tensor:
        x, y, width, height = outputs.pred_boxes.unbind(-1)
        edges = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)
        return edges * sizes.flip(-1).repeat(1, 2)[:, None]


class Owl(Grounder):
    """OWL-ViT and OWLv2: each phrase is a text of its own; a box has the phrase that fits best."""

    usual = 0.1

    def read(self, phrases: Sequence[str]) -> tuple[Ids, Ids]:
        """Return the ids of each phrase, padded to the length that the model was trained with, and
        which of them are its own."""
        most = self.viewer.config.text_config.max_position_embeddings
        made = self.tokenizer(list(phrases), padding="max_length", max_length=most, verbose=False)
        longest = max(len(ids) for ids in made["input_ids"])
        if longest > most:
            raise RowRejected("too_long", f"a phrase has {longest} tokens, of {most}")
        ids, mask = (tuple(map(tuple, made[name])) for name in ("input_ids", "attention_mask"))
        return ids, mask

    def inputs(self, asked: tuple[Ids, Ids], pictures: int) -> dict[str, torch.Tensor]:
        """The phrases, again for each picture."""
        ids, mask = (self._tensor(rows).repeat(pictures, 1) for rows in asked)
        return {"input_ids": ids, "attention_mask": mask}

    def found(
        self, outputs: Any, asked: tuple[Ids, Ids], sizes: torch.Tensor
    ) -> list[tuple[Any, Any, Any]]:
        """As its processor reads them."""
        every = self.viewer.eye.processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=sizes
        )
        return [tuple(one[name].cpu().numpy() for name in ("labels", "scores", "boxes"))
                for one in every]  # fmt: skip


def _between(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, ...]:
    """Return the places of the tokens that lie in a stretch of the text."""
    return tuple(
        n for n, (first, last) in enumerate(offsets) if first < last and start <= first < end
    )


def load_grounder(folder: Path, device: Device, backend: str = "pil") -> Grounder:
    """Load the model of a folder. Raises StageFailed."""
    config = config_in(folder)
    kinds: dict[str, type[Grounder]] = {"dino": GroundingDino, "owl": Owl}
    return kinds[GROUNDERS[config["model_type"]]](folder, device, backend)
