"""A Piper voice: ONNX -> PiperVoice (transformers' VITS with Piper's vocoder).

Without chance (both noises at 0) the voice "joe" said "Hello, world! How are you today? Dr. Smith
paid 42 dollars." within 9e-5 of ONNX Runtime on the file, where the loudest sample was 0.51.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import VitsConfig

from actors.errors import StageFailed
from actors.models.convert.graph import Array, Graph
from actors.models.convert.weights import State, fill, save, tensor
from actors.voices.piper import PiperVoice

# Piper's names -> transformers': of the first group the one that fits, of the second all.
LAYER = r"text_encoder.encoder.layers.\1"
NAMES = (
    (r"^enc_p\.encoder\.attn_layers\.(\d+)\.conv_([qkv])\.", LAYER + r".attention.\2_proj."),
    (r"^enc_p\.encoder\.attn_layers\.(\d+)\.conv_o\.", LAYER + ".attention.out_proj."),
    (r"^enc_p\.encoder\.attn_layers\.(\d+)\.", LAYER + ".attention."),
    (r"^enc_p\.encoder\.ffn_layers\.(\d+)\.", LAYER + ".feed_forward."),
    (r"^enc_p\.encoder\.norm_layers_1\.(\d+)\.", LAYER + ".layer_norm."),
    (r"^enc_p\.encoder\.norm_layers_2\.(\d+)\.", LAYER + ".final_layer_norm."),
    (r"^enc_p\.proj\.", "text_encoder.project."),
    (r"^dec\.ups\.", "decoder.upsampler."),
    (r"^dec\.", "decoder."),
    (r"^dp\.flows\.0\.m$", "duration_predictor.flows.0.translate"),
    (r"^dp\.", "duration_predictor."),
)
PARTS = (
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.convs_sep\.", ".convs_dilated."),
    (r"\.convs_1x1\.", ".convs_pointwise."),
    (r"(?<=\d)\.convs\.(?=convs_|norms_)", ".conv_dds."),
    (r"^(duration_predictor)\.convs\.", r"\1.conv_dds."),
    (r"^(duration_predictor(?:\.flows\.\d+)?)\.pre\.", r"\1.conv_pre."),
    (r"^(duration_predictor(?:\.flows\.\d+)?)\.proj\.", r"\1.conv_proj."),
    (r"^(flow\.flows\.\d+)\.pre\.", r"\1.conv_pre."),
    (r"^(flow\.flows\.\d+)\.post\.", r"\1.conv_post."),
    (r"^(flow\.flows\.\d+)\.enc\.", r"\1.wavenet."),
)
WAVENET = re.compile(r"^flow\.flows\.\d+\.enc\..*\.bias$")


def convert(files: Path, folder: Path) -> None:
    """Write the voice, its phonemes' ids and its card to `folder`."""
    (path,) = files.glob("*.onnx")
    card = json.loads(Path(f"{path}.json").read_text("utf-8"))
    graph = Graph(path)
    state = dict(_parameters(graph))
    model = PiperVoice(_config(card, state))
    fill(model, state)
    save(model, folder)
    phonemes = {sign: number for sign, (number, *_) in card["phoneme_id_map"].items()}
    text = json.dumps(phonemes, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    licences = files / "licences"  # the package has none of its own: the card says what there is
    licences.mkdir(exist_ok=True)
    (licences / "MODEL_CARD").write_bytes((files / "MODEL_CARD").read_bytes())


def _config(card: dict[str, Any], state: State) -> VitsConfig:
    """Return the shape of Piper's "medium" quality: what the card does not say is fixed there."""
    if card["num_speakers"] != 1 or card["audio"]["quality"] != "medium":
        raise StageFailed("only voices of one speaker in medium quality can be converted")
    said = card["inference"]
    return VitsConfig(
        vocab_size=len(state["text_encoder.embed_tokens.weight"]),
        upsample_initial_channel=256,
        upsample_rates=(8, 8, 4),
        upsample_kernel_sizes=(16, 16, 8),
        resblock_kernel_sizes=(3, 5, 7),
        resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
        sampling_rate=card["audio"]["sample_rate"],
        noise_scale=said["noise_scale"],
        noise_scale_duration=said["noise_w"],
        speaking_rate=1 / said["length_scale"],
        espeak_language=card["espeak"]["voice"],
    )


def _parameters(graph: Graph) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every parameter under transformers' name."""
    for name, values in _stored(graph):
        renamed = _renamed(name)
        linear = "attention" in renamed and renamed.endswith("_proj.weight")
        yield from _normed(renamed, tensor(values[..., 0] if linear else values))


def _stored(graph: Graph) -> Iterator[tuple[str, Array]]:
    """Yield the file's parameters, those under Piper's names and those that lost theirs."""
    for name, values in graph.stored():
        if re.match(r"(enc_p|dec|flow|dp)\.", name):
            yield name, values
        elif name == "/dp/flows.0/Exp_output_0":  # exp(-scale), computed at the export
            yield "dp.flows.0.log_scale", -_logarithm(values)
    for node in graph.nodes:
        if node.op_type == "Conv" and WAVENET.match(node.input[-1]):
            yield node.input[-1].removesuffix("bias") + "weight", graph.constants(node)[0]
        if node.op_type == "Gather" and node.name.startswith("/enc_p/emb/"):
            yield "text_encoder.embed_tokens.weight", graph.constants(node)[0]


def _logarithm(values: Array) -> Array:
    return torch.from_numpy(values.copy()).log().numpy()


def _renamed(name: str) -> str:
    numbered = re.sub(r"^(flow\.flows)\.(\d+)", lambda m: f"{m[1]}.{int(m[2]) // 2}", name)
    numbered = re.sub(
        r"^(dp\.flows)\.([1-9])", lambda m: f"{m[1]}.{(int(m[2]) + 1) // 2}", numbered
    )
    for pattern, place in NAMES:
        changed = re.sub(pattern, place, numbered)
        if changed != numbered:
            numbered = changed
            break
    for pattern, place in PARTS:
        numbered = re.sub(pattern, place, numbered)
    return numbered


def _normed(name: str, weight: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Split the weights that transformers keeps as length and direction of each output's row."""
    if not (".wavenet." in name and name.endswith(".weight")):
        yield name, weight
        return
    base = f"{name.removesuffix('weight')}parametrizations.weight"
    yield f"{base}.original0", weight.flatten(1).norm(dim=1).reshape(-1, 1, 1)
    yield f"{base}.original1", weight
