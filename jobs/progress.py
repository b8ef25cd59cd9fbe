"""How far a run is: a moving table on a terminal, plain lines elsewhere; a summary at the end."""

import sys
import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.table import Table

from jobs.outcome import Outcome
from jobs.terminal import Terminal
from pipelines.arrivals import sentences
from pipelines.dispatch import Status
from pipelines.plan import Plan

LINE_SECONDS = 10.0
"""How often a plain line is written: a day's log stays under ten thousand lines."""


class Progress:
    """Shows a run's status on stderr; call it with (plan, status)."""

    def __init__(self) -> None:
        self._console = Terminal(stderr=True)
        self._live = Live(console=self._console) if self._console.is_terminal else None
        self._start = time.monotonic()
        self._last = 0.0

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, plan: Plan, status: Status) -> None:
        """Show the status."""
        seconds = time.monotonic() - self._start
        if self._live is not None:
            self._live.update(Group(_line(status, seconds), _table(status, seconds)))
        elif seconds - self._last >= LINE_SECONDS:
            self._last = seconds
            print(_line(status, seconds), file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Write a line of its own."""
        if self._live is not None:
            self._live.update(line)
        else:
            print(line, file=sys.stderr, flush=True)


def _table(status: Status, seconds: float) -> Table:
    table = Table(box=None)
    for name in ("stage", "rows", "rows/s", "rejected", "s/row"):
        left = name == "stage"
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for label, step in status.steps.items():
        rate = f"{step.rows / seconds:.1f}" if seconds else ""
        each = f"{step.seconds / step.rows:.3g}" if step.rows else ""
        table.add_row(label, f"{step.rows:,}", rate, f"{step.rejected:,}", each)
    return table


def _line(status: Status, seconds: float) -> str:
    waits = _waits_for(status)
    if waits:
        return f"{waits}, {_time(seconds)}"
    share = status.bytes / status.total_bytes if status.total_bytes else 0.0
    rest = f", about {_time(seconds / share - seconds)} left" if 0.02 < share < 1 else ""
    return (
        f"{status.rows:,} rows written, {status.rejected:,} rejected, {share:.0%} of the source, "
        f"{_time(seconds)}{rest}"
    )


def _waits_for(status: Status) -> str:
    """What a run waits for until the first unit is through a stage; empty from then on."""
    if status.units or any(step.nodes for step in status.steps.values()):
        return ""
    loading = [label for label, step in status.steps.items() if not step.ready]
    return f"loading {', '.join(loading)}" if loading else "all is loaded; answering the first rows"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def print_summary(outcome: Outcome) -> None:
    """What a run came to, with the time split per stage, on stderr."""
    console = Terminal(stderr=True)
    status = outcome.status
    if status is None:
        _print_verdict(console, outcome)
        console.print(f"nothing to do: {_counts(outcome)}")
        _print_problems(console, {}, outcome)
        return
    console.print(
        f"{status.rows:,} rows written, {status.rejected:,} rejected in "
        f"{_time(outcome.seconds)} ({status.units} units); {_counts(outcome)}"
    )
    console.print(_split(status, outcome.seconds))
    _print_verdict(console, outcome)
    _print_problems(console, status.left_out, outcome)


def _print_verdict(console: Terminal, outcome: Outcome) -> None:
    """The gates that do not hold, and what can be done with the rows that they keep."""
    verdict = outcome.verdict
    if verdict is None:
        return
    if verdict.problems:
        table = Table(box=None, title="gates that do not hold", title_justify="left")
        for name in ("gate", "expected", "seen", ""):
            table.add_column(name, overflow="fold")
        for finding in verdict.problems:
            table.add_row(finding.gate, finding.expected, finding.seen, finding.action)
            for example in finding.examples:
                table.add_row("", "", f"  {example}", "")
        console.print(table)
    if not verdict.rows and not verdict.rejected:
        if verdict.state == "held":
            console.print(
                "no new rows came, and  gates: rows: min  asks for some: look at what brings them",
                style="yellow",
            )
        return
    by = f" by {verdict.by}" if verdict.by else ""
    console.print(
        f"{verdict.rows:,} rows and {verdict.rejected:,} rejects are {verdict.state}{by}",
        style="yellow" if verdict.state == "held" else None,
    )
    if verdict.state == "held":
        console.print(
            "  nothing is lost, and readers of the output do not see them; choose:\n"
            "    gristmill run FILE                  looks at them again, as after changing gates\n"
            "    gristmill run FILE --accept-held    makes them a part of the output as they are\n"
            "    gristmill run FILE --discard-held   throws them away; the next run answers anew",
            soft_wrap=True,
        )


def _print_problems(console: Terminal, left_out: dict[str, str], outcome: Outcome) -> None:
    """What keeps the exit code from being 0, and what to do about it."""
    for name, why in list(left_out.items())[:5]:
        # Not folded: a schedule takes the line as its reason.
        console.print(f"not answered: {name}: {why}", style="yellow", soft_wrap=True)
    if len(left_out) > 5:
        console.print(f"... and {len(left_out) - 5} more files not answered")
    if outcome.ignored:
        console.print(
            f"{outcome.ignored} files changed since they were answered (on_change: ignore)"
        )
    # Of those that changed, the lines above tell what became.
    for line in sentences(outcome.source.counts() | {"changed": 0}):
        console.print(line)
    if left_out.keys() - outcome.source.drifted.keys():
        console.print("run again to answer what is left")
    if outcome.exit_code == 3:
        share = outcome.rejected / (outcome.rows + outcome.rejected)
        console.print(
            f"{share:.1%} of the rows are rejected, and errors: max_rejected allows "
            f"{outcome.max_rejected:.1%}.\n  why:  gristmill show {outcome.output}\n"
            "  after mending the cause:  gristmill run FILE --retry-rejects"
        )


def _counts(outcome: Outcome) -> str:
    return f"the output has {outcome.rows:,} rows and {outcome.rejected:,} rejects"


def _split(status: Status, seconds: float) -> Table:
    """Where the time went: seconds of work in each box, and how busy that kept it."""
    table = Table(box=None)
    for name in ("", "rows", "rejected", "busy s", "load s", "prepare s", "wait s", "infer s"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for box, busy in status.busy.items():
        step = status.steps.get(box)
        if step is None:
            table.add_row(box, "", "", f"{busy:.1f}")
            continue
        r = step.report
        spent = (f"{x:.1f}" for x in (busy, r.load, r.prepare, r.wait, r.infer))
        table.add_row(box, f"{step.rows:,}", f"{step.rejected:,}", *spent)
    total = sum(status.busy.values())
    table.caption = f"{total:.1f} s of work in {seconds:.1f} s: boxes work at the same time"
    return table
