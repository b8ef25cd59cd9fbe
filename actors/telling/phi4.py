"""How Phi-4-multimodal is shown pictures: transformers' own way needs torchvision, this one not.

A picture is enlarged or shrunk onto a grid of squares, white where it does not reach, and shown as
its squares and once as a whole. A mask says which patches of a square show it.

Against transformers' own on torchvision 0.29, pictures of seven shapes: pixels within 1.3 of 255
levels (0.1 on average), masks, sizes and numbers of tokens the same.
"""

import math
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate, pad
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ImagesKwargs

# Tokens of the view of the whole, its line ends, and the mark between it and the squares.
WHOLE, LINES, MARK = 256, 16, 1


class PhiPicturesKwargs(ImagesKwargs, total=False):  # type: ignore[call-arg, misc]
    """What the settings name beside those of all image processors."""

    patch_size: int
    dynamic_hd: int


class PhiPictures(PilBackend):  # type: ignore[misc]  # transformers is untyped
    """Phi-4-multimodal's image processor. `dynamic_hd` is the most squares of a picture."""

    size = {"height": 448, "width": 448}
    patch_size = 14
    dynamic_hd = 36
    image_mean = (0.5, 0.5, 0.5)
    image_std = (0.5, 0.5, 0.5)
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    valid_kwargs = PhiPicturesKwargs
    model_input_names = ["image_pixel_values", "image_sizes", "image_attention_mask"]

    def _preprocess(self, images: list[np.ndarray], **settings: Any) -> Any:
        """Return pictures (3, height, width) as the model takes them.

        image_pixel_values (pictures, squares, 3, side, side), the whole first; image_attention_mask
        (pictures, squares, patches, patches); image_sizes of the grids, in pixels; num_img_tokens.
        """
        shown = [self._shown(torch.from_numpy(image.copy()), settings) for image in images]
        most = max(len(pixels) for pixels, _, _ in shown)
        return BatchFeature(
            {
                "image_pixel_values": torch.stack([_filled(p, most, 0.0) for p, _, _ in shown]),
                "image_attention_mask": torch.stack([_filled(m, most, 1.0) for _, m, _ in shown]),
                "image_sizes": torch.tensor([list(size) for _, _, size in shown]),
                "num_img_tokens": [_tokens(mask, size, self._side) for _, mask, size in shown],
            }
        )

    @property
    def _side(self) -> int:
        return int(self.size["height"])

    def _shown(
        self, image: torch.Tensor, settings: Any
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
        """Return a picture's squares, their masks, and the size of its grid: height, width."""
        side, patches = self._side, self._side // self.patch_size
        columns, rows = grid_of(image.shape[2], image.shape[1], side, self.dynamic_hd)
        page, (right, below) = _on_page(image, columns * side, rows * side)
        mean, std = (torch.tensor(settings[n])[:, None, None] for n in ("image_mean", "image_std"))
        page = (page * settings["rescale_factor"] - mean) / std
        whole = interpolate(page[None], (side, side), mode="bicubic", align_corners=False)
        mask = torch.ones(rows * patches, columns * patches)
        mask[:, mask.shape[1] - right // self.patch_size :] = 0
        mask[mask.shape[0] - below // self.patch_size :] = 0
        squares = page.reshape(3, rows, side, columns, side).permute(1, 3, 0, 2, 4)
        masks = mask.reshape(rows, patches, columns, patches).transpose(1, 2)
        return (
            torch.cat([whole, squares.reshape(-1, 3, side, side)]),
            torch.cat([torch.ones(1, patches, patches), masks.reshape(-1, patches, patches)]),
            (rows * side, columns * side),
        )


def grid_of(width: int, height: int, side: int, most: int) -> tuple[int, int]:
    """Return columns and rows of squares: as many as the picture fills, or of those grids with at
    most `most` the one nearest to its shape, the larger one for a picture large enough."""
    columns, rows = math.ceil(width / side), math.ceil(height / side)
    if columns * rows <= most:
        return columns, rows
    sizes = range(1, most + 1)
    grids = sorted(
        {(i, j) for i in sizes for j in sizes if i * j <= most}, key=lambda grid: grid[0] * grid[1]
    )
    best, apart = (1, 1), math.inf
    for grid in grids:
        distance = abs(width / height - grid[0] / grid[1])
        fills = width * height > 0.5 * side * side * grid[0] * grid[1]
        if distance < apart or (distance == apart and fills):
            best, apart = grid, distance
    return best


def _on_page(image: torch.Tensor, width: int, height: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the picture as large as it fits at a page's top left, and the white columns and rows.

    Raises ValueError for a picture that would be nine pixels narrow or less.
    """
    across, down = width / image.shape[2], height / image.shape[1]
    if across < down:
        size = (int(image.shape[1] * across), width)
    else:
        size = (height, int(image.shape[2] * down))
    if min(size) < 10:
        raise ValueError(f"the aspect ratio is very extreme: {size[1]} x {size[0]} on the page")
    small = interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    margin = (width - size[1], height - size[0])
    page = pad(small.round().clamp(0, 255), (0, margin[0], 0, margin[1]), value=255.0)
    return page, margin


def _filled(squares: torch.Tensor, most: int, value: float) -> torch.Tensor:
    """Return `most` squares: those that are missing hold `value`."""
    missing = squares.new_full((most - len(squares), *squares.shape[1:]), value)
    return torch.cat([squares, missing])


def _tokens(masks: torch.Tensor, size: tuple[int, int], side: int) -> int:
    """Return how many tokens stand for a picture: a token for two by two patches that show it."""
    half = masks[1:, ::2, ::2]
    rows, columns = size[0] // side, size[1] // side
    grid = half.reshape(rows, columns, *half.shape[1:]).transpose(1, 2)
    page = grid.reshape(rows * half.shape[1], columns * half.shape[2])
    return WHOLE + LINES + MARK + int(page.sum()) + int(page[:, 0].sum())
