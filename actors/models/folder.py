"""A model in a folder: what it must hold, and what identifies its content."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from actors.errors import UsageError, nearest

# Formats that run code when they are opened, and what to look for instead.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
WEIGHTS = (".safetensors", ".skops")
SPACY = ("config.cfg", "meta.json")
# What tells of a model: a pipeline of diffusers (which may have a part's config.json beside it),
# transformers' own, and GLiNER's.
PIPELINE = "model_index.json"
CONFIGS = (PIPELINE, "config.json", "gliner_config.json")
# What the tokenizers of transformers are saved as: all in one file, or a vocabulary of their own.
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")

# Files up to this size are hashed whole; of longer ones, the size and this many blocks spread
# evenly from the first byte to the last. Training moves every tensor, so a changed model shows;
# a hand-made edit of a few bytes in a file of gigabytes may not.
WHOLE = 64 << 20
BLOCKS = 64
BLOCK = 1 << 20


def locate(name: str, base: Path, weights: bool = True) -> Path:
    """Return the absolute folder that `name` means, relative to `base`.

    Raises UsageError when it is missing, holds no model, or only weights in pickles; where no
    `weights` are needed, when it holds no tokenizer.
    """
    folder = (base / Path(name).expanduser()).resolve()
    if not folder.is_dir():
        raise UsageError(_missing(name, folder))
    if not weights and not has_tokenizer(folder):
        raise UsageError(_no_tokenizer(name, folder))
    if weights and not _is_model(folder):
        raise UsageError(_not_a_model(name, folder))
    return folder


def locate_files(name: str, base: Path) -> Path:
    """Return the absolute folder of files that `name` means, relative to `base`.

    Raises UsageError when it is missing or holds no file.
    """
    folder = (base / Path(name).expanduser()).resolve()
    if not folder.is_dir():
        raise UsageError(_missing(name, folder, "folder"))
    if next(files_of(folder), None) is None:
        raise UsageError(f"folder '{name}': {folder} holds no file")
    return folder


def content_hash(folder: Path) -> str:
    """Return what identifies the files of a folder: their names, sizes and content."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files_of(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        for block in _blocks(path, size):
            digest.update(block)
    return f"blake2:{digest.hexdigest()}"


def has_weights(folder: Path) -> bool:
    """Say whether a folder holds weights in a format that runs no code."""
    return any(path.suffix in WEIGHTS for path in files_of(folder))


def has_tokenizer(folder: Path) -> bool:
    """Say whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZERS)


def _is_model(folder: Path) -> bool:
    spacy = all((folder / name).is_file() for name in SPACY)
    told = any((folder / name).is_file() for name in CONFIGS)
    return spacy or (told and has_weights(folder))


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder in a fixed order, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    if size <= WHOLE:
        yield path.read_bytes()
        return
    with path.open("rb") as file:
        for index in range(BLOCKS):
            file.seek((size - BLOCK) * index // (BLOCKS - 1))
            yield file.read(BLOCK)


def _missing(name: str, folder: Path, what: str = "model") -> str:
    parent = folder.parent
    beside = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    return (
        f"{what} '{name}': there is no folder {folder}{nearest(folder.name, beside)}\n"
        f"  folders in {parent}: {_some(beside)}\n"
        f"  a path is relative to the pipeline file"
    )


def _not_a_model(name: str, folder: Path) -> str:
    held = [path.relative_to(folder).as_posix() for path in files_of(folder)]
    pickles = [file for file in held if file.endswith(PICKLES)]
    if pickles and not has_weights(folder):
        return (
            f"model '{name}': {folder} has its weights only in pickles ({_some(pickles)}), "
            f"which run code when they are opened, so they are refused.\n"
            f"  convert them once, where you trust them, with the model's class in transformers:\n"
            f"  CLASS.from_pretrained(FOLDER).save_pretrained(NEW)"
        )
    return (
        f"model '{name}': {folder} holds no model.\n"
        f"  expected: config.json and *.safetensors (transformers), model_index.json and "
        f"folders of *.safetensors (diffusers), config.cfg and meta.json "
        f"(spaCy), or config.json and model.skops (gristmill train)\n"
        f"  files there: {_some(held)}"
    )


def _no_tokenizer(name: str, folder: Path) -> str:
    held = [path.relative_to(folder).as_posix() for path in files_of(folder)]
    return (
        f"model '{name}': {folder} holds no tokenizer.\n"
        f"  expected one of: {', '.join(TOKENIZERS)}\n"
        f"  files there: {_some(held)}"
    )


def _some(names: list[str], limit: int = 8) -> str:
    """Return a list in words, cut when it is long."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"
