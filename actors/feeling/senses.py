"""Text, voice and face: each read by a model of its own, in a pass of its own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from actors.checkpoint import load_model
from actors.emotions import SEVEN, seven_of
from actors.errors import StageFailed
from actors.images import Picture
from actors.listening.listener import Listener
from actors.listening.windows import windows_of
from actors.scores import labels_of, sigmoid, softmax, usual_activation
from actors.seeing.viewer import Viewer
from actors.sound import Samples
from actors.stage import Device, Item, Pass, Row
from actors.text import full_text_of
from actors.texts.encoder import Encoder

FELT = "_felt"
"""Where a row on its way keeps what each sense said: name -> chances (float32, (7,)), NaN for an
emotion that the model does not know."""

CUT = "_cut"
"""Where it keeps whether its text was cut."""


class Labels:
    """A classifier's labels as the seven emotions.

    names   what a label counts as, before the usual words: {label: emotion}.
    """

    def __init__(self, config: Any, names: Mapping[str, str], which: str) -> None:
        labels = labels_of(config)
        found = [names.get(label) or seven_of(label) for label in labels]
        self.activation = usual_activation(config)
        self.places = [[n for n, one in enumerate(found) if one == emotion] for emotion in SEVEN]
        self.known = np.array([bool(places) for places in self.places])
        if self.known.sum() < 2 or self.activation == "none":
            raise StageFailed(
                f"{which}: fewer than two of the model's labels are emotions"
                f" (they are {', '.join(labels[:8])}).\n  if they are, say which:  names: "
                f"{{{labels[0]}: {SEVEN[0]}}}"
            )

    def chances(self, logits: np.ndarray) -> np.ndarray:
        """Return the chance of each of the seven, together 1: float32, (7,), from (labels,)."""
        scores = softmax(logits) if self.activation == "softmax" else sigmoid(logits)
        sums = np.array([scores[places].sum() for places in self.places], np.float32)
        # Labels that are none of the seven do not count.
        shares = sums / max(float(sums.sum()), 1e-12)
        return np.where(self.known, shares, np.nan).astype(np.float32)


class Sense(Pass):
    """One of the three; `after` makes an answer of the row when it is the last."""

    name: str
    labels: Labels
    after: Callable[[Row], Row] | None = None

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """The items of each row; none for one that lacks this input."""
        return [self.items(row) if row.get(self.name) is not None else [] for row in rows]

    def items(self, row: Row) -> list[Item]:
        """Return what the model is given of a row. Raises RowRejected."""
        raise NotImplementedError

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Add the mean of what the model said of the row's items."""
        felt = dict(row.get(FELT, {}))
        if outputs:
            felt[self.name] = np.mean([self.labels.chances(logits) for logits in outputs], axis=0)
        row = {**row, FELT: felt}
        return self.after(row) if self.after else row


class Reading(Sense):
    """What a text says."""

    name = "text"

    def __init__(
        self,
        folder: Path,
        device: Device,
        names: Mapping[str, str],
        max_length: int | None,
        too_long: str,
    ) -> None:
        model = load_model(AutoModelForSequenceClassification, folder, device)
        self.labels = Labels(model.config, names, "text_model")
        self.encoder = Encoder(model, folder, device, max_length)
        self.batching = self.encoder.batching
        self.too_long = too_long

    def items(self, row: Row) -> list[Item]:
        """One: the text's tokens."""
        (tokens,) = self.encoder.encode([full_text_of(row)])
        return [self.encoder.check_length(tokens, self.too_long).item()]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: logits, and whether the text was cut."""
        cut = [item.data.cut for item in items]
        return list(zip(self.encoder.logits(items), cut, strict=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Add what the model said, and whether it read all."""
        cut = {CUT: any(cut for _, cut in outputs)} if outputs else {}
        return super().finish({**row, **cut}, [logits for logits, _ in outputs])


class Hearing(Sense):
    """How a voice sounds, in windows of so many seconds."""

    name = "audio"

    def __init__(
        self,
        folder: Path,
        device: Device,
        names: Mapping[str, str],
        samples: Callable[[Row, int], Samples],
        seconds: float,
    ) -> None:
        self.listener = Listener(AutoModelForAudioClassification, folder, device)
        self.labels = Labels(self.listener.config, names, "audio_model")
        self.batching = self.listener.batching
        self.samples = samples
        length = round(seconds * self.listener.rate)
        self.length = min(length, self.listener.longest or length)

    def items(self, row: Row) -> list[Item]:
        """One per window."""
        heard = self.samples(row, self.listener.rate)
        windows = windows_of(self.listener, heard, self.length, self.length)
        return [window.heard for window in windows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: logits."""
        return list(self.listener.logits(items))


class Looking(Sense):
    """What a face shows."""

    name = "image"

    def __init__(
        self,
        folder: Path,
        device: Device,
        names: Mapping[str, str],
        picture: Callable[[Row, int | None], Picture],
        backend: str,
    ) -> None:
        self.viewer = Viewer(AutoModelForImageClassification, folder, device, backend)
        self.labels = Labels(self.viewer.config, names, "image_model")
        self.batching = self.viewer.batching
        self.picture = picture

    def items(self, row: Row) -> list[Item]:
        """One: the picture."""
        return [self.viewer.item(self.picture(row, self.viewer.side))]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: logits."""
        found = self.viewer.forward([item.data for item in items])
        return list(found.logits.float().cpu().numpy())
