"""`gristmill cluster check`: what is wrong with a cluster file, and what a careful operator would
change, told without a network."""

import contextlib
import copy
import logging
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from actors.errors import UsageError, nearest
from pipelines.file import files_in, page

PROVIDERS = ("aws", "gcp", "azure", "local", "aliyun", "vsphere", "kuberay", "external")
"""What Ray's launcher knows; the check was tried with the first four."""

OPEN_HOSTS = ("0.0.0.0", "::", "[::]")
"""Addresses on which every network of the machine listens."""

FLOATING = ("latest", "nightly")
"""Image tags that are another image tomorrow; also as the beginning of a longer tag."""


@dataclass(frozen=True, slots=True)
class Warned:
    """What a careful operator would change: where, what is so, and what to write."""

    code: str
    where: str
    said: str
    do: str


def check(path: Path) -> dict[str, Any]:
    """Check a cluster file against Ray's own schema, and look it through. Raises UsageError."""
    config = read_cluster(path)
    warned = [warning for look in LOOKS for warning in look(config)]
    return {
        "file": str(path),
        "cluster": config.get("cluster_name", "default"),
        "provider": config["provider"]["type"],
        "groups": [_group(name, group) for name, group in groups(config).items()],
        "max_workers": config.get("max_workers"),
        "warnings": [asdict(warning) for warning in warned],
    }


def read_cluster(path: Path) -> dict[str, Any]:
    """A cluster file that Ray's own schema allows, as it is written. Raises UsageError."""
    config = _read(path)
    _validate(config, path.name)
    return config


