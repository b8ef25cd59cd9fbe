"""The demo's documents: pages in several layouts, clean and as bad scans, and what they say.

Made on the spot with the font that comes inside Pillow, so they look the same on any machine.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from jobs.demo.texts import STORIES, Entity, Story

WIDTH, HEIGHT = 1000, 1414  # A4 at 121 dpi: what a quick office scan has
MARGIN = 80
SIZE = 22  # pixels of text, 13 point on this page
LEADING = 1.45  # line distance over text size
GUTTER = 50  # between the article's columns


@dataclass(frozen=True, slots=True)
class Document:
    """One page: its file (in the folder), whether it is a bad scan, and the truth about it."""

    file: str
    degraded: bool
    text: str
    entities: tuple[Entity, ...]


def make_documents(folder: Path, seed: int = 0) -> list[Document]:
    """Write the pages and `truth.jsonl` into the folder; return what stands in the latter.

    `text` is in reading order, line by line as set, cells parted by a tab and paragraphs by an
    empty line. Equal seeds make equal pages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = []
    for number, story in enumerate(STORIES):
        page, text = typeset(story)
        random = np.random.default_rng([seed, number])
        for file, degraded in ((f"{story.name}.png", False), (f"{story.name}_scan.jpg", True)):
            data = degrade(page, random) if degraded else _png(page)
            (folder / file).write_bytes(data)
            documents.append(Document(file, degraded, text, story.entities))
    lines = [json.dumps(asdict(document)) + "\n" for document in documents]
    (folder / "truth.jsonl").write_text("".join(lines), encoding="utf-8")
    return documents


class Sheet:
    """A page that is being set from top to bottom, and the lines set so far."""

    def __init__(self) -> None:
        self.image = Image.new("L", (WIDTH, HEIGHT), 255)
        self.text: list[str] = []
        self.y = float(MARGIN)
        self._draw = ImageDraw.Draw(self.image)

    def space(self, lines: float = 1.0) -> None:
        """Leave room, and end the paragraph."""
        self.y += lines * SIZE * LEADING
        self.text.append("")

    def line(self, cells: dict[int, str], size: int = SIZE) -> None:
        """Set one line: x -> text."""
        font = _font(size)
        for x, cell in cells.items():
            self._draw.text((x, self.y), cell, fill=15, font=font)
        self.text.append("\t".join(cells.values()))
        self.y += size * LEADING

    def paragraph(self, text: str, left: int = MARGIN, width: int = WIDTH - 2 * MARGIN) -> None:
        """Set a paragraph and the space after it."""
        for line in wrapped(text, width):
            self.line({left: line})
        self.space(0.7)

    def rule(self) -> None:
        """Draw a thin line across the page."""
        self._draw.line((MARGIN, self.y, WIDTH - MARGIN, self.y), fill=90, width=2)
        self.y += SIZE // 2


def wrapped(text: str, width: int, size: int = SIZE) -> list[str]:
    """Break text into lines no wider than `width` pixels."""
    font, lines = _font(size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def typeset(story: Story) -> tuple[Image.Image, str]:
    """Return the page (grey, 8 bits) and its text in reading order."""
    sheet = Sheet()
    sheet.line({MARGIN: story.title}, size=36 if story.layout != "article" else 34)
    sheet.space()
    if story.layout == "article":
        _columns(sheet, story.blocks)
    elif story.layout == "invoice":
        _invoice(sheet, story.blocks)
    else:
        _blocks(sheet, story.blocks)
    return sheet.image, "\n".join(sheet.text).strip()


def _blocks(sheet: Sheet, blocks: tuple[str, ...]) -> None:
    """Paragraphs, headings and rows of two cells, one below the other."""
    for block in blocks:
        if block.startswith("# "):
            sheet.line({MARGIN: block[2:]}, size=28)
            sheet.space(0.3)
        elif " | " in block:
            sheet.line(_cells(block, (MARGIN, 380)))
            sheet.rule()
            sheet.space(0.4)
        else:
            sheet.paragraph(block)


def _columns(sheet: Sheet, blocks: tuple[str, ...]) -> None:
    """Running text in two columns of about equal length."""
    width = (WIDTH - 2 * MARGIN - GUTTER) // 2
    lines: list[str] = []
    for block in blocks:
        lines += [*wrapped(block, width), ""]
    middle = len(lines) // 2
    top = sheet.y
    for left, column in ((MARGIN, lines[:middle]), (WIDTH - MARGIN - width, lines[middle:-1])):
        sheet.y = top
        for line in column:
            if line:
                sheet.line({left: line})
            else:
                sheet.space(0.7)


def _invoice(sheet: Sheet, blocks: tuple[str, ...]) -> None:
    """Two addresses side by side, two dates, a table, a paragraph."""
    for block in blocks:
        cells = block.count("|")
        if cells == 1:
            sheet.line(_cells(block, (MARGIN, 540)))
        elif cells == 3:
            if block.startswith(("Item", "Subtotal")):
                sheet.space(0.5)
                sheet.rule()
            sheet.line(_cells(block, (MARGIN, 450, 620, 800)))
        elif block.startswith("# "):
            sheet.space(0.4)
            sheet.line({MARGIN: block[2:]})
        else:
            sheet.space()
            sheet.paragraph(block)


def _cells(block: str, positions: tuple[int, ...]) -> dict[int, str]:
    cells = (cell.strip() for cell in block.split("|"))
    return {x: cell for x, cell in zip(positions, cells, strict=True) if cell}


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow wheels have had FreeType since 1.0
    return font


def _png(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def degrade(page: Image.Image, random: np.random.Generator) -> bytes:
    """Return the page as a bad scan: skewed, unevenly lit, noisy, blurred, JPEG quality 45."""
    angle = float(random.uniform(0.8, 2.0) * random.choice([-1, 1]))
    turned = page.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=250)
    pixels = np.asarray(turned, np.float32) * 0.85 + 25
    light = (
        np.linspace(-15, 15, pixels.shape[1])[None] + np.linspace(8, -8, pixels.shape[0])[:, None]
    )
    pixels += light + random.normal(0, 12, pixels.shape)
    scan = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    scan.filter(ImageFilter.GaussianBlur(0.6)).save(buffer, "JPEG", quality=45)
    return buffer.getvalue()
