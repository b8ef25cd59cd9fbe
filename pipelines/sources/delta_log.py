"""The log of a Delta table, as far as deltalake does not tell it: which commits only moved rows.

The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md (actions).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from pipelines.sources.lineage import Rewrite

_COMMIT = re.compile(r"(\d{20})\.json\Z")


@dataclass(frozen=True, slots=True)
class Log:
    """The commits that are still there, up to a version; tables drop old ones (30 days)."""

    rewrites: list[Rewrite] = field(default_factory=list)
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def version(self, name: str) -> str:
        """Return the version of a file that is not in the table any more."""
        action = self.actions.get(name, {})
        return f"{action.get('size') or 0}-{action.get('modificationTime') or 0}"

    def partition(self, name: str) -> dict[str, str | None]:
        """Return the partition values of a file, as the log writes them."""
        found = self.actions.get(name, {}).get("partitionValues") or {}
        return {column: value or None for column, value in found.items()}


def read_log(system: fs.FileSystem, folder: str, version: int) -> Log:
    """Read the commits of a table up to `version`. Raise OSError."""
    log = Log()
    for info in sorted(system.get_file_info(fs.FileSelector(folder)), key=lambda info: info.path):
        found = _COMMIT.match(info.base_name)
        if found and int(found[1]) <= version:
            with system.open_input_stream(info.path) as stream:
                _add_commit(log, stream.read().decode())
    return log


def _add_commit(log: Log, text: str) -> None:
    """Note the files of one commit, and what it only moved."""
    actions = [json.loads(line) for line in text.splitlines() if line.strip()]
    added = {unquote(a["add"]["path"]): a["add"] for a in actions if "add" in a}
    removed = {unquote(a["remove"]["path"]): a["remove"] for a in actions if "remove" in a}
    for name, action in (*removed.items(), *added.items()):
        log.actions[name] = {**log.actions.get(name, {}), **action}
    both = [*added.values(), *removed.values()]
    moved = not any(action.get("dataChange", True) for action in both)
    if moved and added and removed and not any(a.get("deletionVector") for a in both):
        log.rewrites.extend(_by_partition(added, removed))


def _by_partition(
    added: dict[str, dict[str, Any]], removed: dict[str, dict[str, Any]]
) -> Iterator[Rewrite]:
    """Tell the partitions of a commit apart: rows never leave theirs."""
    if not all(action.get("partitionValues") for action in removed.values()):
        yield Rewrite(frozenset(removed), frozenset(added))
        return
    groups: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for place, actions in enumerate((removed, added)):
        for name, action in actions.items():
            key = json.dumps(action["partitionValues"], sort_keys=True)
            groups[key][place].add(name)
    for gone, new in groups.values():
        yield Rewrite(frozenset(gone), frozenset(new))