def groups(config: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of machines that work: all node types but the head's."""
    types = config.get("available_node_types") or {}
    return {name: node for name, node in types.items() if name != config.get("head_node_type")}


def _group(name: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "group": name,
        "resources": group.get("resources") or {},
        "min": group.get("min_workers", 0),
        "max": group.get("max_workers"),
    }


def _read(path: Path) -> dict[str, Any]:
    """The YAML of a cluster file; anchors are allowed, as Ray's own examples use them."""
    try:
        data = yaml.safe_load(page(path, "cluster file"))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such file{files_in(path.parent, path, 'YAML files')}\n"
            "  give the cluster's file:  gristmill cluster check FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    provider = data.get("provider") if isinstance(data, dict) else None
    kind = provider.get("type") if isinstance(provider, dict) else None
    if kind is None:
        raise UsageError(
            f"{path.name}: no cluster file: it does not say its provider.\n"
            f"  add:  provider: {{type: aws, region: us-west-2}}    types: {', '.join(PROVIDERS)}"
        )
    if kind not in PROVIDERS:
        raise UsageError(
            f"{path.name}, provider: there is no type {kind!r}{nearest(str(kind), PROVIDERS)}.\n"
            f"  types: {', '.join(PROVIDERS)}"
        )
    found: dict[str, Any] = data
    return found


def _validate(config: dict[str, Any], name: str) -> None:
    """Let Ray's launcher fill in its defaults and check the result. Raises UsageError."""
    import jsonschema
    from ray.autoscaler._private.cli_logger import cli_logger
    from ray.autoscaler._private.util import prepare_config, validate_config

    cli_logger.configure(log_style="record", verbosity=0)
    try:
        with _quiet():
            validate_config(prepare_config(copy.deepcopy(config)))
    except jsonschema.ValidationError as error:
        raise UsageError(f"{name}{_explain(error)}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        # Ray's own checks: which machines add up to more than max_workers, a head that is no group.
        said = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{name}: Ray's launcher refuses it: {said}") from None
    for group, node in groups(config).items():
        least, most = node.get("min_workers", 0), node.get("max_workers", config.get("max_workers"))
        if most is not None and least > most:
            raise UsageError(
                f"{name}, available_node_types, {group}: min_workers is {least}, more than "
                f"max_workers, {most}."
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray logs of the defaults that it fills in from before our own words."""
    logger = logging.getLogger("ray.autoscaler")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _explain(error: Any) -> str:
    """Where the schema is broken, and the nearest right key."""
    where = "".join(f", {part}" for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        said = f"unknown key '{unknown[0]}'{nearest(unknown[0], known)}"
        return f"{where}: {said}.\n  keys here: {', '.join(sorted(known))}"
    return f"{where}: {error.message}"


# what a careful operator looks at -------------------------------------------------------------


def _commands(config: Mapping[str, Any], which: str) -> list[list[str]]:
    """The `ray start` commands of the head or the workers, in words."""
    said = config.get(f"{which}_start_ray_commands") or []
    return [shlex.split(line, comments=True) for line in said if "ray start" in line]


def _flag(words: list[str], name: str) -> str | None:
    """The value of a flag, written as --name=value or --name value."""
    for number, word in enumerate(words):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and number + 1 < len(words):
            return words[number + 1]
    return None


def _open_dashboard(config: Mapping[str, Any]) -> Iterator[Warned]:
    for words in _commands(config, "head"):
        if _flag(words, "--dashboard-host") in OPEN_HOSTS:
            yield Warned(
                "open_dashboard",
                "head_start_ray_commands",
                "the dashboard listens on every network; it can start jobs",
                "--dashboard-host=127.0.0.1, and reach it with  ray dashboard FILE",
            )


def _no_token(config: Mapping[str, Any]) -> Iterator[Warned]:
    docker = config.get("docker") or {}
    everywhere = [docker.get(key) or [] for key in ("run_options", "head_run_options")]
    said = yaml.safe_dump([*everywhere, config.get("head_start_ray_commands")])
    workers = yaml.safe_dump([everywhere[0], config.get("worker_start_ray_commands")])
    if "RAY_AUTH_MODE=token" not in said or "RAY_AUTH_MODE=token" not in workers:
        yield Warned(
            "no_token",
            "docker, run_options",
            "processes are not told to ask for a token; who reaches a port can run code",
            "run_options: [--env RAY_AUTH_MODE=token], or  RAY_AUTH_MODE=token ray start ...  "
            "on the head and on the workers",
        )


def _token_file(config: Mapping[str, Any]) -> Iterator[Warned]:
    mounts = config.get("file_mounts") or {}
    found = [Path(str(here)).expanduser() for there, here in mounts.items() if "token" in there]
    for path in found:
        if not path.is_file():
            yield Warned(
                "token_missing",
                "file_mounts",
                f"there is no token file {path}",
                f"umask 077; mkdir -p {path.parent}; openssl rand -hex 32 > {path}",
            )
        elif path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(path.stat().st_mode)
            yield Warned(
                "token_readable",
                "file_mounts",
                f"others on this machine can read the token file {path} (mode {mode:o})",
                f"chmod 600 {path}",
            )


def _working_head(config: Mapping[str, Any]) -> Iterator[Warned]:
    types = config.get("available_node_types") or {}
    head = types.get(config.get("head_node_type")) or {}
    by_flag = any(_flag(words, "--num-cpus") == "0" for words in _commands(config, "head"))
    if (head.get("resources") or {}).get("CPU") != 0 and not by_flag:
        yield Warned(
            "head_works",
            f"available_node_types, {config.get('head_node_type', 'head')}",
            "the head takes work; a model that fills its memory takes the cluster with it",
            "resources: {CPU: 0}, or  ray start --head --num-cpus=0",
        )


def _unpinned_image(config: Mapping[str, Any]) -> Iterator[Warned]:
    docker = config.get("docker") or {}
    for key in ("image", "head_image", "worker_image"):
        image = docker.get(key)
        if not image:
            continue
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if "@sha256:" not in image and (not tag or tag.startswith(FLOATING)):
            yield Warned(
                "unpinned_image",
                f"docker, {key}",
                f"{image} is another image tomorrow",
                f"an exact version, as  rayproject/ray:{version('ray')}-py311-gpu",
            )
        found = re.match(r"(\d+\.\d+\.\d+)", tag)
        if found and "rayproject/ray" in image and found[1] != version("ray"):
            yield Warned(
                "other_ray",
                f"docker, {key}",
                f"the image has Ray {found[1]}, and this installation {version('ray')}",
                "the same version on both sides: Ray refuses to mix them",
            )


def _unsaid_resources(config: Mapping[str, Any]) -> Iterator[Warned]:
    for name, group in groups(config).items():
        if not group.get("resources"):
            yield Warned(
                "resources_unsaid",
                f"available_node_types, {name}",
                "it does not say its resources, so no machine can be asked for before one is there",
                "resources: {CPU: 16}",
            )
        if group.get("min_workers"):
            yield Warned(
                "always_on",
                f"available_node_types, {name}",
                f"{group['min_workers']} of its machines are never given back",
                "min_workers: 0, unless something must start at once",
            )


def _starving(config: Mapping[str, Any]) -> Iterator[Warned]:
    most = [group.get("max_workers") for group in groups(config).values()]
    if most and None not in most and sum(most) > config.get("max_workers", 0):
        yield Warned(
            "group_starves",
            "max_workers",
            f"the groups may have {sum(most)} machines, and all together "
            f"{config.get('max_workers', 0)}: one group can keep another from growing",
            f"max_workers: {sum(most)}",
        )


LOOKS: tuple[Callable[[Mapping[str, Any]], Iterator[Warned]], ...] = (
    _open_dashboard,
    _no_token,
    _token_file,
    _working_head,
    _unpinned_image,
    _unsaid_resources,
    _starving,
)


def print_check(report: Mapping[str, Any]) -> None:
    """The report for people."""
    from jobs.terminal import Terminal

    console = Terminal(soft_wrap=True)
    console.print(
        f"{report['file']}: a cluster that Ray can launch: {report['cluster']} "
        f"({report['provider']})"
    )
    for group in report["groups"]:
        has = ", ".join(f"{name} {n}" for name, n in group["resources"].items()) or "not said"
        console.print(f"  {group['group']}: {group['min']} to {group['max']} machines of {has}")
    for warning in report["warnings"]:
        console.print(f"warning: {warning['where']}: {warning['said']}\n  better:  {warning['do']}")
