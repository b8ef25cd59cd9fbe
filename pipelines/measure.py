"""What held rows are like: counted part by part, batch by batch, in memory that does not grow."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.gates import ColumnGate, is_list, split
from pipelines.ledger import Ledger
from pipelines.parts import ROW, SOURCE
from pipelines.store import DATA, REJECTS, Store

BATCH_ROWS = 65_536
"""Rows in memory at once, of the columns that gates look at."""

MOST_LABELS = 10_000
"""Different labels that are counted; a column with more is no label but free text."""

EXAMPLES = 3
"""Rows that are named where a gate does not hold."""


@dataclass
class Seen:
    """What one column's values are like. `outside` counts values beyond min or max, `unknown` those
    that are no label; `examples` are (gate, source, row, value); `labels` says how often each
    stands there, and `others` counts values beyond MOST_LABELS."""

    values: int = 0
    nulls: int = 0
    outside: int = 0
    unknown: int = 0
    low: float | None = None
    high: float | None = None
    labels: Counter[Any] = field(default_factory=Counter)
    others: int = 0
    examples: list[tuple[str, str, int, Any]] = field(default_factory=list)


@dataclass
class Measured:
    """All held rows: `rows` good ones, `rejected` ones, and what each gated column is like."""

    rows: int = 0
    rejected: int = 0
    columns: dict[str, Seen] = field(default_factory=dict)
    reject_examples: list[tuple[str, str, int, Any]] = field(default_factory=list)


def measure(store: Store, columns: pa.Schema, gates: dict[str, ColumnGate]) -> Measured:
    """Look at every held row of an output once. Raises SinkFailed."""
    held = store.held
    parts = [n for n in held.names(DATA) if n.endswith(".parquet")]
    done = Measured(columns={path: Seen() for path in gates})
    names = list(dict.fromkeys([SOURCE, ROW, *(split(path, columns)[0] for path in gates)]))
    for part in parts if gates else ():
        with held.open(f"{DATA}/{part}") as file:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=names):
                for path, gate in gates.items():
                    _look(done.columns[path], gate, batch, *split(path, columns))
    return done


def count_rows(measured: Measured, store: Store, ledger: Ledger) -> None:
    """Add how many rows are held, which the footers tell, and some of the rejected ones."""
    for parts in ledger.units.values():
        measured.rows += sum(part.rows for part in parts)
        measured.rejected += parts[-1].rejected
        if parts[-1].rejected and len(measured.reject_examples) < EXAMPLES:
            with store.held.open(f"{REJECTS}/{parts[-1].name}") as file:
                table = pq.read_table(file, columns=[SOURCE, ROW, "reason"])
            rows = table.slice(0, EXAMPLES - len(measured.reject_examples)).to_pylist()
            measured.reject_examples += [
                ("rejected", row[SOURCE], row[ROW], row["reason"]) for row in rows
            ]


def _look(
    seen: Seen, gate: ColumnGate, batch: pa.RecordBatch, name: str, fields: tuple[str, ...]
) -> None:
    """Add one batch's values of one column."""
    values, rows = _flat(batch.column(name), fields)
    cells = values if fields else batch.column(name)
    seen.values += len(cells)
    seen.nulls += cells.null_count
    if cells.null_count:
        places = rows if fields else pa.array(range(len(cells)), pa.int64())
        _example(seen, "nulls", batch, pc.is_null(cells), cells, places)
    good = pc.is_valid(values)
    values, rows = values.filter(good), rows.filter(good)
    if gate.bounds:
        _look_at_numbers(seen, gate, batch, values, rows)
    if gate.labels is not None or gate.drift is not None:
        _look_at_labels(seen, gate, batch, values, rows)


def _flat(values: pa.Array, fields: Iterable[str]) -> tuple[pa.Array, pa.Array]:
    """The values that a path leads to, and the row of the batch that each stands in."""
    rows = pa.array(range(len(values)), pa.int64())
    waiting = list(fields)
    while True:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        elif is_list(values.type):
            rows = rows.take(pc.list_parent_indices(values))
            values = pc.list_flatten(values)
        elif waiting:
            values = pc.struct_field(values, waiting.pop(0))
        else:
            return values, rows


def _look_at_numbers(
    seen: Seen, gate: ColumnGate, batch: pa.RecordBatch, values: pa.Array, rows: pa.Array
) -> None:
    """Count what lies outside; NaN lies outside of everything."""
    numbers = values.cast(pa.float64(), safe=False)
    inside = pc.invert(pc.is_nan(numbers))
    if gate.min is not None:
        inside = pc.and_(inside, pc.greater_equal(numbers, gate.min))
    if gate.max is not None:
        inside = pc.and_(inside, pc.less_equal(numbers, gate.max))
    outside = pc.invert(inside)
    seen.outside += pc.sum(outside).as_py() or 0
    _example(seen, "range", batch, outside, values, rows)
    ends = pc.min_max(numbers.filter(pc.invert(pc.is_nan(numbers)))).as_py()
    if ends["min"] is not None:
        seen.low = ends["min"] if seen.low is None else min(seen.low, ends["min"])
        seen.high = ends["max"] if seen.high is None else max(seen.high, ends["max"])


def _look_at_labels(
    seen: Seen, gate: ColumnGate, batch: pa.RecordBatch, values: pa.Array, rows: pa.Array
) -> None:
    for found in pc.value_counts(values):
        label, count = found["values"].as_py(), found["counts"].as_py()
        if label in seen.labels or len(seen.labels) < MOST_LABELS:
            seen.labels[label] += count
        else:
            seen.others += count
    if gate.labels is not None:
        known = pc.is_in(values, pa.array(gate.labels, values.type))
        seen.unknown += len(values) - (pc.sum(known).as_py() or 0)
        _example(seen, "labels", batch, pc.invert(known), values, rows)


def _example(
    seen: Seen,
    gate: str,
    batch: pa.RecordBatch,
    wrong: pa.Array,
    values: pa.Array,
    rows: pa.Array,
) -> None:
    """Keep the first rows that a gate does not hold for."""
    room = EXAMPLES - sum(example[0] == gate for example in seen.examples)
    if room <= 0:
        return
    some = pc.indices_nonzero(wrong)[:room]
    for value, row in zip(values.take(some).to_pylist(), rows.take(some).to_pylist(), strict=True):
        key = batch.column(SOURCE)[row].as_py(), batch.column(ROW)[row].as_py()
        seen.examples.append((gate, *key, value))
