"""What a verb of the command line is, and the arguments that verbs share."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.plain import plain

if TYPE_CHECKING:
    from jobs.prepare import Prepared
    from pipelines.spec import Pipeline

Takes = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Verb:
    """One verb: what it says of itself, which arguments it takes, what it does (the exit code)."""

    name: str
    help: str
    example: str
    takes: Takes
    does: Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Group:
    """Verbs of two words: `cluster check`. `default` is meant when the second one is left out, as
    in `serve FILE`, which is `serve run FILE`."""

    name: str
    help: str
    verbs: tuple[Verb, ...]
    default: str = ""


def takes_file(parser: argparse.ArgumentParser, what: str = "a pipeline file (YAML)") -> None:
    """FILE, --set and --json."""
    parser.add_argument("file", type=Path, metavar="FILE", help=what)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PLACE=VALUE",
        help="change the file for this time: stages.0.options.top_k=3 (repeatable)",
    )
    takes_json(parser)


def takes_output(parser: argparse.ArgumentParser) -> None:
    """OUT and --json."""
    parser.add_argument("output", metavar="OUT", help="an output folder")
    takes_json(parser)


def takes_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number, 1 or more (got {text!r})")
    return int(text)


def whole(text: str) -> int:
    """Read a whole number, also 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"should be a whole number, 0 or more (got {text!r})")
    return int(text)


def duration(text: str) -> float:
    """Read a duration, in seconds."""
    from jobs.schedules.durations import seconds

    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"should be a duration, as 90s, 5m, 2h, 1h30m, or seconds (got {text!r})"
        ) from None


def some_time(text: str) -> float:
    """Read a duration that is more than nothing, in seconds."""
    found = duration(text)
    if not found:
        raise argparse.ArgumentTypeError(f"should be longer than nothing (got {text!r})")
    return found


def cache_folder() -> Path:
    """Where embedded models are kept: $GRISTMILL_CACHE, or ~/.cache/gristmill."""
    return Path(os.environ.get("GRISTMILL_CACHE") or Path.home() / ".cache" / "gristmill")


def prepared(args: argparse.Namespace) -> "Prepared":
    """The pipeline that the arguments of `takes_file` name, checked. Raises UsageError."""
    from pipelines.file import load

    return planned(args, load(args.file, args.set))


def planned(args: argparse.Namespace, pipeline: "Pipeline") -> "Prepared":
    """The pipeline that was read from the arguments' file, checked. Raises UsageError."""
    from jobs.prepare import prepare

    base, fresh = args.file.resolve().parent, getattr(args, "fresh", False)
    return prepare(pipeline, args.file.name, base, cache_folder(), fresh)


def print_json(value: Any) -> None:
    """Print a result for machines, on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def say(text: str) -> None:
    """Print a line for people, on stderr. It imports nothing heavy: errors of the command line
    itself are said so, too."""
    print(plain(text), file=sys.stderr, flush=True)
