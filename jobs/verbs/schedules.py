"""Verbs on schedules: add, list, remove, pause, resume, trigger, backfill, history, run."""

import argparse
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.plain import plain
from jobs.verbs.verb import (
    Group,
    Takes,
    Verb,
    duration,
    positive,
    print_json,
    say,
    some_time,
    takes_file,
    takes_json,
    whole,
)

if TYPE_CHECKING:
    from jobs.schedules.schedule import Fire, Schedule
    from jobs.schedules.store import Schedules

INTERRUPTED = 130

ALIKE = """
warning: no --set of the schedule has {fire:...}, so each of these fires answers the same: whatever
  is new. For a day each, add it with, for example:  --set 'source.path=in/{fire:%Y-%m-%d}/'"""
"""What a backfill of such a schedule is told."""

CORES_A_RUN = 2
"""A run starts a Ray of its own, which wants two cores at least."""


def _home() -> Path:
    """Where schedules are kept: $GRISTMILL_HOME, or ~/.local/share/gristmill."""
    return Path(os.environ.get("GRISTMILL_HOME") or Path.home() / ".local/share/gristmill")


def _make_home() -> None:
    """Make the folder of schedules and of what their runs print, for nobody else to read."""
    from actors.errors import RunFailed

    try:
        _home().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailed(f"{_home()}: schedules cannot be kept here: {error.strerror}") from None


def _takes_db(parser: argparse.ArgumentParser) -> None:
    takes_json(parser)
    _takes_db_alone(parser)


def _takes_db_alone(parser: argparse.ArgumentParser) -> None:
    where = "the file of schedules ($GRISTMILL_HOME/schedules.db)"
    parser.add_argument("--db", type=Path, metavar="FILE", help=where)


def _takes_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a schedule")
    _takes_db(parser)


def _takes_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what to call it")
    takes_file(parser)
    _takes_db_alone(parser)
    parser.add_argument("--cron", required=True, metavar="EXPR", help="'0 2 * * *', @daily")
    parser.add_argument("--tz", default="UTC", metavar="ZONE", help="Asia/Seoul (UTC)")
    parser.add_argument("--submit", metavar="ADDRESS", help="run on this cluster, not here")
    parser.add_argument(
        "--overlap",
        choices=("skip", "buffer", "allow"),
        default="skip",
        help="a fire while an earlier one runs: is skipped (default); one waits; runs beside it",
    )
    parser.add_argument(
        "--catch-up",
        choices=("latest", "all", "none"),
        default="latest",
        help="which fires run that came while no scheduler ran (latest)",
    )
    parser.add_argument(
        "--jitter", type=duration, default=0.0, metavar="5m", help="start up to so much later"
    )
    parser.add_argument(
        "--time-limit", type=some_time, metavar="2h", help="end a run that takes longer"
    )
    parser.add_argument("--retries", type=whole, default=3, metavar="N", help="on failure (3)")
    parser.add_argument(
        "--backoff", type=duration, default=60.0, metavar="1m", help="before the first; doubles"
    )
    parser.add_argument("--pause-after", type=positive, metavar="N", help="failures in a row")


def _takes_backfill(parser: argparse.ArgumentParser) -> None:
    _takes_name(parser)
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help="2026-01-31")
    parser.add_argument(
        "--to", dest="stop", required=True, metavar="TIME", help="up to this; a day is taken whole"
    )


def _takes_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a schedule; all if left out")
    parser.add_argument("--last", type=positive, default=20, metavar="N", help="fires shown (20)")
    _takes_db(parser)


