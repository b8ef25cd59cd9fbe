"""Tiny models that say what a sound is: raw samples, filter banks, Whisper."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case, Row
from tests.tiny.text import byte_tokenizer, labelled, scatter
from tests.tiny.voices import NO_RECORDINGS, RATE, RECORDINGS, buzz, tone, wav

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
RAW_SIZE = {
    **SIZE,
    **{"intermediate_size": 64, "conv_dim": (16,) * 7, "vocab_size": 32},
    **{"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
}
# SEW takes every second frame only, and its convolutions are other ones.
SEW_SIZE = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
SOUNDS = ["bark", "bell", "rain", "speech", "whistle"]
EMOTIONS = ["neu", "hap", "ang", "sad"]
COMMANDS = ["yes", "no", "stop", "_silence_", "_unknown_"]
LANGUAGES = {"<|de|>": 5, "<|en|>": 3, "<|fr|>": 4}
TOO_SHORT: dict[str, Row] = {"audio_too_short": {"audio": wav(buzz(0.01))}}
CHORDS: list[Row] = [
    {"audio": wav(tone(s, p) + buzz(s, 2 * p, n))}
    for n, (s, p) in enumerate([(0.6, 150), (0.6, 700), (1.3, 300), (2.7, 1800)])
]


def hears_raw(**settings: Any) -> Any:
    return hf.Wav2Vec2FeatureExtractor(feature_size=1, sampling_rate=RATE, **settings)


def saved(folder: Path, model: Any, *parts: Any) -> Path:
    scatter(model).save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def raw_config(family: str = "wav2vec2", norm: str = "layer", **settings: Any) -> Any:
    size = {**RAW_SIZE, **(SEW_SIZE if family.startswith("sew") else {}), **settings}
    return hf.AutoConfig.for_model(family, feat_extract_norm=norm, **size)


def raw_classifier(
    folder: Path,
    family: str = "wav2vec2",
    norm: str = "layer",
    labels: tuple[str, ...] = tuple(SOUNDS),
    **settings: Any,
) -> Path:
    config = raw_config(family, norm, **labelled(list(labels)), **settings)
    model = hf.AutoModelForAudioClassification.from_config(config)
    return saved(folder, model, hears_raw(return_attention_mask=norm == "layer"))


def emotions(folder: Path) -> Path:
    return raw_classifier(folder, norm="group", labels=tuple(EMOTIONS))


def commands(folder: Path) -> Path:
    return raw_classifier(folder, norm="group", labels=tuple(COMMANDS))


def ast(folder: Path, frames: int = 128, **settings: Any) -> Path:
    """Hears 1.28 s at once."""
    size = {**SIZE, "intermediate_size": 64, "max_length": frames, "num_mel_bins": 64}
    config = hf.ASTConfig(**size, **labelled(SOUNDS), **settings)
    extractor = hf.ASTFeatureExtractor(max_length=frames, num_mel_bins=64)
    return saved(folder, hf.ASTForAudioClassification(config), extractor)


def whisper_config(seconds: int, **settings: Any) -> Any:
    size = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2}
    size |= {"decoder_layers": 2, "decoder_attention_heads": 2}
    size |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "classifier_proj_size": 16}
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2}
    return hf.WhisperConfig(
        vocab_size=60, max_source_positions=50 * seconds, **size, **marks, **settings
    )


def whisper_classifier(folder: Path, seconds: int = 2) -> Path:
    """Hears 2 s at once instead of 30."""
    model = hf.WhisperForAudioClassification(whisper_config(seconds, **labelled(SOUNDS)))
    return saved(folder, model, hf.WhisperFeatureExtractor(chunk_length=seconds))


def whisper(folder: Path, seconds: int = 2, languages: bool = True) -> Path:
    """Hears 2 s at once, and knows three languages."""
    model = hf.WhisperForConditionalGeneration(whisper_config(seconds))
    extra = {"lang_to_id": LANGUAGES} if languages else {}
    model.generation_config = hf.GenerationConfig(decoder_start_token_id=2, **extra)
    return saved(folder, model, hf.WhisperFeatureExtractor(chunk_length=seconds))


def clap(folder: Path, seconds: int = 1, fusion: bool = False) -> Path:
    """Hears 1 s at once instead of 10, at 48 kHz."""
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    text = {**SIZE, "vocab_size": len(tokenizer), "intermediate_size": 64, "pad_token_id": 1}
    sound = {**SIZE, "num_mel_bins": 64, "spec_size": 256, "patch_embeds_hidden_size": 16}
    sound |= {"depths": [1, 1], "num_attention_heads": [2, 2], "window_size": 4}
    sound |= {"enable_fusion": fusion, "fusion_type": "aff_2d" if fusion else None}
    sizes = {"text_config": {**text, "projection_dim": 16}, "projection_dim": 16}
    config = hf.ClapConfig(**sizes, audio_config={**sound, "projection_dim": 16})
    extractor = hf.ClapFeatureExtractor(
        max_length_s=seconds, truncation="fusion" if fusion else "rand_trunc"
    )
    return saved(folder, hf.ClapModel(config), extractor, tokenizer)


BAD = {**NO_RECORDINGS, **TOO_SHORT}
CASES = {
    "audio-classification": Case(raw_classifier, [*RECORDINGS, *CHORDS], BAD),
    "keyword-spotting": Case(
        commands, [*RECORDINGS, *CHORDS], BAD, {"window_seconds": 0.6, "threshold": 0.3}
    ),
    "zero-shot-audio-classification": Case(clap, [*RECORDINGS, *CHORDS], NO_RECORDINGS),
    "speech-emotion-recognition": Case(
        emotions, [*RECORDINGS, *CHORDS], BAD, {"window_seconds": 1.0}
    ),
}
