"""Tiny models that make sound: VITS, SpeechT5 with its vocoder, Bark, Conv-TasNet."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from actors.stage import ModelFiles
from actors.voices.conv_tasnet import ConvTasNet, Size, save
from tests.tiny.case import Case
from tests.tiny.text import EMPTY_TOO, bert_tokenizer, scatter, wordpieces
from tests.tiny.voices import NO_RECORDINGS, RECORDINGS, tone, wav

VOCODER = {"upsample_initial_channel": 16, "resblock_kernel_sizes": (3,)}
BARK_SIZE = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "block_size": 128}
VITS_SIZE = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32},
    **{"flow_size": 16, "spectrogram_bins": 9, "upsample_rates": (8, 8)},
    **{"upsample_kernel_sizes": (16, 16), "resblock_dilation_sizes": ((1, 3),)},
    **{"prior_encoder_num_flows": 2, "prior_encoder_num_wavenet_layers": 2},
    **{"posterior_encoder_num_wavenet_layers": 1, "duration_predictor_num_flows": 2},
    **{"duration_predictor_flow_bins": 4, "depth_separable_num_layers": 1},
}


def vits(folder: Path, speakers: int = 1) -> Path:
    letters = ["_", *"abcdefghijklmnopqrstuvwxyz '-.?", "<unk>"]
    path = folder / "vocab.json"
    path.write_text(json.dumps({sign: number for number, sign in enumerate(letters)}))
    tokenizer = hf.VitsTokenizer(str(path), pad_token="_", unk_token="<unk>", phonemize=False)
    several = {"num_speakers": speakers, "speaker_embedding_size": 8 if speakers > 1 else 0}
    config = hf.VitsConfig(vocab_size=len(letters), **VITS_SIZE, **VOCODER, **several)
    scatter(hf.VitsModel(config), 0.7).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SPEECHT5_SIZE = {
    **{"hidden_size": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
    **{"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64},
    **{"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
    **{"speech_decoder_prenet_units": 32, "speech_decoder_postnet_units": 32},
    **{"speech_decoder_postnet_layers": 2, "speaker_embedding_dim": 4},
}


def speecht5(folder: Path, kind: Any = hf.SpeechT5ForTextToSpeech) -> ModelFiles:
    """The model, and a vocoder beside it."""
    (folder / "model").mkdir()
    tokenizer = letter_tokenizer(folder / "model" / "spm_char.model")
    config = hf.SpeechT5Config(vocab_size=len(tokenizer), **SPEECHT5_SIZE)
    model = scatter(kind(config))
    # So that the search ends by itself now and then, and not at the same step for all.
    torch.nn.init.constant_(model.speech_decoder_postnet.prob_out.bias, -1.0)
    model.save_pretrained(folder / "model")
    hf.SpeechT5Processor(hf.SpeechT5FeatureExtractor(), tokenizer).save_pretrained(folder / "model")
    vocoder = hf.SpeechT5HifiGanConfig(**VOCODER, resblock_dilation_sizes=((1, 3),))
    scatter(hf.SpeechT5HifiGan(vocoder), 0.7).save_pretrained(folder / "vocoder")
    return ModelFiles(folder / "model", {"vocoder": folder / "vocoder"})


def converter(folder: Path) -> ModelFiles:
    return speecht5(folder, hf.SpeechT5ForSpeechToSpeech)


def letter_tokenizer(path: Path) -> Any:
    """SpeechT5's: one token a letter, made by sentencepiece from a page of words."""
    import sentencepiece

    lines = [" ".join(word for word in wordpieces() if word.isalpha()), "it's - A. B, c; d: e? f!"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_prefix=str(path.with_suffix("")),
        vocab_size=45,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
        **{"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3},
    )
    return hf.SpeechT5Tokenizer(str(path))


def bark(folder: Path) -> Path:
    """Vocabularies one after the other, as in the real one: 20 meanings, 16 codes a codebook."""
    pieces = len(wordpieces())
    semantic = {"eos_token_id": 20, "semantic_vocab_size": 20, "text_encoding_offset": 24}
    semantic |= {"text_pad_token": 24 + pieces, "semantic_infer_token": 25 + pieces}
    semantic |= {"max_input_semantic_length": 40, "max_new_tokens": 6, "do_sample": True}
    coarse = {"coarse_semantic_pad_token": 52, "coarse_infer_token": 53, "do_sample": True}
    coarse |= {"max_coarse_input_length": 16, "max_coarse_history": 20, "sliding_window_len": 10}
    fine = {"max_fine_input_length": 32, "max_fine_history_length": 16}
    codec = {"num_filters": 4, "hidden_size": 8, "codebook_size": 16, "num_lstm_layers": 1}
    codec |= {"upsampling_ratios": [4, 2], "target_bandwidths": [240.0]}  # 8 codebooks
    config = hf.BarkConfig(
        semantic_config=BARK_SIZE | vocabulary(26 + pieces),
        coarse_acoustics_config=BARK_SIZE | vocabulary(60),
        fine_acoustics_config=BARK_SIZE | vocabulary(17),
        codec_config={"model_type": "encodec", **codec},
    )
    model = scatter(hf.BarkModel(config), 3.0)
    for book in model.codec_model.quantizer.layers:
        torch.nn.init.normal_(book.codebook.embed)
    model.save_pretrained(folder)
    said = {"semantic_config": semantic, "coarse_acoustics_config": coarse, "model_type": "bark"}
    said |= {"fine_acoustics_config": fine, "codebook_size": 16, "sample_rate": 24_000}
    (folder / "generation_config.json").write_text(json.dumps(said))
    bert_tokenizer().save_pretrained(folder)
    return folder


def vocabulary(size: int) -> dict[str, int]:
    return {"input_vocab_size": size, "output_vocab_size": size}


def conv_tasnet(folder: Path) -> Path:
    size = {"n_filters": 16, "bn_chan": 8, "hid_chan": 16, "skip_chan": 8}
    torch.manual_seed(0)
    model = scatter(ConvTasNet(Size(**size, n_blocks=2, n_repeats=2)))
    save(model, 16_000, folder)
    return folder


TEXTS = [
    {"text": "good"},
    {"text": "the film was wonderful. I would watch it again!"},
    {"text": "bone"},
    {"text": "a dog and a red sofa"},
]

CASES = {
    "voice-conversion": Case(
        converter,
        [*RECORDINGS, {**RECORDINGS[0], "speaker_embedding": [1.0, -2.0, 0.5, 0.0]}],
        {
            **NO_RECORDINGS,
            "audio_too_short": {"audio": wav(tone(0.02))},
            "wrong_size": {**RECORDINGS[0], "speaker_embedding": [1.0]},
        },
    ),
    "speech-separation": Case(
        conv_tasnet,
        RECORDINGS,
        {**NO_RECORDINGS, "audio_too_short": {"audio": wav(tone(0.0005))}},
        {"window_seconds": 0.5, "overlap_seconds": 0.1},
    ),
    "text-to-speech": Case(
        speecht5,
        [
            *TEXTS,
            {"text": "good", "speaker_embedding": [1.0, -2.0, 0.5, 0.0]},
        ],
        {
            **EMPTY_TOO,
            "nothing_to_say": {"text": "... \U0001f600"},
            "too_long": {"text": "word " * 60},
            "wrong_size": {"text": "good", "speaker_embedding": [1.0]},
            "not_finite": {"text": "good", "speaker_embedding": [1.0, float("nan"), 0.0, 0.0]},
            "invalid_text": {"text": "half \ud800"},
        },
        {"max_characters": 200},
    ),
}
