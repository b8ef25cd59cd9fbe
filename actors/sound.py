"""From the bytes of an audio file to samples of one channel at the rate a model wants, under a cap.

Every audio task decodes here, so that one bad file has the same reason code everywhere:

null_input         the row has no audio
wrong_type         it is not bytes
empty_file         no bytes
unreadable_audio   an unknown or refused format, or corrupt data
truncated_audio    the file ends before its header says
audio_too_long     more seconds x channels than the cap, by the header: nothing was decoded
no_samples         a whole file of no samples at all
no_such_channel    fewer channels than the one that was asked for
not_finite         samples that are no numbers, or infinite
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from actors.errors import RowRejected
from actors.files import file_of

Samples = NDArray[np.float32]
"""One channel: float32, (samples,), full scale is -1..1."""

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
"""What is read, as libsndfile names them. Raw formats have no header that could be checked."""

MAX_SECONDS = 14_400.0
"""Default cap on seconds x channels: four hours of a voice; at 16 kHz they take 0.9 GB."""

BLOCK = 1 << 18
"""Frames decoded at once: 2 MB of eight channels, so that only the mixed channel is held whole."""

UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What recorders write into a WAV header whose length they cannot go back to fill in."""

END_OF_STREAM = 4
"""The flag of an Ogg stream's last page (RFC 3533)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: seconds, its own rate in Hz, channels."""

    seconds: float
    rate: int
    channels: int


def inspect(data: bytes | None, max_seconds: float = MAX_SECONDS) -> Header:
    """Read and check the header alone. Raises RowRejected with the reasons above."""
    with _open(data) as file:
        return _header(file, max_seconds)


def decode(
    data: bytes | None,
    rate: int | None = None,
    max_seconds: float = MAX_SECONDS,
    channel: int | None = None,
) -> tuple[Samples, Header]:
    """Return the samples at `rate` Hz (None: the file's own) and what the header says.

    `channel` counts from 0; None mixes all channels to their mean. `max_seconds` bounds
    seconds x channels. Raises RowRejected with the reasons above.
    """
    with _open(data) as file:
        header = _header(file, max_seconds)
        if channel is not None and channel >= header.channels:
            raise RowRejected(
                "no_such_channel", f"channel {channel} of {header.channels}, counted from 0"
            )
        blocks = [_one_channel(block, channel) for block in _blocks(file)]
    found = sum(len(block) for block in blocks)
    if found < file.frames:
        raise RowRejected(
            "truncated_audio", f"{found} of {file.frames} samples could be decoded: damaged or cut"
        )
    return _resampled(blocks, header.rate, rate or header.rate), header


def _resampled(blocks: list[Samples], rate: int, wanted: int) -> Samples:
    """Join blocks of one recording, resampled as a whole."""
    if rate == wanted:
        return np.concatenate(blocks)
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    last = len(blocks) - 1
    return np.concatenate([stream.resample_chunk(b, last=n == last) for n, b in enumerate(blocks)])


def encode(samples: Samples, rate: int, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Return samples of one channel, or (samples, channels), as the bytes of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def _open(data: bytes | None) -> soundfile.SoundFile:
    """Open a file whose container is whole; nothing is decoded yet."""
    data = file_of(data, "audio")
    missing = missing_bytes(data)
    if missing:
        raise RowRejected(
            "truncated_audio", f"the file ends {missing} bytes before its header says"
        )
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise _unreadable(error) from error
    if file.format not in FORMATS:
        raise RowRejected("unreadable_audio", f"{file.format} is not one of {', '.join(FORMATS)}")
    return file


def _header(file: soundfile.SoundFile, max_seconds: float) -> Header:
    header = Header(file.frames / file.samplerate, file.samplerate, file.channels)
    if not file.frames:
        raise RowRejected("no_samples", "the file has a header and no samples")
    if header.seconds * header.channels > max_seconds:
        raise RowRejected(
            "audio_too_long",
            f"{header.seconds:.0f} s of {header.channels} channels are more than the"
            f" {max_seconds:.0f} allowed (max_seconds, seconds x channels)",
        )
    return header


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Decode, as many frames as the header says at most: (frames, channels)."""
    left = file.frames
    try:
        # Not file.blocks: where a file ends too early, that yields what its buffer held before.
        while left and len(block := file.read(min(BLOCK, left), "float32", always_2d=True)):
            left -= len(block)
            yield block
    except soundfile.LibsndfileError as error:
        raise _unreadable(error) from error


def _one_channel(block: NDArray[np.float32], channel: int | None) -> Samples:
    if not np.isfinite(block).all():
        raise RowRejected("not_finite", "some samples are not numbers, or infinite")
    if block.shape[1] == 1:
        return block[:, 0]
    return block.mean(axis=1) if channel is None else np.ascontiguousarray(block[:, channel])


def _unreadable(error: Exception) -> RowRejected:
    reason = str(error).partition(">: ")[2] or str(error)
    return RowRejected("unreadable_audio", f"cannot be decoded: {reason}")


def missing_bytes(data: bytes) -> int:
    """Return how many bytes the container says there are beyond the end of the data.

    libsndfile reads what is left of a cut WAV, AIFF or Ogg file without a word.
    """
    if data[:4] in (b"RIFF", b"RIFX") and data[8:12] == b"WAVE":
        return _missing_in_chunks(data, "<I" if data[:4] == b"RIFF" else ">I", b"data")
    if data[:4] == b"FORM" and data[8:11] == b"AIF":
        return _missing_in_chunks(data, ">I", b"SSND")
    return _missing_in_pages(data) if data[:4] == b"OggS" else 0


def _missing_in_chunks(data: bytes, size_format: str, samples: bytes) -> int:
    """Walk the chunks of a RIFF or IFF file to the one that holds the samples."""
    place = 12
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(size_format, data, place + 4)
        if data[place : place + 4] == samples:
            return 0 if size in UNKNOWN_SIZES else max(0, place + 8 + size - len(data))
        place += 8 + size + size % 2
    return max(0, place - len(data))


def _missing_in_pages(data: bytes) -> int:
    """Look at the last page of an Ogg file: whole, and marked as the last."""
    place = data.rfind(b"OggS")
    table = place + 27
    if len(data) < table or len(data) < table + data[table - 1]:
        return 1
    end = table + data[table - 1] + sum(data[table : table + data[table - 1]])
    return max(end - len(data), 0 if data[place + 5] & END_OF_STREAM else 1)
