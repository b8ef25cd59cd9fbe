"""Opening a chat model's processor, also where parts of it need packages that are not here."""

import json
from pathlib import Path
from typing import Any

from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    Phi4MultimodalFeatureExtractor,
    Phi4MultimodalProcessor,
)
from transformers.models.auto.processing_auto import processor_class_from_name

from actors.errors import StageFailed


class NoVideos(dict[str, Any]):
    """Stands in place of a processor of videos; SmolVLM's looks these up before it meets any. A
    dictionary, because processors write themselves down as JSON."""

    num_frames = None
    fps = None


def open_processor(folder: Path, backend: str) -> Any:
    """Return the processor of a model's folder, its pictures prepared by `backend`.

    Processors that also take videos open without that part: transformers prepares videos with
    torchvision alone. Phi-4-multimodal's pictures, too, are then prepared here. Raises StageFailed
    for a folder whose processor does not open.
    """
    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True, backend=backend)
    except ImportError as error:
        return _without_torchvision(folder, backend, error)
    except (OSError, ValueError) as error:
        raise StageFailed(f"{folder} has no processor that opens: {error}") from error


def _without_torchvision(folder: Path, backend: str, error: ImportError) -> Any:
    """Return the processor with other parts in place of those that need torchvision."""
    kind = processor_class_from_name(_class_name(folder))
    parts = kind.get_attributes() if kind is not None and backend == "pil" else []
    try:
        if parts == ["image_processor", "tokenizer", "video_processor"]:
            pictures = AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, backend=backend
            )
            found = [pictures, _tokenizer(folder), NoVideos()]
        elif kind is Phi4MultimodalProcessor:
            found = [_phi_pictures(folder), _phi_sound(folder), _tokenizer(folder)]
        else:
            raise error
        settings, _ = kind.get_processor_dict(folder, local_files_only=True)
        processor = _unchecked(kind).from_args_and_dict(found, settings)
    except ImportError as reason:
        raise StageFailed(f"{folder}: the model's processor does not open: {reason}") from reason
    processor.chat_template = processor.chat_template or settings.get("chat_template")
    return processor


def _tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _phi_pictures(folder: Path) -> Any:
    from actors.telling.phi4 import PhiPictures

    return PhiPictures.from_pretrained(folder, local_files_only=True)


def _phi_sound(folder: Path) -> Any:
    return Phi4MultimodalFeatureExtractor.from_pretrained(folder, local_files_only=True)


def _unchecked(kind: Any) -> Any:
    """Return the class without its check that each part is of the class it names."""

    def check(self: Any, name: str, part: Any) -> Any:
        return type(part)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


def _class_name(folder: Path) -> str:
    """Return the processor's class, from whichever file of the folder names it."""
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = folder / name
        found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        if "processor_class" in found:
            return str(found["processor_class"])
    return ""
