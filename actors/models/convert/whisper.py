"""OpenAI's Whisper: a CTranslate2 file, whole or in parts -> WhisperForConditionalGeneration."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from actors.errors import StageFailed
from actors.models.convert.weights import fill, save, tensor

Array = NDArray[Any]
Weights = dict[str, Array]

FORMAT = 6
"""The file's version that CTranslate2 has written since 2.0, the only one there is in packages."""

FLOATS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 4: np.dtype("<f2")}
"""CTranslate2's numbers of the types that are read; the rest are quantised."""

HEAD = 64
"""Width of an attention head, the same in all of Whisper's sizes."""

TIMES = 1_501
"""Marks of time: every 0.02 s from 0 to 30."""

MOST_TOKENS = 448
FIRST_MARK = 50
"""OpenAI's limits: tokens of a window, and the first mark of time no later than 50 x 0.02 s."""


def convert(files: Path, folder: Path) -> None:
    """Write the model in full precision with its tokenizer and what `generate` has to know."""
    parts = sorted(files.glob("model.bin*"))
    weights = read_weights(b"".join(part.read_bytes() for part in parts))
    stated = json.loads((files / "config.json").read_text("utf-8"))
    tokenizer = json.loads((files / "tokenizer.json").read_text("utf-8"))
    ids = _write_tokenizer(tokenizer, folder)
    config = _config(weights, ids)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**_generation(stated, ids, config))
    fill(model, dict(_parameters(weights, config)))
    save(model, folder)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)


def read_weights(data: bytes) -> Weights:
    """Return the arrays of a CTranslate2 file by name. Raises StageFailed for another file."""
    file = _Numbers(data)
    try:
        version, spec, _ = file.integer("I"), file.text(), file.integer("I")
        if (version, spec) != (FORMAT, "WhisperSpec"):
            raise StageFailed(f"the weights are {spec!r} of format {version}, not Whisper's of 6")
        return dict(file.array() for _ in range(file.integer("I")))
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise StageFailed(f"the weights are not a whole CTranslate2 file: {error}") from error


