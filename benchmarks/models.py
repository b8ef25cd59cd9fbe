"""Random models of real sizes: what they answer means nothing, what they cost is right."""

from collections.abc import Iterable
from pathlib import Path

import torch
import transformers as hf
from tokenizers import BertWordPieceTokenizer

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
    config = hf.ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        num_labels=LABELS,
    )
    torch.manual_seed(0)
    hf.ViTForImageClassification(config).save_pretrained(folder)
    hf.ViTImageProcessorPil().save_pretrained(folder)
