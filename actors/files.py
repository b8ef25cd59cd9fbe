"""The bytes of a file that a row carries: the same reasons for pictures, recordings and videos.

null_input   the row has none
wrong_type   it is not bytes
empty_file   no bytes
"""

from actors.errors import RowRejected


def file_of(data: bytes | None, what: str) -> bytes:
    """Return the bytes; `what` is what they should be, such as "image". Raises RowRejected."""
    if data is None:
        raise RowRejected("null_input", f"the row has no {what}")
    if not isinstance(data, bytes):
        raise RowRejected("wrong_type", f"the {what} is {type(data).__name__}, expected bytes")
    if not data:
        raise RowRejected("empty_file", f"the {what} has no bytes")
    return data
