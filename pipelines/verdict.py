"""Whether held rows may become data: each gate's expectation beside what was seen."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from pipelines.gates import Action, ColumnGate, Gates
from pipelines.held import VERDICTS
from pipelines.ledger import read_ledger
from pipelines.measure import Measured, Seen, count_rows, measure
from pipelines.store import Store

Shares = Mapping[str, Mapping[str, float]]
"""Column -> label -> share of its values."""

VALUE_CHARS = 80
"""Longest value that is shown as an example."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One gate: what was expected, what was seen, and rows for which it does not hold."""

    gate: str
    expected: str
    seen: str
    action: Action
    holds: bool
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run's rows at the gates.

    `rows` and `rejected` count the held rows; `state` is released, held (a gate did not hold) or
    discarded; `by` says who decided, where a person did; `shares` are the label shares that the
    next run is compared with.
    """

    run: str
    when: float
    state: str
    rows: int
    rejected: int
    findings: tuple[Finding, ...] = ()
    shares: Shares | None = None
    by: str | None = None

    @property
    def problems(self) -> list[Finding]:
        """The gates that do not hold."""
        return [finding for finding in self.findings if not finding.holds]

    @property
    def passes(self) -> bool:
        """Whether the rows may be released: no gate failed that is more than a warning."""
        return all(finding.action == "warn" for finding in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


def judge(store: Store, gates: Gates | None, columns: pa.Schema, run: str, when: float) -> Verdict:
    """Measure all held rows and compare. Raises SinkFailed."""
    wanted = dict(gates.columns) if gates else {}
    measured = measure(store, columns, wanted)
    count_rows(measured, store, read_ledger(store.held))
    findings = tuple(_findings(gates, measured, last_shares(store))) if gates else ()
    shares = {path: _shares(seen) for path, seen in measured.columns.items() if seen.labels}
    return Verdict(run, when, "held", measured.rows, measured.rejected, findings, shares)


def verdicts(store: Store) -> Iterator[dict[str, Any]]:
    """All verdicts of an output, newest first."""
    for name in reversed(store.names(VERDICTS)):
        content = store.read(f"{VERDICTS}/{name}")
        if content:
            yield json.loads(content)


def last_shares(store: Store) -> Shares:
    """The label shares of the rows that were released last; empty if there are none."""
    found = (v["shares"] for v in verdicts(store) if v["state"] == "released" and v["shares"])
    return next(found, {})


def _findings(gates: Gates, measured: Measured, before: Shares) -> Iterator[Finding]:
    total = measured.rows + measured.rejected
    if gates.rows:
        g, n = gates.rows, measured.rows
        holds = (g.min is None or n >= g.min) and (g.max is None or n <= g.max)
        yield Finding("rows", _range(g.min, g.max), f"{n:,}", g.action, holds)
    if gates.rejected and gates.rejected.max is not None:
        share = measured.rejected / total if total else 0.0
        examples = _examples(measured.reject_examples, "rejected")
        expected, seen = f"at most {gates.rejected.max:.2%}", f"{share:.2%} of {total:,} rows"
        holds = share <= gates.rejected.max
        yield Finding("rejected", expected, seen, gates.rejected.action, holds, examples)
    for path, gate in gates.columns.items():
        yield from _column(path, gate, measured.columns[path], before.get(path))


def _column(
    path: str, gate: ColumnGate, seen: Seen, before: Mapping[str, float] | None
) -> Iterator[Finding]:
    def found(name: str, expected: str, said: str, holds: bool) -> Finding:
        examples = () if holds else _examples(seen.examples, name)
        return Finding(f"{path} {name}", expected, said, gate.action, holds, examples)

    if gate.bounds:
        said = f"{_range(seen.low, seen.high)}, {seen.outside:,} outside"
        yield found("range", _range(gate.min, gate.max), said, not seen.outside)
    if gate.nulls is not None:
        share = seen.nulls / seen.values if seen.values else 0.0
        said = f"{share:.2%} of {seen.values:,}"
        yield found("nulls", f"at most {gate.nulls:.2%}", said, share <= gate.nulls)
    if gate.labels is not None:
        said = f"{seen.unknown:,} other values"
        yield found("labels", ", ".join(map(str, gate.labels)), said, not seen.unknown)
    if gate.drift is not None and before:
        yield _drifted(path, gate.drift, _shares(seen), before)


def _drifted(
    path: str, most: float, now: Mapping[str, float], before: Mapping[str, float]
) -> Finding:
    """Drift only warns: shares may change because the world does."""
    distance = total_variation(now, before)
    moved = sorted({*now, *before}, key=lambda k: (-abs(now.get(k, 0.0) - before.get(k, 0.0)), k))
    said = tuple(f"{k}: {before.get(k, 0.0):.1%} -> {now.get(k, 0.0):.1%}" for k in moved[:3])
    holds = distance <= most
    return Finding(
        f"{path} drift",
        f"at most {most:g}",
        f"{distance:.3g}",
        "warn",
        holds,
        () if holds else said,
    )


def total_variation(now: Mapping[str, float], before: Mapping[str, float]) -> float:
    """Half the sum of the differences of two distributions: the share that would have to change its
    label to make one the other, 0 to 1 (Levin and Peres, Markov Chains and Mixing Times, 4.1).

    Unlike the population stability index it is finite where a label is new or gone.
    """
    return sum(abs(now.get(k, 0.0) - before.get(k, 0.0)) for k in {*now, *before}) / 2


def _shares(seen: Seen) -> dict[str, float]:
    total = seen.labels.total() + seen.others
    shares = {str(label): count / total for label, count in seen.labels.items()}
    return shares | ({"(all others)": seen.others / total} if seen.others else {})


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "no values"
    if high is None:
        return f"at least {_number(low)}"
    return f"at most {_number(high)}" if low is None else f"{_number(low)} to {_number(high)}"


def _number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def _examples(found: list[tuple[str, str, int, Any]], gate: str) -> tuple[str, ...]:
    """ "a.jsonl row 3: \\"x\\"": as JSON, so that no control character reaches a terminal."""
    return tuple(
        f"{json.dumps(file)[1:-1]} row {row}: {json.dumps(value, default=str)[:VALUE_CHARS]}"
        for name, file, row, value in found
        if name == gate
    )
