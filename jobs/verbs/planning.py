"""The verb plan: what a pipeline file comes to, and, when it is calibrated, how long it takes."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.verbs.verb import Verb, positive, prepared, print_json, takes_file

if TYPE_CHECKING:
    from jobs.planning.calibrate import Place


def _takes_plan(parser: argparse.ArgumentParser) -> None:
    takes_file(parser)
    parser.add_argument(
        "--calibrate",
        type=positive,
        metavar="N",
        help="run N rows through the stages, without committing any, and say what a run takes",
    )
    where = parser.add_argument_group("machines to plan for (left out: this one)")
    where.add_argument("--address", metavar="ADDR", help="a running Ray cluster, or auto")
    where.add_argument("--cluster", type=Path, metavar="FILE", help="those of a cluster file")
    where.add_argument("--cpus", type=_amount, metavar="C", help="CPUs of each machine")
    where.add_argument("--gpus", type=_amount, metavar="G", help="GPUs of each machine")
    where.add_argument(
        "--memory", type=_amount, metavar="GIB", help="memory of each that actors may have"
    )
    where.add_argument("--nodes", type=positive, metavar="M", help="how many machines (1)")


def _amount(text: str) -> float:
    """Read a number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"should be a number, 0 or more (got {text!r})")
    return number


def _plan(args: argparse.Namespace) -> int:
    from jobs.planning.calibrate import Place, calibrated
    from jobs.planning.estimate import print_calibration
    from jobs.planning.plan import look, plan_report, print_plan

    place = _place(args)
    ready = prepared(args)
    seen = look(ready)
    report = plan_report(ready, seen)
    if args.calibrate or place is not None:
        report["calibration"] = calibrated(ready, seen, args.calibrate, place or Place(), _say)
    if args.json:
        print_json(report)
        return 0
    print_plan(report)
    if "calibration" in report:
        print_calibration(report["calibration"])
    return 0


def _place(args: argparse.Namespace) -> "Place | None":
    """The machines that are meant; None where none is named. Raises UsageError."""
    from actors.errors import UsageError
    from jobs.clusters.capacity import meant, of_cluster
    from jobs.planning.calibrate import Place

    sized = {n: v for n in ("cpus", "gpus", "nodes") if (v := getattr(args, n)) is not None}
    ways = [f"--{n}" for n in ("address", "cluster") if getattr(args, n)] + [
        *map("--{}".format, sized)
    ][:1]
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)}: the machines are said twice.\n  give one of them")
    if args.address:
        return Place(address=args.address)
    if args.cluster:
        return Place(machines=of_cluster(args.cluster, args.memory))
    if not sized and args.memory is None:
        return None
    if not args.cpus:
        raise UsageError("say how many CPUs each machine has:  --cpus 16")
    return Place(machines=meant(args.cpus, args.gpus or 0.0, args.memory, args.nodes or 1))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


PLAN = Verb(
    "plan",
    "check a pipeline file without loading a model; --calibrate measures it",
    "gristmill plan documents.yaml --calibrate 100",
    _takes_plan,
    _plan,
)
