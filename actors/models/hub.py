"""Models on the Hugging Face hub, in the cache that all its tools share on this machine."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub import try_to_load_from_cache as cached_file
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from actors.errors import StageFailed, UsageError
from actors.models.folder import (
    CONFIGS,
    PICKLES,
    PIPELINE,
    WEIGHTS,
    has_tokenizer,
    has_weights,
)

NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")

# seconds; a hub that answers does so in well under one
PATIENCE = 10.0

# Pickles and code, which must not run; other frameworks' weights, which would only cost time.
LEFT_OUT = [
    *(f"*{suffix}" for suffix in PICKLES),
    *("*.py", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot", "*.tflite", "*.gguf"),
    *("*.mlmodel", "onnx/*", "openvino/*", "coreml/*", "original/*", "consolidated*.safetensors"),
]

# The large files, which a task that reads the tokenizer alone does not need.
WITHOUT_WEIGHTS = [*LEFT_OUT, *(f"*{suffix}" for suffix in WEIGHTS)]

# Of a pipeline of diffusers: what its parts share, and parts that lie beside model_index.json under
# the names that diffusers and transformers save them as. Other weights there are whole copies for
# other programs, as in FLUX.1-schnell.
SHARED = ["*.json", "*.txt", "*.model", "diffusion_pytorch_model*", "model*.safetensors"]
# Parts once more in another precision.
VARIANTS = [f"*.{kind}{end}" for kind in ("fp16", "bf16", "non_ema") for end in (".*", "-*")]

Unreachable = (httpx2.HTTPError, OSError)
"""What is raised when the hub does not answer, refuses, or is switched off."""


def pin(
    name: str, revision: str | None, instead: str | None, weights: bool = True
) -> tuple[str, str | None]:
    """Return the commit and the licence (if stated) of a model, without downloading it.

    A commit is taken as it is. When the hub cannot be reached, the commit of the copy in the
    local cache is taken. `instead` is the embedded model that an error names. Refuses a model
    without safetensors if `weights` are needed. Raises UsageError.
    """
    if not NAME.fullmatch(name):
        raise UsageError(_not_a_name(name))
    if revision and COMMIT.fullmatch(revision):
        return revision, None
    try:
        info = HfApi().model_info(name, revision=revision, timeout=PATIENCE)
        # Notes the commit in the cache, for plans that are made while the hub is out of reach.
        # Asked second because it waits without a limit for a hub that does not answer.
        commit = HfApi().resolve_revision(name, revision=revision).resolved
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UsageError(_unknown(name, revision, error)) from None
    except Unreachable as error:
        cached = _cached_commit(name, revision, weights)
        if cached is None:
            raise UsageError(_unreachable(name, error, instead)) from None
        return cached, None
    if weights:
        _check_files(name, [file.rfilename for file in info.siblings or []])
    licence = getattr(info.card_data, "license", None)
    return str(commit), str(licence) if licence else None


def folder(name: str, commit: str, weights: bool = True) -> Path:
    """Return the folder of a model at a commit, downloading what is not cached.

    Without `weights` they are left where they are. Raises StageFailed when it cannot be had or has
    no safetensors.
    """
    try:
        told = config_file(name, commit, None)
    except UsageError:  # then nothing can be fetched: what is cached is all there is
        told = None
    try:
        found = Path(snapshot_download(name, revision=commit, **_patterns(told, weights)))
    except Unreachable as error:
        raise StageFailed(f"model '{name}' at {commit} cannot be downloaded: {error}") from None
    if weights and not has_weights(found):
        raise StageFailed(f"model '{name}' at {commit} has no safetensors; pickles are refused")
    return found


def _patterns(told: Path | None, weights: bool) -> dict[str, Any]:
    """Return which files of a model are wanted and which are not; `told` is what tells of it."""
    left_out = LEFT_OUT if weights else WITHOUT_WEIGHTS
    if told is None or told.name != PIPELINE:
        return {"ignore_patterns": left_out}
    parts = [part for part, kind in json.loads(told.read_bytes()).items() if isinstance(kind, list)]
    wanted = [*SHARED, *(f"{part}/*" for part in parts)]
    return {"allow_patterns": wanted, "ignore_patterns": [*left_out, *VARIANTS]}


def config_file(name: str, commit: str, instead: str | None) -> Path | None:
    """Return the file that tells of the model (CONFIGS), or None when it has none. Raises
    UsageError when it is not cached and the hub cannot be reached."""
    for file in CONFIGS:
        cached = cached_file(name, file, revision=commit)
        if isinstance(cached, str):
            return Path(cached)
    try:
        # Asked first because it fails at once; the download tries again for 23 s.
        info = HfApi().model_info(name, revision=commit, timeout=PATIENCE)
        held = {file.rfilename for file in info.siblings or []}
        told = next((file for file in CONFIGS if file in held), None)
        return Path(hf_hub_download(name, told, revision=commit)) if told else None
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UsageError(_unknown(name, commit, error)) from None
    except Unreachable as error:
        raise UsageError(_unreachable(name, error, instead)) from None


def _cached_commit(name: str, revision: str | None, weights: bool) -> str | None:
    """Return the commit of the whole copy in the local cache, if there is one."""
    try:
        commit = HfApi().resolve_revision(name, revision=revision, local_files_only=True).resolved
        cached = cached_file(name, PIPELINE, revision=commit)
        patterns = _patterns(Path(cached) if isinstance(cached, str) else None, weights)
        found = snapshot_download(name, revision=commit, local_files_only=True, **patterns)
    except (RevisionResolutionError, LocalEntryNotFoundError):
        return None
    complete = has_weights if weights else has_tokenizer
    return commit if complete(Path(found)) else None


def _check_files(name: str, files: list[str]) -> None:
    if any(file.endswith(WEIGHTS) for file in files):
        return
    pickles = [file for file in files if file.endswith(PICKLES)]
    held = "has its weights only in pickles" if pickles else "has no weights"
    raise UsageError(
        f"model '{name}' {held}; only safetensors are opened, because pickles run code.\n"
        f"  files there: {', '.join(files[:8]) or 'none'}\n"
        f"  look for a revision with safetensors (often refs/pr/N), or convert it into a folder "
        f"and write  model: ./FOLDER"
    )


def _not_a_name(name: str) -> str:
    return (
        f"'{name}' is not the name of a model.\n"
        f"  write  org/name  (hub),  embedded:NAME  (from a Python package) or  ./folder  (on disk)"
    )


def _unknown(name: str, revision: str | None, error: Any) -> str:
    if isinstance(error, GatedRepoError):
        return (
            f"model '{name}' asks for its terms to be accepted at {constants.ENDPOINT}/{name}\n"
            f"  accept them there, then log in on every machine:  hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"model '{name}' has no revision '{revision}' at {constants.ENDPOINT}/{name}"
    return (
        f"there is no model '{name}' at {constants.ENDPOINT} (or it is private).\n"
        f"  a private one needs a login on every machine:  hf auth login\n"
        f"  a folder on disk is written  ./{name}"
    )


def _unreachable(name: str, error: BaseException, instead: str | None) -> str:
    embedded = (
        "  to use models that come in Python packages:  models: embedded\n"
        f"  or, for this stage alone:  model: {instead}\n"
    )
    return (
        f"model '{name}': the hub cannot be reached ({constants.ENDPOINT}: {error}), "
        f"and this machine's cache ({constants.HF_HUB_CACHE}) does not hold it.\n"
        f"{embedded if instead is not None else ''}"
        f"  to use a folder on disk:  model: ./FOLDER"
    )
