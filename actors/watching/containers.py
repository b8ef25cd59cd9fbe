"""What a container says of its own length, so that a file that was cut is never taken for whole."""

import struct
from collections.abc import Iterator

from actors import sound

BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra sidx ssix free skip wide uuid meta udta pdin prft emsg".split()
)
"""Boxes that stand at the top of an MP4 or QuickTime file; anything else there is rubbish."""

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = b"\x18\x53\x80\x67"
"""The two elements at the top of a Matroska or WebM file (RFC 8794, RFC 9559)."""

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""How an ASF file begins, and its properties in it: 40 bytes later stands the file's size (ASF
specification, 3.1 and 3.2)."""


def missing_bytes(data: bytes) -> int:
    """Return how many bytes the container says there are beyond the end of the data.

    Streams (MPEG-TS, MPEG, FLV, GIF, live WebM) do not say how long they are: 0.
    """
    if data[:4] == b"OggS":
        return sound.missing_bytes(data)
    if data[:16] == ASF:
        return _beyond(data, _stated(data))
    if data[4:8] in BOXES:
        return _beyond(data, _boxes(data))
    if data[:4] == EBML:
        return _beyond(data, _elements(data))
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return _beyond(data, _riffs(data))
    return 0


def _beyond(data: bytes, ends: Iterator[int]) -> int:
    return max(0, max(ends, default=0) - len(data))


def _boxes(data: bytes) -> Iterator[int]:
    """Yield where each box at the top of an MP4 file ends (ISO/IEC 14496-12, 4.2)."""
    place = 0
    while place + 8 <= len(data) and data[place + 4 : place + 8] in BOXES:
        (size,) = struct.unpack_from(">I", data, place)
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, place + 8)
        if size < 8:  # 0: to the end of the file
            return
        place += size
        yield place


def _elements(data: bytes) -> Iterator[int]:
    """Yield where each element at the top of a Matroska file ends."""
    place = 0
    while data[place : place + 4] in (EBML, SEGMENT):
        size, start = _vint(data, place + 4)
        if size is None:
            return
        place = start + size
        yield place


def _vint(data: bytes, place: int) -> tuple[int | None, int]:
    """Return the size that is written there (None: unknown) and where it ends (RFC 8794, 4)."""
    first = data[place] if place < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8 or place + length > len(data):
        return None, place
    value = int.from_bytes(data[place : place + length]) & ((1 << 7 * length) - 1)
    unknown = value == (1 << 7 * length) - 1
    return (None if unknown else value), place + length


def _stated(data: bytes) -> Iterator[int]:
    """Yield the size of an ASF (WMV) file that its properties state; a live one states none."""
    place = data.find(PROPERTIES) + 40
    if 40 <= place <= len(data) - 8:
        (size,) = struct.unpack_from("<Q", data, place)
        if size < 1 << 62:
            yield size


def _riffs(data: bytes) -> Iterator[int]:
    """Yield where each RIFF chunk of an AVI file ends; large files have several."""
    place = 0
    while data[place : place + 4] == b"RIFF" and place + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, place + 4)
        place += 8 + size
        yield place
        place += size % 2
