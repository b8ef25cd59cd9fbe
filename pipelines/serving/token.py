"""A service's token: read, checked to be one, and known again by its digest."""

import hashlib
import hmac
from pathlib import Path

from actors.errors import UsageError

LENGTH = 16
"""Characters at least: 64 bits as hexadecimal digits, which no one guesses over HTTP."""


def read_token(path: Path) -> str:
    """The token that a file holds. Raises UsageError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {path} cannot be read: {error}") from None
    return check_token(token, f"the token file {path}")


def check_token(token: str, where: str) -> str:
    """Return a token that is one. Raises UsageError, which does not show it."""
    if len(token) < LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{where} does not hold a token: {LENGTH} or more plain characters without spaces.\n"
            "  to make one:  openssl rand -hex 32 > token && chmod 600 token"
        )
    return token


def digest_of(token: str) -> bytes:
    """What the service knows of its token: enough to know it again, not to tell it."""
    return hashlib.sha256(token.encode()).digest()


def bears(header: bytes, digest: bytes) -> bool:
    """Whether an Authorization header bears the token; takes as long for any wrong one."""
    kind, _, given = header.partition(b" ")
    same = hmac.compare_digest(hashlib.sha256(given.strip()).digest(), digest)
    return same and kind.lower() == b"bearer"
