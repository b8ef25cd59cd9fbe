"""Corpora made from a seed: the same rows on every machine."""

import string
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

WORDS = 40_000
"""Different words: enough to train a tokenizer of BERT's size on."""

MEDIAN_WORDS, SPREAD, MOST_WORDS = 30, 0.99, 2_000
"""Words of a text: log-normal. With this spread 1 % of the texts have more than 300."""

WIDTH, HEIGHT, QUALITY = 640, 480, 85
"""Images as a phone sends them in a chat."""


def texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of made-up words, frequent ones short, as in any language (Zipf's law)."""
    random = np.random.default_rng(seed)
    words = np.array(_words())
    chances = 1 / np.arange(1, len(words) + 1)
    lengths = np.exp(random.normal(np.log(MEDIAN_WORDS), SPREAD, count))
    lengths = lengths.clip(1, MOST_WORDS).astype(int)
    chosen = words[random.choice(len(words), lengths.sum(), p=chances / chances.sum())]
    return [" ".join(part) + "." for part in np.split(chosen, lengths.cumsum()[:-1])]


def _words() -> list[str]:
    """Return distinct words of one to five syllables, the short ones first."""
    random = np.random.default_rng(1)
    syllables = [c + v for c in string.ascii_lowercase if c not in "aeiou" for v in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < WORDS:
        size = min(1 + len(found) // 100, int(random.integers(2, 6)))
        found["".join(random.choice(syllables, size))] = None
    return sorted(found, key=len)


def write_texts(path: Path, count: int) -> None:
    """Write a Parquet file with columns id (int64) and text."""
    pq.write_table(pa.table({"id": np.arange(count), "text": texts(count)}), path)


def write_images(folder: Path, count: int) -> None:
    """Write JPEGs 000000.jpg and on: smooth shapes, edges and some noise, as photos have them."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(2)
    for number in range(count):
        Image.fromarray(photo(random, WIDTH, HEIGHT)).save(
            folder / f"{number:06}.jpg", quality=QUALITY
        )


def photo(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return pixels (height, width, 3), uint8: octaves of noise, halved in strength each time."""
    total = np.zeros((height, width, 3), np.float32)
    for octave, cells in enumerate((4, 8, 16, 32, 64)):
        small = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        # Nearest at the second octave makes hard edges.
        how = Image.Resampling.NEAREST if octave == 1 else Image.Resampling.BICUBIC
        total += np.asarray(small.resize((width, height), how), np.float32) / 2 ** (octave + 1)
    return (total + random.normal(0, 4, total.shape)).clip(0, 255).astype(np.uint8)
