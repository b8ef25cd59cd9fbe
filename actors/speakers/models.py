"""The kinds of models that know voices, by their config.json, and how each is loaded.

Asked by `plan`, so torch is imported only where a model is loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.architecture import architectures, config_in, is_made_for, why_not
from actors.errors import StageFailed
from actors.stage import Device, ModelFiles

if TYPE_CHECKING:
    from actors.speakers.detector import Detector
    from actors.speakers.voiceprint import WindowVoiceprint

SILERO, SILERO_CLASS = "silero_vad", "SileroForVoiceActivity"
RESEMBLYZER, RESEMBLYZER_CLASS = "resemblyzer", "ResemblyzerForVoiceprint"
FRAMES = "ForAudioFrameClassification"
XVECTOR = "ForXVector"

ACTIVITY = "embedded:silero-vad"
"""The embedded model that finds speech; small enough to be the default in any profile."""


def finds_speech(config: Mapping[str, Any]) -> bool:
    """Say whether a model tells when somebody speaks."""
    return is_made_for(config, SILERO_CLASS, FRAMES)


def knows_voices(config: Mapping[str, Any]) -> bool:
    """Say whether a model turns a voice into a vector."""
    return is_made_for(config, RESEMBLYZER_CLASS, XVECTOR)


def tells_turns(config: Mapping[str, Any]) -> bool:
    """Say whether a model tells several speakers' activity frame by frame."""
    return is_made_for(config, FRAMES)


def why_no_voiceprint(task: str, config: Mapping[str, Any]) -> str | None:
    """Return why a model cannot compare voices, or None."""
    if knows_voices(config):
        return None
    return why_not(task, "a ...ForXVector model or embedded:resemblyzer", config)


def load_detector(folder: Path, device: Device, label: str | None = None) -> "Detector":
    """Load a model that finds speech. Raises StageFailed for any other.

    `label` names the label of a frame classifier that means speech; None: any of them.
    """
    config = config_in(folder)
    if not finds_speech(config):
        raise StageFailed(why_not("finding speech", f"{SILERO_CLASS} or ...{FRAMES}", config))
    if tells_turns(config):
        from actors.speakers.frames import FrameDetector

        return FrameDetector(folder, device, label)
    from actors.speakers.silero import SileroDetector

    return SileroDetector(folder, device)


def load_voiceprint(folder: Path, device: Device) -> "WindowVoiceprint":
    """Load a model that turns voices into vectors. Raises StageFailed for any other."""
    config = config_in(folder)
    if RESEMBLYZER_CLASS in architectures(config):
        from actors.speakers.resemblyzer import Resemblyzer

        return Resemblyzer(folder, device)
    problem = why_no_voiceprint("comparing voices", config)
    if problem:
        raise StageFailed(problem)
    from actors.speakers.xvector import XVector

    return XVector(folder, device)


def load_activity(files: ModelFiles, device: Device) -> "Detector":
    """Load the model that a task's option `activity` names."""
    return load_detector(files.others["activity"], device)
