"""How right speech recognition is with the embedded Whisper models, on real speech.

A telephone call of 30 s between two people (pyannote-audio's sample, written down by hand) and a
narrator's 44 s of Dickens (moonshine-voice's assets), both read out of wheels; and a recording of
148 s that is both of them twice in turn, which is heard in windows: what is lost or said twice
at the cuts would show as a higher rate there. Words are compared after OpenAI's normaliser.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_speech
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from actors import sound
from actors.audio.automatic_speech_recognition import AutomaticSpeechRecognition
from actors.models.embedded import prepare
from actors.stage import ModelFiles
from actors.worker import Worker
from benchmarks.carried import carried
from benchmarks.quality_speakers import CALL, VOICES

RATE = 16_000

DICKENS = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
    "season of Light, it was the season of Darkness, it was the spring of hope, it was the winter "
    "of despair, we had everything before us, we had nothing before us, we were all going direct "
    "to Heaven, we were all going direct the other way. In short, the period was so far like the "
    "present period, that some of its noisiest authorities insisted on its being received, for "
    "good or for evil, in the superlative degree of comparison only."
)


def recordings(data: Path) -> dict[str, tuple[bytes, str]]:
    """Return the files' bytes, and what is said in each."""
    sample = carried(CALL, "pyannote/audio/sample", data)
    narrator = carried(VOICES, "moonshine_voice/assets", data) / "two_cities.wav"
    lines = (sample / "sample.stm").read_text("utf-8").splitlines()
    said = " ".join(line.split(None, 5)[5] for line in lines)
    files = {
        "telephone call": ((sample / "sample.wav").read_bytes(), said),
        "narrator": (narrator.read_bytes(), DICKENS),
    }
    heard = [sound.decode(data, RATE)[0] for data, _ in files.values()]
    together = sound.encode(np.concatenate(heard * 2), RATE)
    return {**files, "both, twice": (together, f"{said} {DICKENS} " * 2)}


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Return the words that are wrong, missing or too many, and how many were said."""
    plain = EnglishTextNormalizer({})
    wanted, got = plain(said).split(), plain(heard).split()
    return Levenshtein.distance(wanted, got), len(wanted)


def show(name: str, cache: Path, files: dict[str, tuple[bytes, str]]) -> None:
    """Print what one model makes of each recording."""
    worker = Worker(AutomaticSpeechRecognition(), ModelFiles(prepare(name, cache)))
    for about, (data, said) in files.items():
        begun = time.process_time()
        (answer,) = worker.answer([{"audio": data}])
        spent = time.process_time() - begun
        assert isinstance(answer, dict), answer
        wrong, words = word_errors(said, answer["text"])
        print(
            f"{name:16} {about:15} word error rate {wrong / words:6.1%} of {words:3} words,"
            f" language {answer['language']}, {spent:5.1f} CPU-s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    parser.add_argument("--data", type=Path, default=Path(".cache/quality"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = recordings(given.data)
    for name in ("whisper-tiny.en", "whisper-base"):
        show(name, given.cache, files)


if __name__ == "__main__":
    main()
