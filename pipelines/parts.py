"""Parts: how a unit's rows are put in place, and how a footer says what it answers.

A part file is the commit. The unit's rejects go first, then its data part, also when it has no
rows. Rejects whose data part does not point to them do not count. Retrying rejects adds a part of
the next generation, which takes the place of the older rejects.
"""

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import SinkFailed
from pipelines.lock import fenced
from pipelines.store import DATA, REJECTS, Store
from pipelines.units import Unit

KEY = b"gristmill"
"""The footer's key for what a part answers."""

FORMAT = 1
"""Version of the footer; a reader of another one refuses."""

SOURCE, ROW, REJECT = "_source", "_row", "_reject"
KEYS = ((SOURCE, pa.string()), (ROW, pa.int64()))

REJECT_TYPE = pa.struct(
    [
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("when", pa.timestamp("us", tz="UTC")),
    ]
)
"""Carried beside each row until the commit: null while the row is good."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows [start, stop) of a source file of `of` rows, at one version."""

    file: str
    version: str
    start: int
    stop: int
    of: int


@dataclass(frozen=True, slots=True)
class Footer:
    """What a data part says of itself.

    `rows` stand in it; `rejected` rows stand in the rejects part of the same name. `generation`
    counts retries: only the rejects of a unit's last generation count. `commit` is random, and the
    same in both parts of one commit: it tells that they were written together.
    """

    unit: str
    generation: int
    run: str
    rows: int
    rejected: int
    answers: tuple[Answers, ...]
    fingerprint: str
    commit: str = ""
    format: int = FORMAT

    @property
    def name(self) -> str:
        """The file name of the part, the same for data and rejects."""
        return part_name(self.unit, self.generation)

    def dumps(self) -> bytes:
        """As it stands in the Parquet footer."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def loads(cls, text: bytes) -> "Footer":
        """Read back what dumps wrote."""
        data: dict[str, Any] = json.loads(text)
        if data["format"] != FORMAT:
            raise SinkFailed(
                f"this output was written in format {data['format']}, and this version of "
                f"gristmill writes format {FORMAT}.\n  use that version, or a new output folder"
            )
        data["answers"] = tuple(Answers(**a) for a in data["answers"])
        return cls(**data)


def part_name(unit: str, generation: int) -> str:
    """The name of a part: derived from the unit, so that committing twice is committing once."""
    return f"part-{unit}-{generation:04d}.parquet"


def answers_of(unit: Unit, left_out: Sequence[str] = ()) -> tuple[Answers, ...]:
    """What a part of this unit answers, without the files that could not be read."""
    return tuple(
        Answers(s.file.name, s.file.version, s.start, s.stop, s.of)
        for s in unit.spans
        if s.file.name not in left_out
    )


def commit(
    store: Store,
    table: pa.Table,
    footer: Footer,
    attempts: dict[tuple[str, int], int],
    answers: Collection[str] = (),
) -> None:
    """Put one unit in place: rejects first, then the data part. Raises SinkFailed, LockLost.

    `table` holds the unit's rows with REJECT; `attempts` counts earlier tries of a row; `answers`
    are the columns that stages made, which rejects do not have.
    """
    bad = pc.is_valid(table[REJECT])
    data = table.filter(pc.invert(bad)).drop_columns([REJECT])
    rejects = _rejects(table.drop_columns(list(answers)).filter(bad), attempts)
    place(store, data, rejects, footer)


def place(store: Store, data: pa.Table, rejects: pa.Table, footer: Footer) -> None:
    """Put a part's two files in place, in the order that makes the data part the commit."""
    footer = replace(footer, commit=secrets.token_hex(8))
    content = _parquet(data, footer)
    rejected = _parquet(rejects, footer) if rejects.num_rows else None
    with fenced(store, footer.run):
        if rejected is not None:
            store.put(f"{REJECTS}/{footer.name}", rejected)
        else:
            store.delete(f"{REJECTS}/{footer.name}")
        store.put(f"{DATA}/{footer.name}", content)
        if footer.generation:
            store.delete(f"{REJECTS}/{part_name(footer.unit, footer.generation - 1)}")


def _rejects(table: pa.Table, attempts: dict[tuple[str, int], int]) -> pa.Table:
    """The rejects part's columns: keys, why, and the row's small input columns."""
    keys = zip(table[SOURCE].to_pylist(), table[ROW].to_pylist(), strict=True)
    why = pc.struct_field
    columns = {SOURCE: table[SOURCE], ROW: table[ROW]}
    columns |= {name: why(table[REJECT], name) for name in ("stage", "reason", "message")}
    columns["attempts"] = pa.array([attempts.get(key, 0) + 1 for key in keys], pa.int32())
    columns["when"] = why(table[REJECT], "when")
    others = [c for c in table.column_names if c not in (*columns, REJECT)]
    return pa.table(columns | {name: table[name] for name in others})


def _parquet(table: pa.Table, footer: Footer) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({KEY: footer.dumps()})
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_footer(store: Store, folder: str, name: str) -> Footer | None:
    """The footer of a part; None if it is not a part of ours, or gone since it was listed.

    Raises SinkFailed for a part that is damaged: it cannot have been left so by a run.
    """
    try:
        with store.open(f"{folder}/{name}") as file:
            metadata = pq.read_schema(file).metadata or {}
    except FileNotFoundError:
        return None
    except pa.ArrowException as error:
        raise SinkFailed(
            f"{store.path}/{folder}/{name} is damaged: {error}.\n"
            "  gristmill never leaves such a file; delete it and run again to answer its rows anew"
        ) from None
    return Footer.loads(metadata[KEY]) if KEY in metadata else None
