"""Name the layers of an ONNX graph as a torch model names its own, and load them all.

Graphs exported from other frameworks keep no torch names, so layers are paired by the order in
which they run. A wrong pair shows as a wrong shape, a wrong count as a missing or an unknown
name: the model loads only when every parameter is there.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from actors.errors import StageFailed
from actors.models.convert.graph import Affine, Array, Convolution

Named = tuple[str, nn.Module]
"""A module and its name in the model."""

Slot = tuple[Named, tuple[str, nn.BatchNorm2d] | None]
"""A convolution and the batch normalization right behind it."""

State = dict[str, Tensor]
"""Parameters by name, as `load_state_dict` takes them."""


def running_order(model: nn.Module, example: Tensor, kinds: tuple[type, ...]) -> list[Named]:
    """Return the modules of these kinds with their names, as a pass over `example` meets them."""
    met: list[Named] = []
    hooks = []
    for name, module in model.named_modules():
        if issubclass(type(module), kinds):
            hooks.append(module.register_forward_hook(partial(_note, met, name)))
    with torch.no_grad():
        model.eval()(example)
    for hook in hooks:
        hook.remove()
    return met


def convolution_slots(model: nn.Module, example: Tensor) -> list[Slot]:
    """Return each convolution with the batch normalization right behind it, in running order."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    met = running_order(model, example, kinds)
    slots: list[Slot] = []
    for here, after in zip(met, [*met[1:], None], strict=True):
        if not isinstance(here[1], nn.BatchNorm2d):
            normed = after is not None and isinstance(after[1], nn.BatchNorm2d)
            slots.append((here, after if normed else None))  # type: ignore[arg-type]
    return slots


def convolution_state(slots: Sequence[Slot], layers: Sequence[Convolution]) -> State:
    """Return the parameters of convolutions and their norms. Raises StageFailed on a miscount."""
    _same_count("convolutions", len(slots), len(layers))
    state: State = {}
    for ((name, module), norm), layer in zip(slots, layers, strict=True):
        bias = layer.bias
        state[f"{name}.weight"] = tensor(layer.weight)
        if norm is not None:
            state |= _norm_state(*norm, layer)
            bias = None  # the norm carries it
        if isinstance(module.bias, Tensor):
            blank = torch.zeros_like(module.bias)
            state[f"{name}.bias"] = blank if bias is None else tensor(bias)
        elif bias is not None and bias.any():
            raise StageFailed(f"the file has a bias for {name}, the model has no place for it")
    return state


def affine_state(slots: Sequence[Named], layers: Sequence[Affine]) -> State:
    """Return weights and biases of linear or normalization layers. Raises StageFailed."""
    _same_count("layers", len(slots), len(layers))
    state: State = {}
    for (name, _), layer in zip(slots, layers, strict=True):
        state[f"{name}.weight"], state[f"{name}.bias"] = tensor(layer.weight), tensor(layer.bias)
    return state


def fill(model: nn.Module, state: State) -> None:
    """Load every parameter of the model. Raises StageFailed that lists what does not fit."""
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        kind = type(model).__name__
        raise StageFailed(f"the file's weights do not fit {kind}: {error}") from None


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write a transformers model as safetensors, without a progress bar. Raises OSError."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # how it says that the disk is full
        raise OSError(str(error)) from None
    finally:
        if shown:
            logging.enable_progress_bar()


def tensor(values: Array) -> Tensor:
    """Return a copy of an array as a float tensor."""
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _norm_state(name: str, module: nn.BatchNorm2d, layer: Convolution) -> State:
    """Return a batch norm's numbers; of one folded into its convolution only the shift is left."""
    if layer.norm is not None:
        scale, shift, mean, variance = (tensor(values) for values in layer.norm)
    else:
        scale, mean = torch.ones(module.num_features), torch.zeros(module.num_features)
        shift = mean if layer.bias is None else tensor(layer.bias)
        variance = scale - module.eps  # so that the square root of (variance + eps) is 1
    return {
        f"{name}.weight": scale,
        f"{name}.bias": shift,
        f"{name}.running_mean": mean,
        f"{name}.running_var": variance,
        f"{name}.num_batches_tracked": torch.tensor(0),
    }


def _note(met: list[Named], name: str, module: nn.Module, *_: Any) -> None:
    met.append((name, module))


def _same_count(what: str, asked: int, given: int) -> None:
    if asked != given:
        raise StageFailed(f"the model has {asked} {what}, the file {given}")
