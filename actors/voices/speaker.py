"""Whose voice it is: a speaker's vector, as models of many voices are told it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationInfo

from actors.errors import RowRejected
from actors.stage import Columns, Row

Vector = NDArray[np.float32]
"""float32, (size,)."""

COLUMN: Columns = {"speaker_embedding": pa.list_(pa.float32())}
"""What a task reads, where it is there, beside its input."""


def read_vector(value: Any, info: ValidationInfo) -> Any:
    """Return the numbers in a .npy file that an option names; any other value as it is.

    The path is relative to the pipeline file. Raises ValueError for what holds no vector.
    """
    if not isinstance(value, str):
        return value
    path = Path((info.context or {}).get("base", "."), value).expanduser()
    try:
        numbers = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ValueError(f"cannot be read from {path}: {error.strerror}") from None
    vector = np.asarray(numbers, np.float32).reshape(-1)
    if not len(vector) or not np.isfinite(vector).all():
        raise ValueError(f"in {path} is no vector of finite numbers")
    return tuple(vector.tolist())


def why_not_this_size(vector: tuple[float, ...] | None, config: Mapping[str, Any]) -> str | None:
    """Say that the option's vector is not of the size that a SpeechT5 was trained with."""
    size = config.get("speaker_embedding_dim", 512)
    if vector is None or len(vector) == size:
        return None
    return f"speaker_embedding has {len(vector)} numbers, the model takes {size}"


def vector_of(row: Row, default: tuple[float, ...] | None, size: int) -> Vector:
    """Return the row's vector, else the option's, else zeros: nobody's voice.

    Raises RowRejected (wrong_size, not_finite).
    """
    given = row.get("speaker_embedding")
    vector = np.asarray(default or np.zeros(size) if given is None else given, np.float32)
    if vector.shape != (size,):
        raise RowRejected(
            "wrong_size", f"speaker_embedding has {vector.size} numbers, the model takes {size}"
        )
    if not np.isfinite(vector).all():
        raise RowRejected("not_finite", "speaker_embedding holds a number that is not finite")
    return vector
