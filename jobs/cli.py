"""The command line. Parsing imports nothing heavy: verbs import what they need when they run."""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from actors.errors import GristmillError, nearest

INTERRUPTED = 130
Verb = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """argparse with the nearest right word in its errors."""

    def error(self, message: str) -> NoReturn:
        """Print usage and leave with code 2."""
        before, _, after = message.partition("invalid choice: '")
        if "VERB" in before and after:
            word = after.partition("'")[0]
            message = f"there is no verb '{word}'{nearest(word, VERBS)}"
        before, _, after = message.partition("unrecognized arguments: ")
        if after.startswith("-"):
            word = after.split()[0].partition("=")[0]
            message = f"there is no flag {word}{nearest(word, _flags())}"
        self.print_usage(sys.stderr)
        self.exit(2, f"error: {message}\n")


def _flags() -> list[str]:
    """The flags of all verbs."""
    found: list[str] = []
    for _, describe, *_ in VERBS.values():
        verb = argparse.ArgumentParser()
        describe(verb)
        found += re.findall(r"--[a-z-]+", verb.format_usage())
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    args = parsed(argv)
    if args.verb is None:
        make_parser().print_help()
        return 0
    # A stage of one's own (module:Class) is looked for where the command is given.
    sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return VERBS[args.verb][0](args)
    except GristmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        stays = "what is committed stays; run again to go on from there"
        said = "no model was written" if args.verb == "train" else stays
        print(f"interrupted: {said}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; what stands last may come after flags: `search OUT --top 3 TEXT`, where
    argparse takes the text for one too many as soon as it has seen the flag."""
    parser = make_parser()
    args, more = parser.parse_known_args(argv)
    if len(more) == 1 and not more[0].startswith("-") and getattr(args, "query", "") is None:
        args.query, more = more[0], []
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    return args


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="gristmill",
        description="Distributed batch annotation with AI models: safe to leave alone.",
        epilog="Start with:  gristmill demo",
    )
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    for name, (_, describe, help_text, example) in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=help_text,
            description=help_text,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        describe(verb)
    return parser


def _version() -> str:
    from importlib.metadata import version

    return f"gristmill {version('gristmill')}"


# what each verb takes -----------------------------------------------------------------------


def _takes_file(parser: argparse.ArgumentParser, what: str = "a pipeline file (YAML)") -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=what)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PLACE=VALUE",
        help="change the file for this time: stages.0.options.top_k=3 (repeatable)",
    )
    _takes_json(parser)


def _takes_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def _takes_run(parser: argparse.ArgumentParser) -> None:
    _takes_file(parser)
    parser.add_argument("--limit", type=_positive, metavar="N", help="answer at most N rows now")
    parser.add_argument("--retry-rejects", action="store_true", help="try rejected rows again")
    parser.add_argument("--address", metavar="ADDR", help="a running Ray cluster, or auto")
    parser.add_argument("--fresh", action="store_true", help="discard what the output holds")
    parser.add_argument(
        "--reuse", metavar="OLD_OUT", help="take over unchanged stages' columns from this output"
    )


def _takes_training(parser: argparse.ArgumentParser) -> None:
    _takes_file(parser, "a training file (YAML)")
    parser.add_argument("--fresh", action="store_true", help="replace the model that is there")


def _takes_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUT", help="an output folder")
    _takes_json(parser)


def _takes_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUT", help="an output folder")
    parser.add_argument("query", nargs="?", metavar="TEXT", help="what to look for")
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="look for what is like a picture"
    )
    parser.add_argument("--audio", type=Path, metavar="FILE", help="look for what is like it")
    parser.add_argument("--like", metavar="SOURCE:ROW", help="look for what is like a row of OUT")
    parser.add_argument("--column", metavar="NAME", help="which vectors, where there are several")
    parser.add_argument("--top", type=_positive, default=10, metavar="N", help="rows to find (10)")
    parser.add_argument(
        "--base", type=Path, default=Path(), metavar="DIR", help="what local models are relative to"
    )
    _takes_json(parser)


def _takes_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", nargs="?", metavar="TASK", help="one task, in full")
    _takes_json(parser)


def _takes_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("gristmill-demo"), metavar="DIR"
    )
    _takes_json(parser)


def _takes_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="embedded models; default: all")


def _takes_shell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number, 1 or more (got {text!r})")
    return int(text)


# what each verb does ------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where embedded models are kept: $GRISTMILL_CACHE, or ~/.cache/gristmill."""
    return Path(os.environ.get("GRISTMILL_CACHE") or Path.home() / ".cache" / "gristmill")


def _prepared(args: argparse.Namespace) -> Any:
    from jobs.run import prepare
    from pipelines.file import load

    pipeline = load(args.file, args.set)
    return prepare(pipeline, args.file.name, args.file.resolve().parent, cache_folder())


def _run(args: argparse.Namespace) -> int:
    from jobs.progress import Progress, print_summary
    from jobs.run import Options, run

    options = Options(args.limit, args.retry_rejects, args.address, args.fresh, args.reuse)
    prepared = _prepared(args)
    with Progress() as progress:
        outcome = run(prepared, options, progress)
    print_summary(outcome)
    if args.json:
        _print_json(outcome.as_dict())
    return outcome.exit_code


def _plan(args: argparse.Namespace) -> int:
    from jobs.plan import plan_report, print_plan

    report = plan_report(_prepared(args))
    _print_json(report) if args.json else print_plan(report)
    return 0


def _show(args: argparse.Namespace) -> int:
    from jobs.show import print_output, show

    report = show(args.output, Path.cwd())
    _print_json(report) if args.json else print_output(report)
    return 0


def _search(args: argparse.Namespace) -> int:
    from jobs.search import print_rows, query_of, run

    query = query_of(args.query, {"image": args.image, "audio": args.audio}, args.like)
    report = run(args.output, query, args.column, args.top, args.base.resolve(), cache_folder())
    _print_json(report) if args.json else print_rows(report)
    return 0


def _tasks(args: argparse.Namespace) -> int:
    from jobs.tasks import describe, listing, print_listing, print_task

    if args.task is None:
        tasks = listing()
        _print_json(tasks) if args.json else print_listing(tasks)
    else:
        task = describe(args.task)
        _print_json(task) if args.json else print_task(task)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from jobs.demo import demo

    result = demo(args.folder, cache_folder())
    if args.json:
        _print_json(result)
    return 0


def _train(args: argparse.Namespace) -> int:
    from jobs.train import load, print_report, train

    training = load(args.file, args.set)
    report = train(training, args.file, cache_folder(), args.fresh)
    print_report(report)
    if args.json:
        _print_json(report)
    return 0


def _models(args: argparse.Namespace) -> int:
    from actors.models.embedded import EMBEDDED, prepare_all

    prepare_all(args.names or list(EMBEDDED), cache_folder(), lambda line: print(line, flush=True))
    return 0


def _completion(args: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(make_parser(), args.shell))
    return 0


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


VERBS: dict[str, tuple[Verb, Callable[[argparse.ArgumentParser], None], str, str]] = {
    "demo": (
        _demo,
        _takes_folder,
        "make sample documents, read and annotate them, and say what to do next",
        "gristmill demo",
    ),
    "tasks": (
        _tasks,
        _takes_task,
        "list the tasks, or explain one with a pipeline to copy",
        "gristmill tasks ner",
    ),
    "plan": (
        _plan,
        _takes_file,
        "check a pipeline file without loading a model",
        "gristmill plan documents.yaml",
    ),
    "run": (
        _run,
        _takes_run,
        "run a pipeline: answer what is not answered yet",
        "gristmill run documents.yaml --set sink.path=out/try --limit 100",
    ),
    "show": (
        _show,
        _takes_output,
        "state of an output: rows, rejects, runs, models",
        "gristmill show out/documents",
    ),
    "search": (
        _search,
        _takes_search,
        "find the rows of an output that are nearest to a text, a picture or a row",
        'gristmill search out/photos "a red car"',
    ),
    "train": (
        _train,
        _takes_training,
        "train a model on a table or on good pictures, to be used as a stage",
        "gristmill train churn.yaml",
    ),
    "models": (
        _models,
        _takes_models,
        "prepare embedded models on this machine ahead of time",
        "gristmill models all-minilm-l6-v2",
    ),
    "completion": (
        _completion,
        _takes_shell,
        "print the completion script of a shell",
        'eval "$(gristmill completion bash)"',
    ),
}

if __name__ == "__main__":
    sys.exit(main())
