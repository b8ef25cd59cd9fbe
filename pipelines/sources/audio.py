"""Audio: one recording is one row. Its header is checked; it is decoded only to be resampled."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from actors import sound
from pipelines.sources.whole import WholeFiles

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("audio", pa.binary()),
        ("audio_seconds", pa.float64()),
        ("audio_rate", pa.int32()),
        ("audio_channels", pa.int32()),
    ]
)


class Audio(WholeFiles):
    """Rows from recordings: `path`, `audio` (the file's bytes), `audio_seconds`, `audio_rate` (Hz)
    and `audio_channels`, as the file's header states them.

    With `sampling_rate` each file is decoded here, once, and handed on as WAV of one channel at
    that rate (32-bit floats: nothing is lost), so that several stages need not resample it again.
    """

    layout: ClassVar[pa.Schema] = SCHEMA
    endings: ClassVar[tuple[str, ...]] = (
        ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf",
    )  # fmt: skip

    kind: Literal["audio"] = "audio"
    sampling_rate: int | None = Field(
        default=None,
        ge=1_000,
        le=384_000,
        description="Resample to this rate, in Hz, once for all stages; default: leave as it is.",
    )
    channel: int | None = Field(
        default=None,
        ge=0,
        le=255,
        description="With sampling_rate: the channel to keep; default: the mean of all.",
    )
    max_seconds: float = Field(
        default=sound.MAX_SECONDS,
        gt=0,
        description="Longest recording, seconds x channels; longer ones are rejected.",
    )
    max_bytes: int = Field(
        default=2 << 30,
        ge=1,
        description="Largest file; larger ones are rejected. Four hours at CD quality are 2.5 GB.",
    )

    def row(self, data: bytes) -> Mapping[str, Any]:
        """Return the recording and its header; what is no whole recording is a reject."""
        if self.sampling_rate is None:
            return _row(data, sound.inspect(data, self.max_seconds))
        return self._resampled(data, self.sampling_rate)

    def _resampled(self, got: bytes, rate: int) -> dict[str, Any]:
        samples, header = sound.decode(got, rate, self.max_seconds, self.channel)
        return _row(sound.encode(samples, rate, subtype="FLOAT"), header)


def _row(audio: bytes, header: sound.Header) -> dict[str, Any]:
    return {
        "audio": audio,
        "audio_seconds": header.seconds,
        "audio_rate": header.rate,
        "audio_channels": header.channels,
    }
