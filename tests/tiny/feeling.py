"""Tiny models of emotions in text, voice and face."""

from pathlib import Path
from typing import Any

import transformers as hf

from actors.stage import ModelFiles
from tests.tiny.case import Case, Row
from tests.tiny.listen import emotions
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, saved
from tests.tiny.text import LINES, bert_config, bert_tokenizer, labelled, save
from tests.tiny.voices import NO_RECORDINGS, RECORDINGS

WORDS = ["joy", "annoyance", "anger", "curiosity", "sadness", "neutral", "fear", "disgust"]
FACES = ["sad", "disgust", "angry", "neutral", "fear", "surprise", "happy"]


def words(folder: Path, labels: tuple[str, ...] = tuple(WORDS), **settings: Any) -> Path:
    """Of GoEmotions' kind: each label by itself."""
    settings = {"problem_type": "multi_label_classification", **settings}
    config = bert_config(**labelled(list(labels)), **settings)
    return save(folder, hf.BertForSequenceClassification(config), bert_tokenizer())


def faces(folder: Path) -> Path:
    config = hf.ViTConfig(**SIZE, image_size=32, patch_size=8, **labelled(FACES))
    processor = hf.ViTImageProcessorPil(size={"height": 32, "width": 32})
    return saved(folder, hf.ViTForImageClassification(config), processor)


def three(folder: Path) -> ModelFiles:
    """A model for each input."""
    builders = {"text_model": words, "audio_model": emotions, "image_model": faces}
    for option, build in builders.items():
        (folder / option).mkdir()
        build(folder / option)
    return ModelFiles(Path(), {option: folder / option for option in builders})


NOTHING: Row = {"text": None, "audio": None, "image": None}
BOTH = [
    {**NOTHING, "text": line, **sound, **picture}
    for line, sound, picture in zip(LINES, RECORDINGS, PICTURES, strict=False)
]
ALONE = [
    {**NOTHING, **row}
    for row in [{"text": LINES[0]}, RECORDINGS[0], PICTURES[0], {**RECORDINGS[1], **PICTURES[1]}]
]
BAD: dict[str, Row] = {
    "null_input": NOTHING,
    "empty_text": {**BOTH[0], "text": " "},
    "unreadable_audio": {**BOTH[0], "audio": NO_RECORDINGS["unreadable_audio"]["audio"]},
    "unreadable_image": {**BOTH[0], "image": NO_PICTURES["unreadable_image"]["image"]},
}

CASES = {"multimodal-emotion": Case(three, [*BOTH, *ALONE], BAD)}
