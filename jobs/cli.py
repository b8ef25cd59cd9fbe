"""The command line. Parsing imports nothing heavy: verbs import what they need when they run."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from actors.errors import GristmillError, StillWritten, nearest
from jobs import verbs
from jobs.verbs.verb import Group, Verb, print_json, say

INTERRUPTED = 130

NOTHING_STAYS = {"train": "no model was written", "plan": "nothing was measured"}
"""What becomes of verbs that are interrupted and have committed nothing."""


class _Parser(argparse.ArgumentParser):
    """argparse with the nearest right word in its errors."""

    def error(self, message: str) -> NoReturn:
        """Print usage and leave with code 2."""
        before, _, after = message.partition("invalid choice: '")
        if "VERB" in before and after:
            word = after.partition("'")[0]
            group = self.prog.partition(" ")[2]
            message = f"there is no verb '{group} {word}'".replace("' ", "'")
            message += nearest(word, _words(group))
        before, _, after = message.partition("unrecognized arguments: ")
        if after.startswith("-"):
            word = after.split()[0].partition("=")[0]
            message = f"there is no flag {word}{nearest(word, _flags())}"
        self.print_usage(sys.stderr)
        say(f"error: {message}")
        self.exit(2)


def _words(group: str) -> list[str]:
    """The verbs, or the second words of a group's."""
    if group:
        return [verb.name for verb in _groups()[group].verbs]
    return [verb.name for verb in VERBS]


def _groups() -> dict[str, Group]:
    return {group.name: group for group in VERBS if isinstance(group, Group)}


def _flags() -> list[str]:
    """The flags of all verbs."""
    found: list[str] = []
    for verb in VERBS:
        for each in verb.verbs if isinstance(verb, Group) else [verb]:
            parser = argparse.ArgumentParser()
            each.takes(parser)
            found += re.findall(r"--[a-z-]+", parser.format_usage())
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    args = parsed(sys.argv[1:] if argv is None else argv)
    if args.verb is None:
        args.parser.print_help()
        return 0
    # A stage of one's own (module:Class) is looked for where the command is given.
    sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGTERM, _interrupt)
    verb: Verb = args.verb
    try:
        return verb.does(args)
    except StillWritten as error:
        say(str(error))
        if getattr(args, "json", False):
            print_json({"waiting files": error.waiting, "exit_code": error.exit_code})
        return error.exit_code
    except GristmillError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        stays = "what is committed stays; run again to go on from there"
        said = NOTHING_STAYS.get(verb.name, stays)
        print(f"interrupted: {said}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; what stands last may come after flags: `search OUT --top 3 TEXT`, where
    argparse takes the text for one too many as soon as it has seen the flag."""
    parser = make_parser()
    args, more = parser.parse_known_args(_in_full(argv))
    if len(more) == 1 and not more[0].startswith("-") and getattr(args, "query", "") is None:
        args.query, more = more[0], []
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    return args


def _in_full(argv: Sequence[str]) -> list[str]:
    """The arguments with a group's default verb where its second word is left out."""
    group = _groups().get(argv[0]) if argv else None
    if group is None or not group.default or len(argv) < 2:
        return list(argv)
    if argv[1] in ("-h", "--help") or argv[1] in _words(group.name):
        return list(argv)
    return [argv[0], group.default, *argv[1:]]


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
    parser.set_defaults(verb=None, parser=parser)
    words = parser.add_subparsers(metavar="VERB", parser_class=_Parser)
    for verb in VERBS:
        if isinstance(verb, Verb):
            _add(words, verb)
            continue
        group = words.add_parser(
            verb.name, help=verb.help, description=verb.help, epilog=_default(verb)
        )
        group.set_defaults(parser=group)
        inner = group.add_subparsers(metavar="VERB", parser_class=_Parser)
        for each in verb.verbs:
            _add(inner, each)
    return parser


def _default(group: Group) -> str | None:
    """Where the flags of `serve FILE` are told."""
    words = f"gristmill {group.name} {group.default}"
    return (
        f"{group.name} FILE is {words} FILE; its flags:  {words} --help" if group.default else None
    )


def _add(words: Any, verb: Verb) -> None:
    parser = words.add_parser(
        verb.name,
        help=verb.help,
        description=verb.help,
        epilog=f"example:\n  {verb.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(verb=verb)
    verb.takes(parser)


def _version() -> str:
    from importlib.metadata import version

    return f"gristmill {version('gristmill')}"


def _takes_shell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL")


def _completion(args: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(make_parser(), args.shell))
    return 0


COMPLETION = Verb(
    "completion",
    "print the completion script of a shell",
    'eval "$(gristmill completion bash)"',
    _takes_shell,
    _completion,
)

VERBS = (*verbs.VERBS, COMPLETION)

if __name__ == "__main__":
    sys.exit(main())
