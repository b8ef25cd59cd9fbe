"""Secrets of a submitted job: it carries where they are found, never what they are.

What is sent with a job (its command, its environment) is stored by the cluster and shown by its
dashboard. So a secret is a reference, resolved in each process of the job, where that process runs.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actors.errors import UsageError

VARIABLE = "GRISTMILL_SECRETS"
"""Environment variable of the job's processes: the references, as JSON."""

HOOK = "jobs.clusters.secrets.apply"
"""What Ray calls when a worker of the job starts."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PASSWORD = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/@\s]*:[^/@\s]+@")
_QUERY = re.compile(
    r"[?&][^=&\s]*(secret|token|passw|access_key|signature|sig)[^=&\s]*=[^&\s]", re.I
)


def references(given: Iterable[str]) -> dict[str, str]:
    """Read `NAME=file:/path` and `NAME=env:OTHER`. Raises UsageError, which never quotes a value,
    because it may be a secret."""
    found = {}
    for text in given:
        name, _, where = text.partition("=")
        kind, _, place = where.partition(":")
        right = place.startswith("/") if kind == "file" else _NAME.fullmatch(place)
        if not _NAME.fullmatch(name) or kind not in ("file", "env") or not right:
            shown = name if _NAME.fullmatch(name) else "..."
            raise UsageError(
                f"--secret {shown}=...: this says not where the secret is found on the cluster.\n"
                f"  write:  --secret {shown}=file:/PATH/ON/EVERY/MACHINE\n"
                f"  or:     --secret {shown}=env:VARIABLE_ON_EVERY_MACHINE"
            )
        found[name] = where
    return found


def apply() -> None:
    """Put this process's secrets into its environment. Raises UsageError."""
    wanted: Mapping[str, str] = json.loads(os.environ.get(VARIABLE, "{}"))
    os.environ.update({name: _value(name, where) for name, where in wanted.items()})


def _value(name: str, where: str) -> str:
    kind, _, place = where.partition(":")
    if kind == "env":
        if place not in os.environ:
            raise UsageError(
                f"secret {name}: the environment variable {place} is not set on this machine; "
                "set it before `ray start`, on every machine"
            )
        return os.environ[place]
    try:
        return Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"secret {name}: {place} cannot be read on this machine: {error}"
        ) from None


SENT = (
    "be stored with the job.\n  take it out, and say where the cluster finds it, as in\n"
    "    --secret AWS_SECRET_ACCESS_KEY=file:/run/secrets/aws"
)
"""What would become of a secret that is sent with a job, and what to do."""


def check_none(data: Any, file: str, otherwise: str = SENT) -> None:
    """Refuse data with a password or a key in it. Raises UsageError, which names the place and not
    the value; `otherwise` says what would become of it, and what to do."""
    places = [".".join(where) for where in _found(data, ())]
    if places:
        raise UsageError(
            f"{file}: {', '.join(places)} holds a password or a key, which would {otherwise}"
        )


def _found(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The places of texts with credentials."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _found(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _found(inner, (*place, str(number)))
    elif isinstance(value, str) and (_PASSWORD.search(value) or _QUERY.search(value)):
        yield place
