"""Tiny models that chat about pictures."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import transformers as hf

from actors.telling.phi4 import PhiPictures
from tests.tiny.case import Case, Row
from tests.tiny.reading import TEMPLATE
from tests.tiny.reading import idefics as idefics3
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, encoded, photo
from tests.tiny.text import byte_tokenizer, save
from tests.tiny.writing import NOT_ASKED, asked

WORDS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2},
}
AROUND = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
TILES = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
QWEN = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
QWEN_TEMPLATE = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")


def tokenizer_with(kind: Any, marks: list[str]) -> Any:
    tokenizer = byte_tokenizer(kind)
    tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token = "<s>", "<pad>", "</s>"
    tokenizer.model_max_length, tokenizer.padding_side = 2048, "left"
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    return tokenizer


def _marks(tokenizer: Any, **names: str) -> dict[str, int]:
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(m) for name, m in names.items()}


def idefics1(folder: Path) -> Path:
    """Without a chat template, as published."""
    tokenizer = tokenizer_with(hf.GPT2Tokenizer, AROUND[:3])
    marks = {name: WORDS[name] for name in ("bos_token_id", "pad_token_id", "eos_token_id")}
    config = hf.IdeficsConfig(
        vocab_size=len(tokenizer) - 3,
        additional_vocab_size=3,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        cross_layer_interval=1,
        use_resampler=False,
        vision_config={
            "embed_dim": 32,
            "image_size": 32,
            "patch_size": 8,
            **{name: SIZE[name] for name in SIZE if name != "hidden_size"},
        },
        **marks,
    )
    hf.IdeficsProcessor(
        hf.IdeficsImageProcessorPil(image_size=32), tokenizer, image_size=32
    ).save_pretrained(folder)
    return save(folder, hf.IdeficsForVisionText2Text(config), tokenizer)


def idefics2(folder: Path) -> Path:
    tokenizer = tokenizer_with(hf.GPT2Tokenizer, AROUND[:3])
    pictures = hf.Idefics2ImageProcessorPil(
        size={"shortest_edge": 24, "longest_edge": 32}, do_image_splitting=False
    )
    processor = hf.Idefics2Processor(pictures, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    processor.save_pretrained(folder)
    config = hf.Idefics2Config(
        **_marks(tokenizer, image="<image>"),
        vision_config={"image_size": 32, "patch_size": 8, **SIZE},
        perceiver_config={
            **{"hidden_size": 32, "resampler_n_latents": 4, "resampler_depth": 1},
            **{"resampler_n_heads": 2, "resampler_head_dim": 16, "num_key_value_heads": 1},
        },
        text_config={
            "model_type": "mistral",
            "vocab_size": len(tokenizer),
            "head_dim": 8,
            **WORDS,
        },
    )
    return save(folder, hf.Idefics2ForConditionalGeneration(config), tokenizer)


def smolvlm(folder: Path) -> Path:
    """A processor that takes videos too, which need a package that is not here."""
    tokenizer = tokenizer_with(hf.GPT2Tokenizer, [*AROUND, *TILES])
    pictures = hf.SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    config = hf.SmolVLMConfig(
        **_marks(tokenizer, image="<image>"),
        vision_config={"image_size": 32, "patch_size": 8, **SIZE},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **WORDS},
        scale_factor=2,
        pad_token_id=1,
    )
    save(folder, hf.SmolVLMForConditionalGeneration(config), tokenizer)
    return _processed(folder, pictures, TEMPLATE, "SmolVLMProcessor", image_seq_len=4)


def _processed(folder: Path, pictures: Any, template: str, kind: str, **settings: Any) -> Path:
    """Write the files of a processor that cannot be made whole here."""
    pictures.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "processor_class": kind}))
    path = folder / "processor_config.json"
    path.write_text(json.dumps({"processor_class": kind, **settings}))
    (folder / "chat_template.jinja").write_text(template)
    return folder


def qwen(folder: Path, family: str = "qwen2_vl") -> Path:
    """One of three generations of Qwen-VL."""
    tokenizer = tokenizer_with(hf.Qwen2Tokenizer, [*QWEN, "<|video_pad|>"])
    made = {"qwen2_vl": _qwen2, "qwen2_5_vl": _qwen2_5, "qwen3_vl": _qwen3}[family]
    model, config, sight, kind = made()
    words = {
        "vocab_size": len(tokenizer),
        "rope_parameters": {
            **{"rope_type": "default", "rope_theta": 1e4},
            "mrope_section": [1, 1, 2],
        },
        **({"head_dim": 8} if family == "qwen3_vl" else {}),
        **WORDS,
    }
    marks = _marks(
        tokenizer,
        **{"image": "<|image_pad|>", "video": "<|video_pad|>"},
        **{"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"},
    )
    save(folder, model(config(vision_config=sight, text_config=words, **marks)), tokenizer)
    pictures = hf.Qwen2VLImageProcessorPil(
        min_pixels=28 * 28, max_pixels=84 * 84, patch_size=sight["patch_size"]
    )
    return _processed(folder, pictures, QWEN_TEMPLATE, kind)


Made = tuple[Any, Any, dict[str, Any], str]


def _qwen2() -> Made:
    sight = {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    sight |= {"depth": 2, "num_heads": 2, "patch_size": 14}
    return hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLConfig, sight, "Qwen2VLProcessor"


def _qwen2_5() -> Made:
    sight = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "window_size": 56}
    sight |= {"depth": 2, "num_heads": 2, "patch_size": 14, "fullatt_block_indexes": [1]}
    kind = "Qwen2_5_VLProcessor"
    return hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLConfig, sight, kind


def _qwen3() -> Made:
    sight = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
    sight |= {"depth": 2, "num_heads": 2, "patch_size": 16, "deepstack_visual_indexes": [0, 1]}
    sight |= {"num_position_embeddings": 16}
    return hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLConfig, sight, "Qwen3VLProcessor"


PHI_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for c in m['content'] %}"
    "{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<|{{ c['type'] }}|>{% endif %}"
    "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def phi4(folder: Path) -> Path:
    """Sees and hears; the squares of its pictures have 56 pixels, and 4 by 4 patches."""
    names = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    tokenizer = tokenizer_with(partial(hf.GPT2Tokenizer, extra_special_tokens=names), ["<|end|>"])
    marks = _marks(tokenizer, image="<|image|>", audio="<|audio|>")
    config = hf.Phi4MultimodalConfig(
        vocab_size=len(tokenizer),
        original_max_position_embeddings=2048,
        vision_config={
            **{**SIZE, "num_hidden_layers": 3},
            **{"image_size": 448, "crop_size": 448, "patch_size": 14},
            "image_token_id": marks["image_token_id"],
        },
        audio_config={
            **{"hidden_size": 32, "intermediate_size": 64, "num_blocks": 2},
            **{"num_attention_heads": 2, "ext_pw_out_channel": 32, "nemo_conv_channels": 32},
            **{"depthwise_separable_out_channel": 32, "audio_token_id": marks["audio_token_id"]},
        },
        **WORDS,
    )
    hf.Phi4MultimodalFeatureExtractor().save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    sound = json.loads(path.read_text())
    pictures = PhiPictures(dynamic_hd=2)
    save(folder, hf.Phi4MultimodalForCausalLM(config), tokenizer)
    _processed(folder, pictures, PHI_TEMPLATE, "Phi4MultimodalProcessor")
    kinds = {"image_processor_type": "Phi4MultimodalImageProcessorFast"}
    path.write_text(json.dumps({**sound, **json.loads(path.read_text()), **kinds}))
    return folder


SHOWN = [row["image"] for row in PICTURES]
CHATS: list[Row] = [
    {"prompt": "what is good ?", "image": SHOWN[0]},
    {"prompt": "who ?", "image": SHOWN[0]},
    {"prompt": "why is the film good ?", "image": encoded(photo(96, 64, 7))},
    {"prompt": "what is it ?", "image": SHOWN[2]},
    {"messages": asked("what ?", "a dog", "and this is what again ?"), "image": SHOWN[1]},
    {"messages": [{"role": "system", "content": "be brief ."}, *asked("who ?")]},
    {"prompt": "are they one ?", "image": SHOWN[0], "images": [SHOWN[2]]},
    {"prompt": "are the two one ?", "images": [SHOWN[0], SHOWN[2]]},
]
NO_CHATS: dict[str, Row] = {
    **NOT_ASKED,
    "too_long": {"prompt": "the film " * 2000},
    **{reason: {**row, "prompt": "what ?"} for reason, row in NO_PICTURES.items()},
    "null_input": {"prompt": None, "messages": None, "image": SHOWN[0]},
    "too_many_images": {"prompt": "what ?", "images": SHOWN * 4},
    "unreadable_image": {"prompt": "what ?", "images": [SHOWN[0], b"no picture"]},
}
NO_CHATS.pop("image_too_narrow")

CASES: dict[str, Case] = {"multimodal-chat": Case(idefics3, CHATS, NO_CHATS, {"max_new_tokens": 6})}
