"""Verbs on clusters and machines: cluster check, doctor."""

import argparse
from pathlib import Path

from jobs.verbs.verb import Group, Verb, cache_folder, print_json, takes_json


def _takes_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("cluster.yaml"),
        metavar="FILE",
        help="a file for Ray's cluster launcher (cluster.yaml)",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")
    takes_json(parser)


def _check(args: argparse.Namespace) -> int:
    from jobs.clusters.check import check, print_check

    report = check(args.file)
    print_json(report) if args.json else print_check(report)
    return 1 if args.strict and report["warnings"] else 0


def _doctor(args: argparse.Namespace) -> int:
    from jobs.doctor import examine, print_findings

    findings = examine(cache_folder())
    if args.json:
        print_json([finding.as_dict() for finding in findings])
    else:
        print_findings(findings)
    return 1 if any(finding.state == "bad" for finding in findings) else 0


CLUSTER = Group(
    "cluster",
    "check a file for Ray's cluster launcher",
    (
        Verb(
            "check",
            "check a cluster file without a network, and warn of what is careless",
            "gristmill cluster check cluster.yaml",
            _takes_cluster,
            _check,
        ),
    ),
)
DOCTOR = Verb(
    "doctor",
    "look this machine over: versions, devices, room, tokens, the hub",
    "gristmill doctor",
    takes_json,
    _doctor,
)
