"""One model, pinned: what the driver resolves, the output records and a worker fetches.

A name says where its model comes from:

    org/name         the Hugging Face hub; pinned by commit
    embedded:NAME    a Python package; pinned by version and hash
    ./folder         a folder on disk, relative to the pipeline file; pinned by its content
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.errors import StageFailed, UsageError
from actors.models.embedded import PREFIX, embedded, prepare, prepared
from actors.models.folder import CONFIGS, content_hash, locate, locate_files

LOCAL = ("./", "../", "/", "~")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model at one revision. `name` is as it was written; `folder` is set for source "local".

    Without `weights` only the small files are wanted: tokenizer, vocabulary, configuration.
    """

    name: str
    source: Literal["hub", "embedded", "local"]
    revision: str
    licence: str | None = None
    folder: Path | None = None
    weights: bool = True


def resolve(
    name: str, revision: str | None, base: Path, instead: str | None = None, weights: bool = True
) -> ModelRef:
    """Pin a model: on the driver, in seconds, without downloading weights.

    `revision` is a hub revision, or for the other sources the revision that must be found;
    `base` is the folder of the pipeline file; `instead` is the embedded model to name when the
    hub cannot be reached; `weights` tells whether any are needed. Raises UsageError.
    """
    if name.startswith(PREFIX):
        model = embedded(name.removeprefix(PREFIX))
        _check_pinned(name, revision, model.revision)
        return ModelRef(name, "embedded", model.revision, model.licence, weights=weights)
    if name.startswith(LOCAL) or name in (".", ".."):
        folder = locate(name, base, weights)
        found = content_hash(folder)
        _check_pinned(name, revision, found)
        return ModelRef(name, "local", found, folder=folder, weights=weights)
    from actors.models import hub  # half a second of imports that other sources do not need

    commit, licence = hub.pin(name, revision, instead, weights)
    return ModelRef(name, "hub", commit, licence, weights=weights)


def resolve_files(name: str, base: Path) -> ModelRef:
    """Pin a local folder of files by its content; `base` is the folder of the pipeline file.

    Raises UsageError when it is missing or empty.
    """
    folder = locate_files(name, base)
    return ModelRef(name, "local", content_hash(folder), folder=folder)


def fetch(ref: ModelRef, cache: Path) -> Path:
    """Return the model's folder on this machine, fetching it when needed: on a worker.

    `cache` holds embedded models; hub models lie in the hub's own cache. Raises StageFailed.
    """
    if ref.source == "embedded":
        model = embedded(ref.name.removeprefix(PREFIX))
        _check_same(ref, model.revision)
        return prepare(model.name, cache)
    if ref.folder is not None:
        return _local(ref, ref.folder)
    from actors.models import hub

    return hub.folder(ref.name, ref.revision, ref.weights)


def config_of(ref: ModelRef, cache: Path, instead: str | None = None) -> Mapping[str, Any] | None:
    """Return the model's config.json (spaCy's meta.json, GLiNER's own) without its weights.

    None when there is neither, or when an embedded model is not prepared yet. Raises UsageError
    when the hub cannot be reached.
    """
    path = _config_path(ref, cache, instead)
    if path is None or not path.is_file():
        return None
    try:
        config: Mapping[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"model '{ref.name}': {path} is not JSON: {error}") from None
    return config


def _config_path(ref: ModelRef, cache: Path, instead: str | None) -> Path | None:
    if ref.source == "hub":
        from actors.models import hub

        return hub.config_file(ref.name, ref.revision, instead)
    folder = ref.folder
    if ref.source == "embedded":
        folder = prepared(embedded(ref.name.removeprefix(PREFIX)), cache)
    if folder is None:
        return None
    names = ("meta.json", *CONFIGS)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _check_pinned(name: str, asked: str | None, found: str) -> None:
    if asked is not None and asked != found:
        raise UsageError(
            f"model '{name}' is not at the revision that the pipeline asks for.\n"
            f"  asked:  {asked}\n"
            f"  found:  {found}\n"
            f"  to take what is there, leave  revision  out"
        )


def _check_same(ref: ModelRef, found: str) -> None:
    if ref.revision != found:
        raise StageFailed(
            f"model '{ref.name}' on this machine is not the one that was planned.\n"
            f"  planned: {ref.revision}\n"
            f"  here:    {found}\n"
            f"  use one version of gristmill, and one content of a model's folder, everywhere"
        )


def _local(ref: ModelRef, folder: Path) -> Path:
    if not folder.is_dir():
        raise StageFailed(
            f"model '{ref.name}': this machine has no folder {folder}; "
            f"put it on a disk that all machines share, under the same path"
        )
    _check_same(ref, content_hash(folder))
    return folder
