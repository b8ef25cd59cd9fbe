"""Text that cannot steer a terminal: names and values come from anywhere."""

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All control characters but tab and line end: what is left after them are escape codes."""


def plain(text: str) -> str:
    """The text with control characters written out, as \\x1b."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
