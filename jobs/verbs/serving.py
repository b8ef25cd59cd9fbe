"""Verbs that put a pipeline behind HTTP: serve, serve build."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.verbs.verb import Group, Verb, cache_folder, positive, say, some_time, takes_file

if TYPE_CHECKING:
    from pipelines.plan import Plan
    from pipelines.serving.bounds import Bounds

TOKEN = "GRISTMILL_TOKEN"
"""The environment's variable that holds a service's token."""


def _takes_service(parser: argparse.ArgumentParser) -> None:
    takes_file(parser)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="(8000)")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"what requests must bear; or ${TOKEN}"
    )
    parser.add_argument("--max-bytes", type=positive, metavar="N", help="largest request (64 MiB)")
    parser.add_argument("--max-rows", type=positive, metavar="N", help="most rows of one (1000)")
    parser.add_argument(
        "--max-waiting", type=positive, metavar="N", help="most requests under way (128)"
    )
    parser.add_argument(
        "--timeout", type=some_time, metavar="1m", help="longest that one may take (60)"
    )


def _takes_run(parser: argparse.ArgumentParser) -> None:
    _takes_service(parser)
    parser.add_argument("--address", metavar="ADDR", help="a running Ray cluster, or auto")


def _takes_build(parser: argparse.ArgumentParser) -> None:
    _takes_service(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"should be a port, 1 to 65535 (got {text!r})")
    return int(text)


def _serve(args: argparse.Namespace) -> int:
    from jobs.serve import Place, serve
    from pipelines.serving.token import digest_of

    token = _token(args)
    place = Place(args.host, args.port, digest_of(token) if token else None)
    plan, bounds = _plan(args), _bounds(args)

    def up(url: str) -> None:
        say(f"{url} answers; its columns:  {url}/docs")
        if args.json:
            print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)

    serve(plan, place, bounds, args.address, up, say)
    return 0


def _build(args: argparse.Namespace) -> int:
    import yaml

    from jobs.serve import Place, config

    place = Place(args.host, args.port)
    given = _bounds(args).model_dump(exclude_unset=True)
    given |= {"cache": str(cache_folder())}
    if args.token_file:
        given["token_file"] = str(args.token_file.resolve())
    text = config(_plan(args), args.file, args.set, place, given)
    if args.json:
        text = json.dumps(yaml.safe_load(text), indent=1) + "\n"
    if args.output is None:
        print(text, end="")
    else:
        _write(args.output, text)
    return 0


def _write(path: Path, text: str) -> None:
    from actors.errors import UsageError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"-o {path}: cannot be written: {error.strerror}") from None
    say(f"{path} is written; on this machine:  serve run {path}")


def _plan(args: argparse.Namespace) -> "Plan":
    from pipelines.file import load
    from pipelines.serving.planning import plan_service

    pipeline = load(args.file, args.set)
    return plan_service(pipeline, args.file.name, args.file.resolve().parent, cache_folder())


def _bounds(args: argparse.Namespace) -> "Bounds":
    from pipelines.serving.bounds import Bounds

    names = ("max_bytes", "max_rows", "max_waiting", "timeout")
    given = {name: getattr(args, name) for name in names}
    return Bounds(**{name: value for name, value in given.items() if value is not None})


def _token(args: argparse.Namespace) -> str | None:
    from pipelines.serving.token import check_token, read_token

    if args.token_file:
        return read_token(args.token_file)
    token = os.environ.get(TOKEN)
    return check_token(token, f"${TOKEN}") if token else None


SERVE = Group(
    "serve",
    "put a pipeline behind HTTP",
    (
        Verb(
            "run",
            "answer rows and files over HTTP until interrupted (`serve FILE` does so too)",
            "gristmill serve reviews.yaml --port 8000",
            _takes_run,
            _serve,
        ),
        Verb(
            "build",
            "write the Ray Serve config that deploys a pipeline on a cluster",
            "gristmill serve build reviews.yaml -o serve.yaml",
            _takes_build,
            _build,
        ),
    ),
    default="run",
)
