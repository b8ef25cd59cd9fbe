"""The verb that renders a pipeline for other schedulers: render."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from jobs.verbs.verb import Verb, duration, positive, print_json, say, some_time, takes_json, whole


def _takes_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a pipeline file (YAML)")
    parser.add_argument(
        "--to", required=True, metavar="TARGET", help="rayjob, cronjob, raycronjob or systemd"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="write files; else print")
    when = parser.add_argument_group("when")
    when.add_argument("--cron", metavar="EXPR", help='such as "0 2 * * *"')
    when.add_argument("--tz", default="UTC", metavar="ZONE", help="IANA time zone (UTC)")
    when.add_argument("--overlap", choices=("skip", "buffer", "allow"), default="skip")
    when.add_argument("--catch-up", choices=("latest", "all", "none"), default="latest")
    when.add_argument("--time-limit", type=some_time, metavar="2h")
    when.add_argument("--retries", type=whole, metavar="N")
    when.add_argument("--jitter", type=duration, default=0.0, metavar="5m")
    where = parser.add_argument_group("where")
    where.add_argument("--image", default="", metavar="IMAGE", help="with gristmill installed")
    where.add_argument("--namespace", default="default", metavar="NAME")
    where.add_argument("--claim", metavar="CLAIM:/PATH", help="a volume claim to mount")
    where.add_argument("--secret", metavar="NAME", help="a Secret whose keys become variables")
    where.add_argument("--cpus", type=positive, default=4, metavar="N", help="of each pod (4)")
    where.add_argument("--memory", default="16Gi", metavar="SIZE", help="of each pod (16Gi)")
    where.add_argument("--gpus", type=whole, default=0, metavar="N", help="of each GPU pod")
    where.add_argument("--workers", type=positive, default=4, metavar="N", help="pods a group (4)")
    takes_json(parser)


def _render(args: argparse.Namespace) -> int:
    from dataclasses import asdict, fields

    from jobs.manifests.kubernetes import render
    from jobs.manifests.wishes import Wishes
    from pipelines.file import load

    wishes = Wishes(**{field.name: getattr(args, field.name) for field in fields(Wishes)})
    rendered = render(load(args.file), args.file, args.to, wishes)
    for warning in rendered.warnings:
        say(f"warning: {warning}")
    if args.out:
        _write(args.out, rendered.files)
    if args.json:
        print_json(asdict(rendered))
    elif not args.out:
        alone = len(rendered.files) == 1
        print(
            "\n".join((text if alone else f"# {n}\n{text}") for n, text in rendered.files.items())
        )
    return 0


def _write(folder: Path, files: Mapping[str, str]) -> None:
    from actors.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
            say(f"wrote {folder / name}")
    except OSError as error:
        raise UsageError(
            f"-o {folder}: cannot be written: {error.strerror}.\n  name a folder, new or there"
        ) from None


RENDER = Verb(
    "render",
    "write a pipeline as a manifest for KubeRay, Kubernetes or systemd",
    'gristmill render documents.yaml --to systemd --cron "0 2 * * *" --tz Asia/Seoul -o units/',
    _takes_render,
    _render,
)
