"""Verbs on jobs of a cluster: submit, status, logs, stop, wait."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.plain import plain
from jobs.verbs.verb import (
    Verb,
    cache_folder,
    positive,
    print_json,
    say,
    some_time,
    takes_file,
    takes_json,
)

if TYPE_CHECKING:
    from jobs.clusters.following import Patience
    from jobs.clusters.server import Job, Server

Does = Callable[[argparse.Namespace], int]


def _takes_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        metavar="URL",
        help="the cluster's job server (RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
    )


def _takes_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a job, as `gristmill status` lists it")
    _takes_address(parser)


def _takes_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=some_time, metavar="2h", help="wait so long at most")
    parser.add_argument(
        "--pending-timeout", type=some_time, metavar="5m", help="so long at most for it to start"
    )


def _takes_submit(parser: argparse.ArgumentParser) -> None:
    takes_file(parser)
    _takes_address(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="answer at most N rows")
    parser.add_argument("--retry-rejects", action="store_true", help="try rejected rows again")
    parser.add_argument("--id", help="the job's id (else made of the pipeline)")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the folder to send (else the file's own)"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="do not send these files (repeatable)",
    )
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help="file:/PATH or env:NAME on the cluster's machines, to be found in $NAME (repeatable)",
    )
    parser.add_argument("--wait", action="store_true", help="follow it to its end; its exit code")
    _takes_patience(parser)


def _takes_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="one job; else all of gristmill's")
    _takes_address(parser)
    takes_json(parser)


def _takes_logs(parser: argparse.ArgumentParser) -> None:
    _takes_job(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="to the job's end; then its exit code"
    )
    _takes_patience(parser)


def _takes_wait(parser: argparse.ArgumentParser) -> None:
    _takes_job(parser)
    _takes_patience(parser)
    takes_json(parser)


def _takes_stop(parser: argparse.ArgumentParser) -> None:
    _takes_job(parser)
    takes_json(parser)


def _server(args: argparse.Namespace) -> "Server":
    from jobs.clusters.server import Server

    return Server(args.address)


def _patience(args: argparse.Namespace) -> "Patience":
    from jobs.clusters.following import Patience

    return Patience(args.timeout, args.pending_timeout)


def _leaving(does: Does) -> Does:
    """Say, when the user leaves by Ctrl-C, that the job does not end with that."""

    def guarded(args: argparse.Namespace) -> int:
        try:
            return does(args)
        except KeyboardInterrupt:
            id = args.id or "ID"
            say(f"left; a job that was submitted goes on:  gristmill stop {id}  ends it")
            return 130

    return guarded


def _submit(args: argparse.Namespace) -> int:
    from actors.errors import UsageError
    from jobs.clusters.submission import Flags, check_here, order, submit

    if (args.timeout or args.pending_timeout) and not args.wait:
        raise UsageError("--timeout and --pending-timeout say how long to wait: add  --wait")
    flags = Flags(
        args.set, args.limit, args.retry_rejects, args.id, args.root, args.exclude, args.secret
    )
    wanted = order(args.file, flags)
    server = _server(args)
    if server.is_here:
        check_here(args.file, flags, cache_folder())
    if wanted.seen:
        say(f"all machines of the cluster must see: {', '.join(wanted.seen)}")
    job, new = submit(server, wanted)
    args.id = job.id
    size = f"{wanted.bundle.bytes / 2**20:.1f} MiB in {len(wanted.bundle.files)} files"
    say(f"job {job.id}: " + (f"submitted, {size}" if new else f"is {job.state} already"))
    if not args.wait:
        if args.json:
            print_json(job.as_dict() | {"new": new, "address": server.address})
        say(f"  gristmill logs -f {job.id}   reads along\n  gristmill status {job.id}")
        return 0
    return _to_the_end(args, server, {"new": new, "address": server.address})


def _to_the_end(args: argparse.Namespace, server: "Server", more: dict[str, object]) -> int:
    """Read along on stderr until the job ends; returns its exit code."""
    from jobs.clusters.following import follow

    job = follow(server, args.id, _write_to(sys.stderr), _patience(args))
    if args.json:
        print_json(job.as_dict() | more)
    return _ended(job)


def _status(args: argparse.Namespace) -> int:
    from jobs.clusters.submission import rows_in

    server = _server(args)
    if args.id is None:
        jobs = server.jobs()
        print_json([job.as_dict() for job in jobs]) if args.json else _print_jobs(jobs)
        return 0
    job = server.job(args.id)
    rows = rows_in(job.output) if job.output else None
    if args.json:
        print_json(job.as_dict() | {"in_output": rows})
    else:
        _print_jobs([job])
        _print_more(job, rows)
    return 0


def _logs(args: argparse.Namespace) -> int:
    from jobs.clusters.following import follow

    server = _server(args)
    write = _write_to(sys.stdout)
    if not args.follow:
        write(server.logs(args.id))
        return 0
    return _ended(follow(server, args.id, write, _patience(args)))


def _wait(args: argparse.Namespace) -> int:
    from jobs.clusters.following import wait

    job = wait(_server(args), args.id, _patience(args))
    if args.json:
        print_json(job.as_dict())
    return _ended(job)


def _stop(args: argparse.Namespace) -> int:
    from jobs.clusters.following import Patience, wait
    from jobs.clusters.submission import STOP_SECONDS

    server = _server(args)
    before = job = server.job(args.id)
    if not before.is_over:
        server.stop(args.id)
    if before.state == "running":
        job = wait(server, args.id, Patience(STOP_SECONDS + 30))
    if args.json:
        print_json(job.as_dict() | {"asked": not before.is_over})
    say(f"job {job.id} {_stopped(before, job)}")
    return 0


def _stopped(before: "Job", job: "Job") -> str:
    """What came of stopping a job."""
    if before.is_over:
        return f"has ended already: {job.state}"
    if before.state == "pending":
        return "has not started; Ray ends it when it does, or 15 minutes after it was submitted"
    return f"is {job.state}; what is committed stays, submit it again to go on"


def _ended(job: "Job") -> int:
    """Say how a job ended; returns its exit code."""
    code = job.exit_code or 0
    say(f"job {job.id}: {job.state}" + (f", exit code {code}" if code else ""))
    if job.driver_code is not None and job.driver_code < 0:
        say(f"  its driver was killed by signal {-job.driver_code}; submit it again to go on")
    elif job.state == "failed" and job.driver_code is None:
        say(f"  {job.message}")
    return code


def _print_jobs(jobs: "list[Job]") -> None:
    from rich.table import Table

    from jobs.terminal import Terminal

    console = Terminal()
    if not jobs:
        console.print("no jobs of gristmill on this cluster since it was started")
        return
    table = Table(box=None)
    # An id that is folded cannot be copied; 40 characters leave room for the rest of 80.
    whole = all(len(job.id) <= 40 for job in jobs)
    table.add_column("job", overflow="fold", no_wrap=whole)
    for name in ("state", "since", "exit", "file", "output"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        code = "" if job.exit_code is None else str(job.exit_code)
        table.add_row(job.id, job.state, _since(job), code, job.file, job.output)
    console.print(table)


def _since(job: "Job") -> str:
    """When a job came into its state, local time."""
    moment = job.ended if job.is_over else job.started
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else ""


def _print_more(job: "Job", rows: dict[str, int] | None) -> None:
    if rows is not None:
        print(f"in the output: {rows['rows']:,} rows, {rows['rejected']:,} rejected")
    if job.message:
        print(plain(job.message))


def _write_to(stream: "object") -> Callable[[str], None]:
    def write(text: str) -> None:
        print(text, end="", file=stream, flush=True)  # type: ignore[call-overload]

    return write


SUBMIT = Verb(
    "submit",
    "run a pipeline as a job on a Ray cluster",
    "gristmill submit documents.yaml --address http://127.0.0.1:8265 --wait",
    _takes_submit,
    _leaving(_submit),
)
STATUS = Verb(
    "status",
    "jobs on the cluster: state, rows, exit code",
    "gristmill status documents-0a1b2c3d4e",
    _takes_status,
    _status,
)
LOGS = Verb(
    "logs",
    "what a job printed",
    "gristmill logs -f documents-0a1b2c3d4e",
    _takes_logs,
    _leaving(_logs),
)
STOP = Verb(
    "stop",
    "end a job; what is committed stays",
    "gristmill stop documents-0a1b2c3d4e",
    _takes_stop,
    _leaving(_stop),
)
WAIT = Verb(
    "wait",
    "wait until a job has ended, and end with its exit code",
    "gristmill wait documents-0a1b2c3d4e --timeout 3600",
    _takes_wait,
    _leaving(_wait),
)
