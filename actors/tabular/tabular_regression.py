"""tabular-regression: a number for a row of a table."""

from typing import ClassVar

import numpy as np
import pyarrow as pa

from actors.stage import Columns, Device, Model, ModelFiles, Row
from actors.table_stage import TableStage, trained_config


class TabularRegression(TableStage):
    """Predicts a number for a row of a table, with a model from `gristmill train`.

    Reads the columns that the model was trained on; numbers of any type are read as float64, and a
    missing value is null or NaN. `prediction` is in the unit of the trained target. `unseen` names
    the features whose category training never saw, `truncated` the texts of which only the
    beginning was read. An infinite number is rejected (not_finite).

    A model is made by `gristmill train FILE`, with a file such as

        task: tabular-regression
        source: {kind: csv, path: customers.csv}
        target: spent
        output: model
    """

    architecture: ClassVar[str] = "TabularRegressor"
    sample: ClassVar[Row] = {"age": 42, "city": "Paris", "income": 31_000.5, "member": True}

    @property
    def writes(self) -> Columns:
        """The number, and what was new or cut."""
        return {"prediction": pa.float64(), **self.notes}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the trained model."""
        return self.trained(files, device, trained_config(files.folder), predictions)


def predictions(found: np.ndarray) -> list[Row]:
    """Per row: its number."""
    return [{"prediction": number} for number in found.tolist()]
