"""Random models of real sizes: what they answer means nothing, what they cost is right."""

import json
import string
from collections.abc import Iterable
from pathlib import Path

import torch
import transformers as hf
from tokenizers import BertWordPieceTokenizer, SentencePieceUnigramTokenizer

VOCABULARY = 30_522
"""BERT's."""

LABELS = 4


def make_text_model(folder: Path, texts: Iterable[str], layers: int = 6) -> None:
    """Save a BERT of MiniLM-L6's size (22.7 M parameters), its tokenizer trained on `texts`."""
    trainer = BertWordPieceTokenizer()
    trainer.train_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
    tokenizer = hf.BertTokenizer(vocab=trainer.get_vocab(), model_max_length=512)
    config = hf.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=1_536,
        num_labels=LABELS,
    )
    torch.manual_seed(0)
    hf.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_image_model(folder: Path) -> None:
    """Save a ViT of the size "tiny" (5.5 M parameters, 224 x 224 pixels) with its processor."""
    make_vit(folder, width=192, heads=3)


def make_vit(folder: Path, width: int, heads: int) -> None:
    """Save a ViT of 12 layers for 224 x 224 pixels with its processor."""
    config = hf.ViTConfig(
        hidden_size=width,
        num_hidden_layers=12,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        num_labels=LABELS,
    )
    torch.manual_seed(0)
    hf.ViTForImageClassification(config).save_pretrained(folder)
    hf.ViTImageProcessorPil().save_pretrained(folder)


def make_writer(folder: Path, texts: Iterable[str]) -> None:
    """Save a T5 of t5-small's size (60 M parameters), with a tokenizer trained on `texts`."""
    trainer = SentencePieceUnigramTokenizer()
    trainer.train_from_iterator(
        texts,
        vocab_size=8_000,
        show_progress=False,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
    )
    pieces = [tuple(piece) for piece in json.loads(trainer.to_str())["model"]["vocab"]]
    hf.T5Tokenizer(vocab=pieces, model_max_length=512).save_pretrained(folder)
    torch.manual_seed(0)
    config = hf.T5Config(decoder_start_token_id=0)
    hf.T5ForConditionalGeneration(config).save_pretrained(folder)


def make_ctc(folder: Path) -> None:
    """Save a Wav2Vec2 (15 M parameters) that is normalised by layer and knows padding."""
    folder.mkdir(parents=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_uppercase, "'"]
    (folder / "vocab.json").write_text(json.dumps({letter: n for n, letter in enumerate(letters)}))
    tokenizer = hf.Wav2Vec2CTCTokenizer(folder / "vocab.json")
    extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    hf.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    config = hf.Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=256,
        num_hidden_layers=8,
        num_attention_heads=4,
        intermediate_size=1_024,
        conv_dim=[256] * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    hf.Wav2Vec2ForCTC(config).save_pretrained(folder)
