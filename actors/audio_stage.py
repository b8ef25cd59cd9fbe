"""What tasks share that listen to one recording."""

from typing import ClassVar

import pyarrow as pa

from actors import sound
from actors.sound import Samples
from actors.stage import Columns, Row, Stage, option


class AudioStage(Stage):
    """Base of tasks on one recording: the bytes of an audio file, one channel of it or their mean.

    Recordings that cannot be decoded are rejected; `actors/sound.py` lists the reasons.
    """

    reads: ClassVar[Columns] = {"audio": pa.binary()}
    chunk: ClassVar[int] = 1

    channel: int | None = option(
        None, "Which channel to hear, counted from 0; default: the mean of all.", ge=0, le=255
    )
    max_seconds: float = option(
        sound.MAX_SECONDS, "Longer recordings, seconds x channels, are rejected.", gt=0, le=1e6
    )

    def samples(self, row: Row, rate: int, name: str = "audio") -> Samples:
        """Return the row's recording: float32, (samples,), at `rate` Hz. Raises RowRejected."""
        return sound.decode(row[name], rate, self.max_seconds, self.channel)[0]
