"""The recipes for pictures, pages and videos run on a real Ray as their files say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.stage import ModelFiles
from tests.recipes import answers, go, listed
from tests.tiny import comparing, films, telling, video
from tests.world import World

pytestmark = pytest.mark.ray

Build = Callable[..., ModelFiles]


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a new folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_video_catalogue_says_what_happens_and_shows_a_cover(
    world: World, tiny: Build, cache: Path
) -> None:
    whole = films.film(45, seed=1)
    fill(
        world.path / "videos",
        {"a.mp4": whole, "b.webm": films.film(12, "webm", "libvpx-vp9"), "cut.mp4": whole[:2000]},
    )
    models = {0: tiny(video.videomae), 2: tiny(telling.blip), 3: tiny(comparing.siglip)}
    outcome = go(world, cache, "video-catalogue", {n: files.folder for n, files in models.items()})
    columns, rows = answers(world)
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 2, 1)
    assert world.rejects("stage", "reason") == {("cut.mp4", 0): ("source", "truncated_video")}
    assert columns == {
        "_source": "string",
        "_row": "int64",
        "path": "string",
        "video_seconds": "double",
        "video_width": "int32",
        "video_height": "int32",
        "action": "string",
        "action_score": "float",
        "clips": listed("start: float, end: float, label: string, score: float"),
        "cover_time": "float",
        "caption": "string",
        "caption_score": "float",
        "cover_vector": "list<element: float>",
    }
    for row, seconds in zip(rows, (1.5, 0.4), strict=True):
        assert None not in row.values()
        assert row["video_seconds"] == pytest.approx(seconds, abs=0.05)
        assert {row["action"], *(clip["label"] for clip in row["clips"])} <= set(video.ACTIONS)
        assert 0 <= row["cover_time"] <= row["clips"][-1]["end"] <= row["video_seconds"] + 1e-3
        assert len(row["cover_vector"]) == 32
    assert rows[0]["cover_vector"] != rows[1]["cover_vector"]
