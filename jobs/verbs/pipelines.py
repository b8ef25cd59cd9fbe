"""Verbs on a pipeline file and its output: run, show, search."""

import argparse
from pathlib import Path

from jobs.verbs.verb import (
    Verb,
    cache_folder,
    planned,
    positive,
    print_json,
    takes_file,
    takes_json,
    takes_output,
)


def _takes_run(parser: argparse.ArgumentParser) -> None:
    takes_file(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="answer at most N rows now")
    parser.add_argument("--retry-rejects", action="store_true", help="try rejected rows again")
    parser.add_argument("--address", metavar="ADDR", help="a running Ray cluster, or auto")
    parser.add_argument("--fresh", action="store_true", help="discard what the output holds")
    parser.add_argument(
        "--reuse", metavar="OLD_OUT", help="take over unchanged stages' columns from this output"
    )
    parser.add_argument("--lineage", metavar="FILE", help="append OpenLineage events to this file")
    parser.add_argument(
        "--lineage-parent", metavar="NAMESPACE/JOB/RUN", help="the run that started this one"
    )
    held = parser.add_mutually_exclusive_group()
    for word, what in (("accept", "release rows that gates held back"), ("discard", "drop them")):
        held.add_argument(
            f"--{word}-held", dest="held", action="store_const", const=word, help=what
        )


def _takes_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUT", help="an output folder")
    parser.add_argument("query", nargs="?", metavar="TEXT", help="what to look for")
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="look for what is like a picture"
    )
    parser.add_argument("--audio", type=Path, metavar="FILE", help="look for what is like it")
    parser.add_argument("--like", metavar="SOURCE:ROW", help="look for what is like a row of OUT")
    parser.add_argument("--column", metavar="NAME", help="which vectors, where there are several")
    parser.add_argument("--top", type=positive, default=10, metavar="N", help="rows to find (10)")
    parser.add_argument(
        "--base", type=Path, default=Path(), metavar="DIR", help="what local models are relative to"
    )
    takes_json(parser)


def _run(args: argparse.Namespace) -> int:
    from jobs.interrupts import heeded
    from jobs.outcome import Options
    from jobs.progress import Progress, print_summary
    from jobs.run import run
    from jobs.telling.telling import telling_refusal
    from pipelines.file import load

    options = Options(
        args.limit,
        args.retry_rejects,
        args.address,
        args.fresh,
        args.reuse,
        args.held,
        args.lineage,
        args.lineage_parent,
    )
    pipeline = load(args.file, args.set)
    with telling_refusal(pipeline), heeded():
        ready = planned(args, pipeline)
    with Progress() as progress:
        outcome = run(ready, options, progress, progress.say)
    print_summary(outcome)
    if args.json:
        print_json(outcome.as_dict())
    return outcome.exit_code


def _show(args: argparse.Namespace) -> int:
    from jobs.show import print_output, show

    report = show(args.output, Path.cwd())
    print_json(report) if args.json else print_output(report)
    return 0


def _search(args: argparse.Namespace) -> int:
    from jobs.search import print_rows, query_of, run

    query = query_of(args.query, {"image": args.image, "audio": args.audio}, args.like)
    report = run(args.output, query, args.column, args.top, args.base.resolve(), cache_folder())
    print_json(report) if args.json else print_rows(report)
    return 0


RUN = Verb(
    "run",
    "run a pipeline: answer what is not answered yet",
    "gristmill run documents.yaml --set sink.path=out/try --limit 100",
    _takes_run,
    _run,
)
SHOW = Verb(
    "show",
    "state of an output: rows, rejects, runs, models",
    "gristmill show out/documents",
    takes_output,
    _show,
)
SEARCH = Verb(
    "search",
    "find the rows of an output that are nearest to a text, a picture or a row",
    'gristmill search out/photos "a red car"',
    _takes_search,
    _search,
)
