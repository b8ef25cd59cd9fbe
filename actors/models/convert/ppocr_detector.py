"""PP-OCRv6 small text detector: ONNX as RapidOCR ships it -> PPOCRV6SmallDetForObjectDetection."""

from pathlib import Path

import torch
from transformers import (
    PPLCNetV4Config,
    PPOCRV6SmallDetConfig,
    PPOCRV6SmallDetForObjectDetection,
)

from actors.models.convert.graph import Graph
from actors.models.convert.weights import Slot, convolution_slots, convolution_state, fill, save

# kernel, channels in, channels out, stride, squeeze-excitation: read off the graph's weights.
BLOCKS = [
    [[3, 48, 48, 1, True], [3, 48, 48, 1, False]],
    [[3, 48, 96, 2, False], [3, 96, 96, 1, True], [3, 96, 96, 1, False]],
    [
        [3, 96, 192, 2, False],
        [3, 192, 192, 1, True],
        [3, 192, 192, 1, False],
        [3, 192, 192, 1, True],
        [3, 192, 192, 1, False],
    ],
    [[3, 192, 384, 2, False], [3, 384, 384, 1, True], [3, 384, 384, 1, False]],
]


def convert(files: Path, folder: Path) -> None:
    """Write the detector to `folder`."""
    model = PPOCRV6SmallDetForObjectDetection(_config())
    slots = convolution_slots(model, torch.zeros(1, 3, 64, 64))
    layers = list(Graph(files / "PP-OCRv6_det_small.onnx").convolutions())
    fill(model, convolution_state(sorted(slots, key=_place_in_file), layers))
    save(model, folder)


def _config() -> PPOCRV6SmallDetConfig:
    backbone = PPLCNetV4Config(
        stem_channels=[3, 24, 48],
        stem_strides=[2, 1, 1, 2, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
        block_configs=BLOCKS,
    )
    return PPOCRV6SmallDetConfig(
        backbone_config=backbone,
        layer_list_out_channels=[48, 96, 192, 384],
        neck_out_channels=96,
        reduction=4,
        dilated_kernel_size=7,
        kernel_list=[3, 2, 2],
    )


def _place_in_file(slot: Slot) -> tuple[int, int]:
    """Return the key that sorts torch's running order into the file's.

    The file runs both rows of the neck from the coarsest level to the finest, torch the other
    way round; all else runs in the same order (and sorting keeps it).
    """
    name = slot[0][0]
    for place, row in ((1, "neck.insert_conv."), (2, "neck.input_conv.")):
        if row in name:
            return place, -int(name.split(row)[1].split(".")[0])
    return (3, 0) if name.startswith("head") else (0, 0)
