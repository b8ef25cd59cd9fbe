"""automatic-speech-recognition by the embedded Whisper tiny.en, on clips of real speech."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from actors import sound
from actors.models.embedded import prepare
from benchmarks.carried import carried
from benchmarks.quality_speakers import CALL, VOICES
from benchmarks.ways import CACHE

LIKE_PIPELINE = False
ALIKE = 0.85
"""The worker leaves out silence, and hears again what it missed: some texts are others."""

COUNT = 24
STAGE = ("automatic-speech-recognition", {"timestamps": "none"})
ROWS = 8
"""Windows in a batch."""

RATE = 16_000
SECONDS = (4.0, 28.0)
"""Clips are cut so long, at places and lengths drawn from a seed."""


def make(folder: Path) -> None:
    folder.symlink_to(prepare("whisper-tiny.en", Path("~/.cache/gristmill").expanduser()))


def rows(count: int) -> list[dict[str, Any]]:
    call = carried(CALL, "pyannote/audio/sample", CACHE) / "sample.wav"
    voices = carried(VOICES, "moonshine_voice/assets", CACHE)
    files = [call, voices / "beckett.wav", voices / "two_cities.wav"]
    heard = [sound.decode(file.read_bytes(), RATE)[0] for file in files]
    speech = np.concatenate(heard)
    random = np.random.default_rng(4)
    lengths = (random.uniform(*SECONDS, count) * RATE).astype(int)
    starts = [int(random.integers(0, len(speech) - length)) for length in lengths]
    cuts = [speech[a : a + length] for a, length in zip(starts, lengths, strict=True)]
    return [{"audio": sound.encode(cut, RATE)} for cut in cuts]


def answer_of(answer: dict[str, Any]) -> Any:
    return answer["text"].strip()


def bare(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    model = hf.AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
    processor = hf.AutoProcessor.from_pretrained(folder)
    found: list[Any] = []
    for start in range(0, len(given), ROWS):
        heard = [_samples(row) for row in given[start : start + ROWS]]
        inputs = processor(heard, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            ids = model.generate(inputs["input_features"], do_sample=False)
        found += [t.strip() for t in processor.batch_decode(ids, skip_special_tokens=True)]
    return found


def pipeline(folder: Path, given: list[dict[str, Any]], batch: int) -> list[Any]:
    pipe = hf.pipeline("automatic-speech-recognition", str(folder))
    heard = [{"raw": _samples(row), "sampling_rate": RATE} for row in given]
    return [answer["text"].strip() for answer in pipe(heard, batch_size=batch)]


def _samples(row: dict[str, Any]) -> Any:
    return sound.decode(row["audio"], RATE)[0]
