"""What a calibration came to, for people: a table of the stages, and what a run will take."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from jobs.terminal import Terminal
from pipelines.estimate import CPUS

GIB, MIB = 2**30, 2**20
BUSY = 1.5
"""Load a CPU above which others slow the stages down that are measured."""

WIDTH = 120
"""Columns of the table; a file or a pipe has no width of its own."""

RIGHT = ("rows/s", "load", "memory", "device", "kB/row", "actors", "time", "at work")


def print_calibration(report: Mapping[str, Any]) -> None:
    """The table, the bottleneck, how long and how much, and what would help."""
    console = Terminal(soft_wrap=True, width=WIDTH)
    host = report["host"]
    gpu = f", {host['gpu']}" if host["gpu"] else ""
    console.print(f"\nmeasured on {report['rows']:,} rows, on {host['cpu']}{gpu}")
    console.print(_table(report["stages"], report["bottleneck"]))
    for line in _lines(report):
        console.print(line)


def _table(stages: Sequence[Mapping[str, Any]], bottleneck: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("stage", *RIGHT, ""):
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    for stage in stages:
        rate = stage["rows a second"]
        table.add_row(
            stage["stage"],
            short(rate) if rate else "-",
            f"{stage['load seconds']:.1f} s",
            f"{stage['memory'] / MIB:,.0f} MiB",
            f"{stage['device memory'] / MIB:,.0f} MiB" if stage["device memory"] else "-",
            f"{stage['bytes a row'] / 1000:,.1f}",
            str(stage["actors"]),
            f"{stage['share']:.0%}",
            f"{stage['at work']:.0%}",
            "<- bottleneck" if stage["stage"] == bottleneck else "",
        )
    return table


def _lines(report: Mapping[str, Any]) -> list[str]:
    lines = []
    if not report["here"]:
        lines.append(
            "not measured on a machine like this one: a run here takes its ratios between stages"
        )
    if report["load"] > BUSY:
        lines.append(
            f"{report['load']:.0f} programs for each CPU wanted to run when measuring began: alone "
            "the stages are faster"
        )
    if report["unread"]:
        lines.append(f"{report['unread']:,} of the rows could not be read")
    lines += [f"rejected: {r['rows']:,} by {r['stage']}: {r['reason']}" for r in report["rejected"]]
    machines = ", ".join(f"{m['count']} x {m['machine']}" for m in report["machines"])
    hours = report["hours a million rows"]
    gpu = f", {short(hours['gpu'])} GPU-hours" if hours["gpu"] else ""
    lines += [
        f"on {machines}: {short(report['rows a second'])} rows a second",
        f"{report['rows to answer']:,} rows to answer: {_how_long(report)}",
        f"a million rows: {short(hours['cpu'])} CPU-hours{gpu} held by the pools",
        _helps(report),
    ]
    return lines


def _how_long(report: Mapping[str, Any]) -> str:
    if not report["rows to answer"]:
        return "nothing to do"
    low, high = said(report["seconds at best"]), said(report["seconds at worst"])
    return f"{said(report['seconds'])} ({low} to {high}), and Ray's start"


def _helps(report: Mapping[str, Any]) -> str:
    if report["bottleneck"] == CPUS:
        return "the CPUs set the pace: more actors would share them, more CPUs or machines help"
    rate, seconds = report["one more"]["rows a second"], report["one more"]["seconds"]
    took = f", {said(seconds)}" if report["rows to answer"] else ""
    return f"with one more actor of {report['bottleneck']}: {short(rate)} rows a second{took}"


def short(number: float) -> str:
    """Three digits: "0.0575", "4.53", "1,230"."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def said(seconds: float) -> str:
    """ "42 s", "12 min", "5 h 20 min", "3 d 4 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
