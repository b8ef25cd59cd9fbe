"""Tiny models of voices: Silero's and Resemblyzer's networks, x-vectors, frame classifiers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from safetensors.torch import save_file

from actors.speakers import resemblyzer, silero
from actors.speakers.models import RESEMBLYZER_CLASS, SILERO_CLASS
from actors.stage import ModelFiles
from tests.tiny.case import Case, Row, no_model
from tests.tiny.text import labelled, scatter
from tests.tiny.voices import NO_RECORDINGS, RECORDINGS, buzz, wav

SILENCE = wav(0 * buzz(0.5))
SPEAKERS = ["anna", "bert", "carl"]

SOUND_SIZE: dict[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 64, "conv_dim": [16, 16, 16]},
    **{"conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4]},
    **{"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
    **{"classifier_proj_size": 16, "tdnn_dim": [16] * 5, "xvector_output_dim": 16},
}
"""A frame is 80 samples, 5 ms."""


def _save(folder: Path, network: torch.nn.Module, kind: str, sizes: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [kind], **sizes}), "utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder


def _without_biases(network: torch.nn.Module) -> torch.nn.Module:
    """Recurrent layers' biases are no part of `scatter`, and random; so all are zero."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "bias" in name:
                weight.zero_()
    return network


def detector(folder: Path) -> Path:
    """Silero's network; it takes any sound for speech, and silence for none."""
    sizes = {"frequencies": 129, "channels": [16, 16, 16, 16]}
    network = _without_biases(scatter(silero.build(sizes), 3.0))
    with torch.no_grad():
        network.final_conv.weight.abs_()
        network.final_conv.bias.fill_(-1.0)
    return _save(folder, network, SILERO_CLASS, sizes)


def voiceprint(folder: Path) -> Path:
    sizes = {"mels": 16, "width": 16, "layers": 2, "size": 16}
    network = _without_biases(scatter(resemblyzer.build(sizes), 3.0))
    with torch.no_grad():
        network.lstm.weight_ih_l0.mul_(100.0)  # power in a band is a small number
    return _save(folder, network, RESEMBLYZER_CLASS, sizes)


def _sound_model(folder: Path, kind: Any, config: Any, masked: bool = False) -> Path:
    scatter(kind(config)).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(return_attention_mask=masked).save_pretrained(folder)
    return folder


def xvector(folder: Path, layer: bool = False) -> Path:
    """Wav2vec2's; `layer`: WavLM's, whose convolutions are normalised layer by layer."""
    if layer:
        config = hf.WavLMConfig(feat_extract_norm="layer", **SOUND_SIZE)
        return _sound_model(folder, hf.WavLMForXVector, config, masked=True)
    return _sound_model(folder, hf.Wav2Vec2ForXVector, hf.Wav2Vec2Config(**SOUND_SIZE))


def frames(folder: Path, labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")) -> Path:
    config = hf.Wav2Vec2Config(**SOUND_SIZE, **labelled(list(labels)))
    return _sound_model(folder, hf.Wav2Vec2ForAudioFrameClassification, config)


def classifier(folder: Path) -> Path:
    config = hf.Wav2Vec2Config(**SOUND_SIZE, **labelled(SPEAKERS))
    return _sound_model(folder, hf.Wav2Vec2ForSequenceClassification, config)


def voices(folder: Path) -> ModelFiles:
    """A model of voices, and what finds speech."""
    return ModelFiles(
        voiceprint(folder / "voiceprint"), {"activity": detector(folder / "activity")}
    )


def enrolled(folder: Path) -> ModelFiles:
    """The same, with three known speakers: two files, and a folder of two."""
    files = voices(folder)
    known = folder / "speakers"
    (known / "carl").mkdir(parents=True)
    for name, pitch in (("anna.wav", 110), ("bert.wav", 180), ("carl/1.wav", 240)):
        (known / name).write_bytes(wav(buzz(1.0, pitch, seed=9)))
    (known / "carl" / "2.wav").write_bytes(wav(buzz(1.4, 240, seed=8)))
    return ModelFiles(files.folder, {**files.others, "enrolment": known})


LONGER: list[Row] = [
    {"audio": wav(buzz(seconds, pitch, seed))}
    for seed, (seconds, pitch) in enumerate([(1.0, 110), (2.3, 180), (1.0, 240), (4.1, 140)])
]


def talk(*pieces: tuple[float, float]) -> bytes:
    """Buzzes one after another: (seconds, pitch), 0 for a pause."""
    sounds = [buzz(t, pitch, n) if pitch else 0 * buzz(t) for n, (t, pitch) in enumerate(pieces)]
    return wav(np.concatenate(sounds))


DIALOGUES: list[Row] = [
    {"audio": talk((2.5, 90), (0.5, 0), (2.5, 2_000))},
    {"audio": talk((1.0, 200))},
    {"audio": talk((2.0, 90), (1.0, 0), (2.0, 2_000), (1.0, 0), (2.0, 90))},
    {"audio": SILENCE},
]
PAIRS: list[Row] = [
    {**row, "other_audio": other["audio"]}
    for row, other in zip(LONGER, [*LONGER[1:], LONGER[0]], strict=True)
]
NO_PAIRS: dict[str, Row] = {
    reason: {**row, "other_audio": LONGER[0]["audio"]} for reason, row in NO_RECORDINGS.items()
}
NO_SPEECH: dict[str, Row] = {**NO_RECORDINGS, "no_speech": {"audio": SILENCE}}


def turn(start: float, end: float, speaker: int) -> Row:
    return {"start": start, "end": end, "speaker": f"SPEAKER_{speaker}"}


def said(start: float, end: float, text: str) -> Row:
    return {"start": start, "end": end, "text": text}


TALKS: list[Row] = [
    {
        "turns": [turn(0, 1, 1), turn(1, 2, 2)],
        "segments": [said(0, 1, "Hello."), said(1, 2, "Hi.")],
    },
    {"turns": [], "segments": [said(0.5, 1, "Nobody?")], "words": None},
    {"turns": [turn(0, 1, 1)], "segments": [], "words": []},
]
NO_TALKS: dict[str, Row] = {
    "null_input": {"turns": None, "segments": None, "words": None},
    "wrong_type": {"turns": 7, "segments": [], "words": None},
}

CASES = {
    "speaker-attribution": Case(no_model, TALKS, NO_TALKS),
    "speaker-diarization": Case(
        voices, DIALOGUES, NO_RECORDINGS, {"alike": 0.5, "min_speaker": 0.3}
    ),
    "speaker-embedding": Case(voices, LONGER, NO_SPEECH),
    "speaker-identification": Case(enrolled, LONGER, NO_SPEECH),
    "speaker-verification": Case(voices, PAIRS, {**NO_PAIRS}),
    "voice-activity-detection": Case(detector, RECORDINGS, NO_RECORDINGS),
}
