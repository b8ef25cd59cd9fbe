"""Tiny models that write down speech: Whisper of several languages or of one, and spellers."""

import json
from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case
from tests.tiny.listen import CHORDS, hears_raw, raw_config, saved, whisper_config
from tests.tiny.text import byte_tokenizer
from tests.tiny.voices import NO_RECORDINGS, RECORDINGS

END = "<|endoftext|>"
LANGUAGES = ("en", "de", "fr")
TASKS = ("translate", "transcribe")
OTHERS = ("startoflm", "startofprev", "nospeech", "notimestamps")
HEADS = [[0, 1], [1, 0], [1, 1]]


def writes_words() -> Any:
    """A tokenizer of bytes with Whisper's marks."""
    tokenizer = byte_tokenizer(hf.WhisperTokenizer)
    names = ["startoftranscript", *LANGUAGES, *TASKS, *OTHERS]
    tokenizer.add_special_tokens({"extra_special_tokens": [f"<|{name}|>" for name in names]})
    tokenizer.add_tokens([f"<|{n * 0.02:.2f}|>" for n in range(101)])
    return tokenizer


def whisper_writer(
    folder: Path, seconds: int = 2, languages: bool = True, heads: bool = True
) -> Path:
    """Hears 2 s at once."""
    tokenizer = writes_words()
    number = tokenizer.convert_tokens_to_ids
    ends = {f"{name}_token_id": number(END) for name in ("pad", "bos", "eos")}
    config = whisper_config(seconds)
    start = number("<|startoftranscript|>")
    config.update({**ends, "vocab_size": len(tokenizer), "decoder_start_token_id": start})
    model = hf.WhisperForConditionalGeneration(config)
    marks = {f"<|{code}|>": number(f"<|{code}|>") for code in LANGUAGES}
    tasks = {name: number(f"<|{name}|>") for name in TASKS}
    last = number("<|notimestamps|>")
    settings: dict[str, Any] = {"no_timestamps_token_id": last, "max_length": 20}
    # At random it would write marks of time where none are wanted, at which plain `generate` jumps.
    settings["suppress_tokens"] = list(range(last + 1, len(tokenizer)))
    settings |= {"lang_to_id": marks, "task_to_id": tasks} if languages else {}
    settings |= {"alignment_heads": HEADS} if heads else {}
    settings |= {"is_multilingual": languages, "decoder_start_token_id": start, **ends}
    model.generation_config = hf.GenerationConfig(**settings)
    return saved(folder, model, hf.WhisperFeatureExtractor(chunk_length=seconds), tokenizer)


def speller(folder: Path, norm: str = "layer") -> Path:
    """Spells with 32 letters."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    path = folder / "vocab.json"
    path.write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    config = raw_config(norm=norm, do_stable_layer_norm=norm == "layer", pad_token_id=0)
    extractor = hears_raw(return_attention_mask=norm == "layer")
    model = hf.Wav2Vec2ForCTC(config)
    return saved(folder, model, extractor, hf.Wav2Vec2CTCTokenizer(path))


CASES = {
    "automatic-speech-recognition": Case(
        whisper_writer,
        [*RECORDINGS, *CHORDS],
        NO_RECORDINGS,
        {"max_new_tokens": 8, "timestamps": "word"},
    )
}