def _takes_run(parser: argparse.ArgumentParser) -> None:
    most = max(1, (os.cpu_count() or 1) // CORES_A_RUN)
    parser.add_argument("--once", action="store_true", help="run what is due now, then end")
    parser.add_argument(
        "--at-once", type=positive, default=most, metavar="N", help=f"ticks at a time ({most})"
    )
    _takes_db(parser)


def _schedules(args: argparse.Namespace) -> "Schedules":
    from jobs.schedules.store import Schedules

    if args.db is None:
        _make_home()
    return Schedules((args.db or _home() / "schedules.db").absolute())


def _now() -> float:
    from jobs.schedules.clock import WallClock

    return WallClock().now()


def _wanted(args: argparse.Namespace) -> "Schedule":
    """The schedule that the arguments of `add` describe. Raises UsageError."""
    from jobs.schedules.schedule import Schedule

    return Schedule(
        name=args.name,
        file=str(args.file.absolute()),
        folder=str(Path.cwd()),
        cron=args.cron,
        zone=args.tz,
        settings=tuple(args.set),
        address=args.submit,
        overlap=args.overlap,
        catch_up=args.catch_up,
        jitter=args.jitter,
        time_limit=args.time_limit,
        retries=args.retries,
        backoff=args.backoff,
        pause_after=args.pause_after,
    )


def _say(args: argparse.Namespace, said: str, result: Any) -> int:
    say(said)
    if args.json:
        print_json(result)
    return 0


def _add(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import add
    from jobs.schedules.show import listed

    wanted = _wanted(args)
    schedules = _schedules(args)
    add(schedules, wanted, _now())
    (shown,) = (each for each in listed(schedules) if each["name"] == args.name)
    said = f"{args.name}: first at {shown['next_fire']}, as long as a scheduler runs:"
    return _say(args, f"{said}\n  gristmill schedule run", shown)


def _list(args: argparse.Namespace) -> int:
    from jobs.schedules.show import listed, print_schedules

    found = listed(_schedules(args))
    print_json(found) if args.json else print_schedules(found)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import remove

    remove(_schedules(args), args.name, _now())
    return _say(args, f"{args.name}: removed; its history stays", {"removed": args.name})


def _pause(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import pause

    pause(_schedules(args), args.name, _now())
    return _say(args, f"{args.name}: paused; what runs goes on", {"paused": args.name})


def _resume(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import resume

    resume(_schedules(args), args.name, _now())
    return _say(args, f"{args.name}: fires again", {"resumed": args.name})


def _trigger(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import trigger

    fire = trigger(_schedules(args), args.name, _now())
    said = f"{args.name}: runs as soon as a scheduler looks:  gristmill schedule run"
    return _say(args, said, {"schedule": args.name, "fire_time": fire.fire_time})


def _backfill(args: argparse.Namespace) -> int:
    from jobs.schedules.manage import backfill

    schedules = _schedules(args)
    count = backfill(schedules, args.name, (args.start, args.stop), _now())
    fires = "fire" if count == 1 else "fires"
    said = f"{args.name}: {count:,} {fires} of the past will run, one after the other"
    if count and not any("{fire:" in setting for setting in schedules.get(args.name).settings):
        said += ALIKE
    return _say(args, said, {"schedule": args.name, "fires": count})


def _history(args: argparse.Namespace) -> int:
    from jobs.schedules.show import history, print_history

    found = history(_schedules(args), args.name, args.last)
    print_json(found) if args.json else print_history(found)
    return 0


def _run(args: argparse.Namespace) -> int:
    from jobs.schedules.loop import Loop
    from jobs.schedules.settle import has_failed
    from jobs.schedules.telling import tell_failed

    schedules = _schedules(args)
    failed: dict[tuple[str, int], bool] = {}

    def heard(fire: "Fire") -> None:
        failed[fire.schedule, fire.fire_time] = has_failed(fire)
        _print_event(schedules, fire, args.json)

    def notify(fire: "Fire") -> None:
        tell_failed(schedules, fire)

    loop = Loop(schedules, args.at_once, heard, notify)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.drain())
    if not args.once:
        count = len(schedules.all())
        say(f"{count} schedule{'' if count == 1 else 's'} of {schedules.path}; Ctrl-C ends")
        loop.run()
        return INTERRUPTED if loop.interrupted else 0
    loop.once()
    return INTERRUPTED if loop.interrupted else int(any(failed.values()))


def _print_event(schedules: "Schedules", fire: "Fire", as_json: bool) -> None:
    import json
    from datetime import UTC

    from jobs.schedules import cron, show

    schedule = schedules.find(fire.schedule)
    zone = cron.zone(schedule.zone) if schedule else UTC
    event = show.described(fire, zone, schedules.logs)
    print(json.dumps(event, ensure_ascii=False) if as_json else plain(show.line(event)), flush=True)


def _verb(name: str, help: str, example: str, takes: Takes, does: Any) -> Verb:
    return Verb(name, help, f"gristmill schedule {name}{example}", takes, does)


NIGHTLY = " nightly documents.yaml --cron '0 2 * * *' --tz Asia/Seoul --time-limit 4h"

SCHEDULE = Group(
    "schedule",
    "run pipelines by the clock: each tick answers what is new",
    (
        _verb("add", "add a schedule", NIGHTLY, _takes_add, _add),
        _verb("list", "schedules, their next fires and last results", "", _takes_db, _list),
        _verb("remove", "forget a schedule; its history stays", " nightly", _takes_name, _remove),
        _verb("pause", "skip fires until resumed", " nightly", _takes_name, _pause),
        _verb("resume", "fire again", " nightly", _takes_name, _resume),
        _verb("trigger", "run now, once", " nightly", _takes_name, _trigger),
        _verb(
            "backfill",
            "run fires of the past that did not run",
            " nightly --from 2026-01-01 --to 2026-01-31",
            _takes_backfill,
            _backfill,
        ),
        _verb("history", "what became of each fire", " nightly", _takes_history, _history),
        _verb("run", "the scheduler: run ticks when they are due", "", _takes_run, _run),
    ),
)
