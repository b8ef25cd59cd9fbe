"""Speakers by example: a folder with a file, or a sub-folder of files, for each."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.errors import RowRejected, StageFailed
from actors.models.folder import files_of
from actors.speakers.voiceprint import Vector, mean_of


class Enrolment:
    """The known speakers: names, and their voices, (speakers, size), in the same order."""

    def __init__(self, folder: Path, voice_of: Callable[[bytes], Vector]) -> None:
        files = speakers_in(folder)
        self.names = list(files)
        self.voices: NDArray[np.float32] = np.stack(
            [mean_of([_voice(path, voice_of) for path in paths]) for paths in files.values()]
        )

    def similarities(self, voice: Vector) -> NDArray[np.float32]:
        """Return the cosine of a voice with each speaker's."""
        return self.voices @ voice


def speakers_in(folder: Path) -> dict[str, list[Path]]:
    """Return each speaker's files: anna.wav, and all below anna/, are of anna."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files_of(folder):
        first = path.relative_to(folder).parts[0]
        found[path.stem if path.parent == folder else first].append(path)
    return dict(sorted(found.items()))


def _voice(path: Path, voice_of: Callable[[bytes], Vector]) -> Vector:
    """Return the voice in a file. Raises StageFailed that names it."""
    try:
        return voice_of(path.read_bytes())
    except RowRejected as error:
        raise StageFailed(
            f"the enrolment's recording {path} cannot be used: {error}\n"
            f"  an enrolment folder holds recordings alone: NAME.wav, or NAME/ANY.wav"
        ) from None
