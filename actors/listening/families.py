"""Families of models of sound, as config.json's model_type names them; read without torch."""

from collections.abc import Mapping
from typing import Any

from actors.architecture import is_made_for, why_not

# Families that hear raw samples through convolutions; every other one sees frames that its
# feature extractor makes.
RAW = frozenset({"data2vec-audio", "hubert", "sew", "sew-d", "unispeech", "unispeech-sat",
                 "wav2vec2", "wav2vec2-conformer", "wavlm"})  # fmt: skip

# Raw families whose layer-norm models do not change their answers when recordings are padded under
# the mask: each is compared, padded against alone, in tests/test_listener.py. In the others
# convolutions behind the mask see the padding (it moved logits by 0.02 to 0.3), and where samples
# are normalised by group, the padding is in the averages (by 0.2 to 0.4).
PADDING_IS_EXACT = frozenset({"hubert", "unispeech", "unispeech-sat", "wav2vec2", "wavlm"})

# Families with a classifier of whole recordings. Wav2Vec2-BERT has one too, but its extractor
# pads frames in pairs, which is not handled.
CLASSIFIERS = RAW | {"audio-spectrogram-transformer", "whisper"}

ENGLISH_ONLY_WORDS = 51_864
"""Tokens of a Whisper model of English alone; the others have one more, and name languages."""


def classifies_sound(config: Mapping[str, Any]) -> bool:
    """Say whether the checkpoint was trained to name what a recording is."""
    classifies = is_made_for(config, "ForSequenceClassification", "ForAudioClassification")
    return classifies and config.get("model_type") in CLASSIFIERS


def names_languages(config: Mapping[str, Any]) -> bool:
    """Say whether the checkpoint is a Whisper model that tells languages apart."""
    writes = is_made_for(config, "WhisperForConditionalGeneration")
    return writes and config.get("vocab_size") != ENGLISH_ONLY_WORDS


def why_no_classifier(task: str, config: Mapping[str, Any]) -> str:
    """Return the sentence that refuses a model as a classifier of sounds."""
    families = ", ".join(sorted(CLASSIFIERS))
    return why_not(task, f"a classifier of recordings (of {families})", config)
