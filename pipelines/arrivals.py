"""How a source's files stand to what is answered: what a nightly run says beside its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Files that are no plain work, by name.

    waiting  left for the next run, because they are still being written: why.
    deleted  answered, and not there any more; their rows stay.
    dropped  the same, but their rows are taken back.
    changed  answered, and another version is there now.
    drifted  left out, because columns or types are others than before: which.
    """

    waiting: Mapping[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    drifted: Mapping[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How many of each there are."""
        return {
            "waiting": len(self.waiting),
            "deleted": len(self.deleted),
            "dropped": len(self.dropped),
            "changed": len(self.changed),
            "drifted": len(self.drifted),
        }


SENTENCES = {
    "waiting": "still being written, left for the next run",
    "deleted": "answered and not there any more; rows kept (on_delete: keep)",
    "dropped": "not there any more; rows taken back (on_delete: drop)",
    "changed": "changed since the last answer",
    "drifted": "left out: columns or types are not as before",
}
"""What a person is told of each."""


def sentences(counts: Mapping[str, int]) -> list[str]:
    """A line for each sort of file that there is."""
    return [
        f"{count:,} file{'s' if count > 1 else ''} {SENTENCES[what]}"
        for what, count in counts.items()
        if count and what in SENTENCES
    ]
