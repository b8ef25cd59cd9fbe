"""image-text-retrieval: vectors of pictures and texts that can be compared, and how they match."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import why_not
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.seeing.families import COMPARERS, compares_pictures, matches_pictures
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import TEXT, full_text_of

if TYPE_CHECKING:
    from actors.seeing.clip import ClipViewer
    from actors.seeing.matcher import Matcher
    from actors.seeing.words import Words

VECTOR = pa.list_(pa.float32())

CLIP_SCORE = 2.5
"""CLIPScore (Hessel et al. 2021, arxiv.org/abs/2104.08718) is 2.5 x the cosine, 0 where that is
negative: cosines of CLIP stay below 0.4 even for a picture and its own caption."""


class ImageTextRetrieval(ImageStage):
    """Turns pictures and texts into vectors that can be compared, and says how well they match.

    Give it pictures, texts, or both; a row may lack one of the two. With `answer: vectors` it
    answers `image_embedding` and `text_embedding` (length 1, null for what the row lacks) and,
    where a row has both, `similarity` (cosine) and `match_score` (0..1): the probability that
    SigLIP gives the pair, or for CLIP, which gives none, the CLIPScore (2.5 x the cosine, within
    0..1). With `answer: match` it answers `match_score` alone, also by models that read picture
    and text together, which is slower and better: BLIP (Salesforce/blip-itm-base-coco,
    BSD-3-Clause) and ViLT (dandelin/vilt-b32-finetuned-coco, Apache-2.0). `gristmill search` finds
    the rows of an output by these vectors.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), **TEXT}
    optional_reads: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    models: ClassVar[Defaults] = Defaults(
        hub="google/siglip2-base-patch16-224", licence="Apache-2.0"
    )
    searched: ClassVar[Mapping[str, str]] = {"image": "image_embedding", "text": "text_embedding"}

    answer: Literal["vectors", "match"] = option(
        "vectors", "What to answer: vectors and their likeness, or only how well the two match."
    )
    too_long: Literal["truncate", "reject"] = option(
        "truncate",
        "A text longer than the model reads (CLIP 77 tokens, SigLIP 64): read its beginning and"
        " say so in `text_truncated`, or reject the row (too_long).",
    )

    @property
    def writes(self) -> Columns:
        """Vectors and likeness or the match alone, and whether the text was cut."""
        match = {"match_score": pa.float32(), "text_truncated": pa.bool_()}
        if self.answer == "match":
            return match
        vectors = {"image_embedding": VECTOR, "text_embedding": VECTOR}
        return {**vectors, "similarity": pa.float32(), **match}

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Ask for a picture or a text, and for both where they are to be matched."""
        if self.answer == "match" and len(inputs) < 2:
            return "answer: match compares an image with a text, and needs a column of each."
        return None if inputs else "it needs a column of images, of texts, or of both."

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept CLIP and SigLIP; for a match also BLIP and ViLT."""
        if compares_pictures(config) or (self.answer == "match" and matches_pictures(config)):
            return None
        if matches_pictures(config):
            return f"answer: vectors needs {COMPARERS}; this model only does  answer: match"
        return why_not("image-text-retrieval", COMPARERS, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load whichever kind of model the folder holds."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        if matches_pictures(config.to_dict()):
            from actors.seeing.matcher import Matcher

            return ByPairs(self, Matcher(files.folder, device, self.image_backend))
        from actors.seeing.clip import ClipViewer

        return ByVectors(self, ClipViewer(files.folder, device, self.image_backend))

    def check_there(self, row: Row) -> None:
        """Raise RowRejected (null_input) for a row that has neither, or for a match not both."""
        there = [name for name in self.reads if row.get(name) is not None]
        if not there:
            raise RowRejected("null_input", "the row has neither an image nor a text")
        if self.answer == "match" and len(there) < 2:
            raise RowRejected("null_input", f"only '{there[0]}' is there, and a match needs both")

    def check_length(self, words: "Words", most: int) -> None:
        """Raise RowRejected (too_long) for a cut text, if that is asked for."""
        if words.cut and self.too_long == "reject":
            raise RowRejected("too_long", f"the text has more than {most} tokens")


class ByVectors(Model):
    """A model with vectors for pictures and texts."""

    def __init__(self, stage: ImageTextRetrieval, clip: "ClipViewer") -> None:
        self.stage = stage
        self.clip = clip
        self.batching = clip.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """An item for the picture, if there is one, and one for the text, if there is one."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        self.stage.check_there(row)
        texts = [full_text_of(row)] if row.get("text") is not None else []
        items = self.clip.read(texts)
        for item in items:
            self.stage.check_length(item.data, self.clip.words.length)
        if row.get("image") is None:
            return items
        return [self.clip.see(self.stage.picture(row, self.clip.side)), *items]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its vector, and whether it is of a text that was cut."""
        cut = [getattr(item.data, "cut", False) for item in items]
        return list(zip(self.clip.vectors(items), cut, strict=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the two vectors, if there are two."""
        there = [name for name in ("image", "text") if row.get(name) is not None]
        found = dict(zip(there, outputs, strict=True))
        image, text = (found.get(name, (None, None)) for name in ("image", "text"))
        answer = {
            "image_embedding": image[0],
            "text_embedding": text[0],
            **self._compared(image[0], text[0]),
            "text_truncated": text[1],
        }
        return {name: answer[name] for name in self.stage.writes}

    def _compared(self, image: np.ndarray | None, text: np.ndarray | None) -> Row:
        if image is None or text is None:
            return {"similarity": None, "match_score": None}
        # Rounding may take a cosine past 1 by 1e-7.
        cosine = float(np.clip(image @ text, -1, 1))
        if self.clip.usual == "softmax":
            return {"similarity": cosine, "match_score": min(1.0, CLIP_SCORE * max(0.0, cosine))}
        return {"similarity": cosine, "match_score": float(self.clip.scores(image, text[None])[0])}


class ByPairs(Model):
    """A model that reads picture and text together."""

    def __init__(self, stage: ImageTextRetrieval, matcher: "Matcher") -> None:
        self.stage = stage
        self.matcher = matcher
        self.batching = matcher.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item: picture and text."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        self.stage.check_there(row)
        (words,) = self.matcher.read([full_text_of(row)])
        self.stage.check_length(words, self.matcher.words.length)
        return self.matcher.pair(self.stage.picture(row, self.matcher.viewer.side), words)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: how well the two match, and whether the text was cut."""
        cut = [item.data[1].cut for item in items]
        return list(zip(self.matcher.scores(items), cut, strict=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's score."""
        ((score, cut),) = outputs
        return {"match_score": float(score), "text_truncated": cut}
