"""How right the tasks are that make sound.

text-to-speech: the embedded voice reads sentences aloud; what embedded Whisper hears is compared
with them, word by word, where such a model is known here; otherwise that is said to be unmeasured.
speech-separation: a Conv-TasNet of 21 thousand parameters learns for seconds on sounds made by
formula, and separates ones that it has not heard.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_voices
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rapidfuzz.distance import Levenshtein

from actors import catalog
from actors.audio.text_to_speech import TextToSpeech
from actors.models.embedded import EMBEDDED, prepare
from actors.models.entry import Embedded
from actors.stage import ModelFiles
from actors.worker import Worker
from benchmarks import tiny_separator

HEARER = "automatic-speech-recognition"

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
)
"""The first list of the Harvard sentences (IEEE, 1969), made for trials of speech."""


def cpu(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def words(text: str) -> list[str]:
    """The words as they sound: lower case, without marks."""
    kept = "".join(sign if sign.isalnum() or sign == "'" else " " for sign in text.lower())
    return kept.split()


def hearers() -> list[Embedded]:
    """The embedded models that write down what they hear."""
    return [model for model in EMBEDDED.values() if HEARER in model.tasks]


def read_aloud(cache: Path) -> list[Any]:
    """Say the sentences, print what that took, and return the answers."""
    worker = Worker(TextToSpeech(), ModelFiles(prepare("piper-joe-medium", cache)))
    worker.answer([{"text": "Warm."}])
    answers, spent = cpu(lambda: worker.answer([{"text": text} for text in SENTENCES]))
    seconds = sum(answer["seconds"] for answer in answers)
    print(f"text-to-speech, piper-joe-medium: {seconds:.1f} s of speech in {spent:.1f} CPU-s,")
    print(f"  {seconds / spent:.1f} s of speech a CPU-s")
    return list(answers)


def read_back(model: Embedded, spoken: list[Any], cache: Path) -> None:
    """Print how many words a model hears otherwise than they were written."""
    worker = Worker(catalog.stage_class(HEARER)(), ModelFiles(prepare(model.name, cache)))
    wrong = total = 0
    for sentence, answer in zip(SENTENCES, spoken, strict=True):
        (heard,) = worker.answer([{"audio": answer["audio"]}])
        wanted, found = words(sentence), words(heard["text"])
        wrong, total = wrong + Levenshtein.distance(wanted, found), total + len(wanted)
        if wanted != found:
            print(f"    {sentence}  ->  {heard['text']}")
    print(f"  read back by {model.name}: word error rate {wrong / total:.1%} of {total} words")


def separate(steps: int = 200) -> None:
    """Train the tiny separator and print what it gains."""
    model, spent = cpu(lambda: tiny_separator.trained(steps))
    gain = tiny_separator.improvement(model)
    print(f"speech-separation, a tiny Conv-TasNet after {steps} steps ({spent:.0f} CPU-s):")
    print(f"  SI-SDR of 16 unheard mixtures of a buzz and noise improved by {gain:.1f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/gristmill").expanduser())
    cache = parser.parse_args().cache
    torch.set_num_threads(1)
    spoken = read_aloud(cache)
    for model in hearers():
        read_back(model, spoken, cache)
    if not hearers():
        print("  read back: not measured, for no embedded model writes down speech")
    separate()


if __name__ == "__main__":
    main()
