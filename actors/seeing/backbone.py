"""A model of pictures without its head: vectors of whole pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from actors.errors import StageFailed
from actors.seeing.backbones import family_of, leading, why_no_vector
from actors.seeing.families import compares_pictures
from actors.seeing.viewer import Viewer
from actors.stage import Device


class Backbone:
    """Gives a vector of each picture.

    pooling    cls, mean, pooler, or auto: as is usual in the family; CLIP and SigLIP have only the
               vector that they compare with texts.
    normalize  whether vectors have length 1.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        backend: str = "pil",
        pooling: str = "auto",
        normalize: bool = True,
    ) -> None:
        # A classifier's checkpoint has no weights for a pooler that its classifier does not read.
        optional = None if pooling == "pooler" else "pooler."
        self.viewer = Viewer(AutoModel, folder, device, backend, optional=optional)
        config = self.viewer.config.to_dict()
        problem = why_no_vector("vectors of pictures", config, pooling)
        if problem:
            raise StageFailed(f"{folder}: {problem}")
        self.compares = compares_pictures(config)
        family = family_of(config)
        self.pooling = family.usual if family and pooling == "auto" else pooling
        self.leading = leading(config, family) if family else 0
        self.normalize = normalize

    def vectors(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Return the vectors of pictures of one shape: float32, (pictures, size)."""
        with torch.inference_mode():
            vectors = self._vectors(pixels).float()
            if self.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        found: np.ndarray = vectors.cpu().numpy()
        return found

    def _vectors(self, pixels: Sequence[np.ndarray]) -> Any:
        if self.compares:
            values = self.viewer.eye.tensor(pixels).to(self.viewer.model.dtype)
            return self.viewer.model.get_image_features(pixel_values=values).pooler_output
        output = self.viewer.forward(pixels)
        if self.pooling == "pooler":
            return output.pooler_output.flatten(1)
        places = output.last_hidden_state
        if self.pooling == "cls":
            return places[:, 0]
        return places[:, self.leading :].mean(1) if places.dim() == 3 else places.mean((2, 3))
