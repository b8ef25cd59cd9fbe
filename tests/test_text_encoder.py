"""The encoder: which families may be padded, how long a text may be, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.checkpoint import load_model
from actors.errors import StageFailed
from actors.nlp.text_classification import TextClassification
from actors.stage import Device, Item, ModelFiles
from actors.texts.encoder import PADDING_IS_EXACT, Encoder, longest_input
from tests.tiny import text

Build = Callable[..., ModelFiles]
SIZE = {**text.BERT_SIZE, "vocab_size": 120, "pad_token_id": 1}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
ENCODERS = {
    "albert": (hf.AlbertConfig, {**SIZE, "embedding_size": 16}),
    "bert": (hf.BertConfig, SIZE),
    "camembert": (hf.CamembertConfig, SIZE),
    "deberta": (hf.DebertaConfig, {**SIZE, "relative_attention": True, "pos_att_type": ["c2p"]}),
    "deberta-v2": (hf.DebertaV2Config, {**SIZE, **RELATIVE}),
    "distilbert": (hf.DistilBertConfig, {**DISTIL, "vocab_size": 120, "pad_token_id": 1}),
    "electra": (hf.ElectraConfig, {**SIZE, "embedding_size": 16}),
    "ernie": (hf.ErnieConfig, SIZE),
    "modernbert": (hf.ModernBertConfig, {**SIZE, "local_attention": 8}),
    "mpnet": (hf.MPNetConfig, SIZE),
    "roberta": (hf.RobertaConfig, SIZE),
    "xlm-roberta": (hf.XLMRobertaConfig, SIZE),
}
WRITERS = {
    "bart": (text.bart, None, None),
    "m2m_100": (text.bart, hf.M2M100ForConditionalGeneration, hf.M2M100Config),
    "marian": (text.bart, hf.MarianMTModel, hf.MarianConfig),
    "mbart": (text.bart, hf.MBartForConditionalGeneration, hf.MBartConfig),
    "mt5": (text.t5, hf.MT5ForConditionalGeneration, hf.MT5Config),
    "pegasus": (text.bart, hf.PegasusForConditionalGeneration, hf.PegasusConfig),
    "t5": (text.t5, None, None),
}
IDS = np.random.default_rng(0).integers(5, 120, (3, 40))


def last_hidden(model: Any, ids: list[list[int]], mask: list[list[int]]) -> Any:
    with torch.inference_mode():
        found = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask))
    return found.last_hidden_state.numpy()


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_padding_does_not_change_an_encoder_that_is_said_to_bear_it(family: str) -> None:
    kind, settings = ENCODERS[family]
    model = text.scatter(hf.AutoModel.from_config(kind(**settings)))
    short = IDS[0, :12].tolist()
    padded = last_hidden(
        model, [short + [1] * 28, IDS[1].tolist()], [[1] * 12 + [0] * 28, [1] * 40]
    )
    alone = last_hidden(model, [short], [[1] * 12])
    assert model.config.model_type == family
    assert np.abs(padded[0, :12] - alone[0]).max() < 1e-5


@pytest.mark.parametrize("family", sorted(WRITERS))
def test_padding_does_not_change_what_a_writer_is_said_to_write(family: str, tiny: Build) -> None:
    build, kind, config = WRITERS[family]
    files = tiny(build, kind=kind, config=config)
    encoder = Encoder(
        load_model(hf.AutoModelForSeq2SeqLM, files.folder, Device()), files.folder, Device()
    )
    items = [tokens.item() for tokens in encoder.encode(text.LINES)]
    settings = {"max_new_tokens": 12, "num_beams": 2}
    together = encoder.generate(items, settings)
    assert together == [encoder.generate([item], settings)[0] for item in items]
    assert (encoder.model.config.model_type, encoder.batching.rule) == (family, "length")


def test_every_family_that_is_padded_was_compared() -> None:
    assert sorted(PADDING_IS_EXACT) == sorted([*ENCODERS, *WRITERS])


def test_a_family_that_was_not_compared_only_meets_rows_of_its_length(tiny: Build) -> None:
    files = tiny(convbert)
    model = TextClassification().load(files, Device())
    assert model.batching.rule == "shape"
    ((item,),) = model.prepare([{"text": "good"}])
    assert item.shape == item.cost == 3


def convbert(folder: Path) -> Path:
    config = hf.ConvBertConfig(
        vocab_size=len(text.wordpieces()), **text.BERT_SIZE, embedding_size=16
    )
    return text.save(folder, hf.ConvBertForSequenceClassification(config), text.bert_tokenizer())


def test_weights_that_are_missing_are_refused_not_made_up(tiny: Build) -> None:
    with pytest.raises(StageFailed, match=r"no weights for classifier\.bias"):
        TextClassification().load(tiny(text.bert_encoder), Device())


def test_roberta_takes_as_many_tokens_as_it_has_positions_to_give() -> None:
    tokenizer = text.byte_tokenizer(hf.RobertaTokenizer)
    tokenizer.model_max_length = 10**30
    assert longest_input(tokenizer, text.roberta_config(100)) == 64
    assert longest_input(tokenizer, hf.T5Config()) == 512


def test_padded_inputs_hold_every_token_and_mask_the_rest(tiny: Build) -> None:
    files = tiny(text.bert_encoder)
    encoder = Encoder(load_model(hf.AutoModel, files.folder, Device()), files.folder, Device())
    items: list[Item] = [tokens.item() for tokens in encoder.encode(["good", "good good"])]
    good = text.wordpieces()["good"]
    found = {name: tensor.tolist() for name, tensor in encoder.inputs(items).items()}
    assert found == {
        "input_ids": [[2, good, 3, 0], [2, good, good, 3]],
        "attention_mask": [[1, 1, 1, 0], [1, 1, 1, 1]],
    }