class _Numbers:
    """A file that is read from its front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def integer(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._place)
        self._place += struct.calcsize(f"<{kind}")
        return int(value)

    def text(self) -> str:
        return self._bytes(self.integer("H")).rstrip(b"\0").decode()

    def array(self) -> tuple[str, Array]:
        name = self.text()
        shape = [self.integer("I") for _ in range(self.integer("B"))]
        kind = self.integer("B")
        values = self._bytes(self.integer("I"))
        if kind in FLOATS:
            return name, np.frombuffer(values, FLOATS[kind]).reshape(shape)
        if len(values) > 8:  # numbers of layers and heads are integers, which are not needed
            raise StageFailed(f"{name} is quantised (type {kind}), which is not read")
        return name, np.zeros(0)

    def _bytes(self, length: int) -> bytes:
        found = self._data[self._place : self._place + length]
        if len(found) < length:
            raise ValueError(f"{length} bytes wanted, {len(found)} left")
        self._place += length
        return found


def _write_tokenizer(stated: dict[str, Any], folder: Path) -> dict[str, int]:
    """Write the tokenizer with the marks of time that the package leaves out; return the ids of
    its special tokens."""
    added = stated["added_tokens"]
    known = {token["content"] for token in added}
    first = max(token["id"] for token in added) + 1
    marks = [f"<|{number * 0.02:.2f}|>" for number in range(TIMES)]
    added += [
        added[-1] | {"id": first + number, "content": mark, "special": False}
        for number, mark in enumerate(marks)
        if mark not in known
    ]
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(stated, ensure_ascii=False), encoding="utf-8")
    end = "<|endoftext|>"
    special: dict[str, Any] = {f"{name}_token": end for name in ("bos", "eos", "unk", "pad")}
    others = [token["content"] for token in added if token["special"] and token["content"] != end]
    tokenizer = WhisperTokenizer.from_pretrained(folder, **special, extra_special_tokens=others)
    tokenizer.save_pretrained(folder)
    return {token["content"]: token["id"] for token in added}


def _config(weights: Weights, ids: dict[str, int]) -> WhisperConfig:
    """Read the sizes off the weights."""
    words, width = weights["decoder/embeddings/weight"].shape
    end = ids["<|endoftext|>"]
    sides: dict[str, Any] = {}
    for side, positions in (("encoder", "source"), ("decoder", "target")):
        sides[f"{side}_layers"] = _layers(weights, side)
        sides[f"{side}_attention_heads"] = width // HEAD
        sides[f"{side}_ffn_dim"] = weights[f"{side}/layer_0/ffn/linear_0/weight"].shape[0]
        table = weights[f"{side}/position_encodings/encodings"]
        sides[f"max_{positions}_positions"] = table.shape[0]
    return WhisperConfig(
        vocab_size=words,
        d_model=width,
        num_mel_bins=weights["encoder/conv1/weight"].shape[1],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        **sides,
    )


def _layers(weights: Weights, side: str) -> int:
    return len({n.split("/")[1] for n in weights if n.startswith(f"{side}/layer_") and "ffn" in n})


def _generation(
    stated: dict[str, Any], ids: dict[str, int], config: WhisperConfig
) -> dict[str, Any]:
    """What `generate` has to know. An English-only model has no marks of language and task that
    were trained, though its tokenizer lists them."""
    several = ids["<|endoftext|>"] == 50_257  # GPT-2's tokenizer of the English ones ends before
    settings = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "suppress_tokens": stated["suppress_ids"],
        "begin_suppress_tokens": stated["suppress_ids_begin"],
        "alignment_heads": stated["alignment_heads"],
        "max_length": MOST_TOKENS,
        "max_initial_timestamp_index": FIRST_MARK,
        "is_multilingual": several,
        "return_timestamps": False,
    }
    if several:
        codes = {i: mark for mark, i in ids.items()}
        settings["lang_to_id"] = {codes[i]: i for i in stated["lang_ids"] if i in codes}
        settings["task_to_id"] = {t: ids[f"<|{t}|>"] for t in ("transcribe", "translate")}
    return settings


def _parameters(weights: Weights, config: WhisperConfig) -> Iterator[tuple[str, Any]]:
    """Yield every parameter under the name that transformers gives it."""
    for number in (1, 2):
        yield from _pair(weights, f"encoder/conv{number}", f"model.encoder.conv{number}")
    for side in ("encoder", "decoder"):
        places = weights[f"{side}/position_encodings/encodings"]
        yield f"model.{side}.embed_positions.weight", tensor(places)
        yield from _norm(weights, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for number in range(_layers(weights, side)):
            yield from _layer(weights, f"{side}/layer_{number}", f"model.{side}.layers.{number}")
    words = tensor(weights["decoder/embeddings/weight"])
    yield from (("model.decoder.embed_tokens.weight", words), ("proj_out.weight", words))


def _layer(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Any]]:
    own = f"{source}/self_attention"
    yield from _norm(weights, f"{own}/layer_norm", f"{name}.self_attn_layer_norm")
    yield from _split(weights, f"{own}/linear_0", f"{name}.self_attn", "qkv")
    yield from _pair(weights, f"{own}/linear_1", f"{name}.self_attn.out_proj")
    cross = f"{source}/attention"
    if f"{cross}/layer_norm/gamma" in weights:
        yield from _norm(weights, f"{cross}/layer_norm", f"{name}.encoder_attn_layer_norm")
        yield from _split(weights, f"{cross}/linear_0", f"{name}.encoder_attn", "q")
        yield from _split(weights, f"{cross}/linear_1", f"{name}.encoder_attn", "kv")
        yield from _pair(weights, f"{cross}/linear_2", f"{name}.encoder_attn.out_proj")
    yield from _norm(weights, f"{source}/ffn/layer_norm", f"{name}.final_layer_norm")
    for number in (0, 1):
        yield from _pair(weights, f"{source}/ffn/linear_{number}", f"{name}.fc{number + 1}")


def _norm(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Any]]:
    yield f"{name}.weight", tensor(weights[f"{source}/gamma"])
    yield f"{name}.bias", tensor(weights[f"{source}/beta"])


def _pair(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Any]]:
    for part in ("weight", "bias"):
        yield f"{name}.{part}", tensor(weights[f"{source}/{part}"])


def _split(weights: Weights, source: str, name: str, parts: str) -> Iterator[tuple[str, Any]]:
    """Take projections apart that the file holds as one; keys have no bias in Whisper."""
    for part in ("weight", "bias"):
        pieces = np.split(weights[f"{source}/{part}"], len(parts))
        for letter, values in zip(parts, pieces, strict=True):
            if letter == "k" and part == "bias":
                if values.any():
                    raise StageFailed(f"{source} has a bias of keys, which Whisper has not")
                continue
            yield f"{name}.{letter}_proj.{part}", tensor(values)
