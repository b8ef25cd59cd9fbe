"""OCR: reads the text of a page."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import model_validator

from actors.architecture import config_in
from actors.errors import StageFailed
from actors.images import MAX_PIXELS
from actors.reading.lines import LINES
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Model,
    ModelFiles,
    Pass,
    Stage,
    model_option,
    option,
)

WHOLE = ("donut", "chat", "florence")
"""Kinds of models that read a page at once, without a detector."""


class Ocr(Stage):
    """Reads the text of a page: its lines in order, where they stand, how sure the model is.

    Three kinds of models do it. PP-OCR recognisers and TrOCR-like models read the lines that a
    detector finds; Donut and image-text-to-text models (GOT-OCR2, GLM-OCR...) read a page at once
    and do not say where: their lines have no polygon and no box. Florence-2 reads a page at once
    and says where each line stands, unless its prompt is <OCR>. With `engine: tesseract` the
    program of that name reads, without a model: it must be installed where the stage works.
    """

    reads: ClassVar[Columns] = {"image": pa.binary()}
    models: ClassVar[Defaults] = Defaults(
        hub="PaddlePaddle/PP-OCRv6_small_rec_safetensors",
        licence="Apache-2.0",
        embedded="embedded:pp-ocrv6-small-rec",
    )
    chunk: ClassVar[int] = 1

    engine: Literal["model", "tesseract"] = option(
        "model", "What reads: a model, or the program tesseract, which must be installed."
    )
    languages: str = option(
        "eng",
        "tesseract: the languages of the pages, as it names them, such as eng+deu.",
        pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$",
    )
    layout: int = option(
        3,
        "tesseract: what it expects of a page (--psm): 3 a whole page, 6 one block of text, 7 one"
        " line, 11 words anywhere.",
        ge=3,
        le=13,
    )
    detector: str | None = model_option(
        hub="PaddlePaddle/PP-OCRv6_small_det_safetensors",
        embedded="embedded:pp-ocrv6-small-det",
        help="PP-OCR model that finds the lines; models that read whole pages ignore it.",
    )
    max_side: int = option(
        960, "Longest side of the page, in pixels, in which lines are searched.", ge=32, le=8192
    )
    threshold: float = option(
        0.3, "Heat above which the detector's pixels belong to text.", gt=0, lt=1
    )
    min_line_score: float = option(
        0.0, "Lines that the model is less sure of are left out.", ge=0, le=1
    )
    max_new_tokens: int = option(
        1024, "Most tokens that a generating model writes for a line or a page.", ge=1, le=32_768
    )
    prompt: str | None = option(
        None, "What a model for whole pages is told; the default is the model's own."
    )
    max_pixels: int = option(MAX_PIXELS, "Larger images are rejected unread.", ge=1)

    @model_validator(mode="after")
    def _engine_has_options(self) -> Self:
        named = self.model_fields_set & {"languages", "layout"}
        if named and self.engine == "model":
            raise ValueError(f"'{min(named)}' is tesseract's: add  engine: tesseract")
        return self

    @property
    def needs_model(self) -> bool:
        """None for tesseract."""
        return self.engine == "model"

    @property
    def writes(self) -> Columns:
        """Text and lines."""
        return {"text": pa.string(), "lines": LINES}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Refuse models that do not read."""
        if kind(config) is not None:
            return None
        name = " ".join(config.get("architectures") or [config.get("model_type", "unknown")])
        if str(config.get("model_type")).startswith("pp_ocr"):
            return f"{name} finds text but does not read it; name it as `detector`"
        return (
            f"{name} does not read text; these do: PP-OCR recognisers (pp_ocr..._rec), "
            "vision-encoder-decoder (TrOCR, Donut), image-text-to-text (got_ocr2, glm_ocr...)"
        )

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """No detector for models that read whole pages."""
        needless = config is not None and kind(config) in WHOLE
        return [] if needless or not self.needs_model else super().model_options(config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load a reader of lines with its detector, or a reader of pages; or look for tesseract."""
        if not self.needs_model:
            from actors.reading.tesseract import TesseractPages

            settings = (self.languages, self.layout, self.max_pixels, self.min_line_score)
            return TesseractPages(device, *settings)
        config = config_in(files.folder)
        problem = self.check(config)
        if problem:
            raise StageFailed(f"{files.folder}: {problem}")
        if kind(config) in WHOLE:
            return self._pages(files, device, str(kind(config)))
        from actors.reading.detector import Detector

        folder = files.others["detector"]
        detector = Detector(folder, device, self.max_side, self.threshold, self.max_pixels)
        return LinesOfPages(detector, self._reader(files, device, kind(config) == "ctc"))

    def _reader(self, files: ModelFiles, device: Device, ctc: bool) -> Pass:
        if ctc:
            from actors.reading.ctc import CtcReader

            return CtcReader(files.folder, device, self.max_pixels, self.min_line_score)
        from actors.reading.generated import LineWriter

        limits = (self.max_pixels, self.min_line_score, self.max_new_tokens)
        return LineWriter(files.folder, device, *limits)

    def _pages(self, files: ModelFiles, device: Device, kind: str) -> Model:
        from actors.reading.florence import FlorencePages
        from actors.reading.generated import ChatPages, DonutPages

        kinds: dict[str, Any] = {"donut": DonutPages, "chat": ChatPages, "florence": FlorencePages}
        settings = (self.max_pixels, self.max_new_tokens, self.prompt)
        pages: Model = kinds[kind](files.folder, device, *settings)
        return pages


class LinesOfPages(Model):
    """A detector, and a reader of what it finds."""

    def __init__(self, detector: Pass, reader: Pass) -> None:
        self._passes = (detector, reader)

    @property
    def passes(self) -> Sequence[Pass]:
        """Find, then read."""
        return self._passes


def kind(config: Mapping[str, Any]) -> str | None:
    """Return how a model reads, by its config.json: ctc, line, or one of WHOLE; None: it does
    not."""
    name = str(config.get("model_type", ""))
    if name == "florence2":
        return "florence"
    if name.startswith("pp_ocr"):
        return "ctc" if name.endswith("_rec") else None
    if name == "vision-encoder-decoder":
        encoder = config.get("encoder", {}).get("model_type", "")
        return "donut" if "donut" in encoder else "line"
    classes = " ".join(config.get("architectures") or ())
    writes = "ForConditionalGeneration" in classes or "ForImageTextToText" in classes
    return "chat" if writes and "vision_config" in config else None
