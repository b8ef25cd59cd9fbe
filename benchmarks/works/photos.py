"""image-classification of 4000 x 3000 JPEGs (12 megapixels) by the same ViT."""

from typing import Any

from benchmarks.works.pictures import (
    MODEL,
    STAGE,
    answer_of,
    bare,
    daft,
    jpegs,
    make,
    pipeline,
)

__all__ = ["MODEL", "STAGE", "answer_of", "bare", "daft", "make", "pipeline"]

ALIKE = 0.98
LIKE_PIPELINE = False
"""It decodes in full: scores differ in the third digit."""

COUNT = 12


def rows(count: int) -> list[dict[str, Any]]:
    return jpegs(count, 4_000, 3_000)
