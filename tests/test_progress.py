"""What a run says of itself where there is no terminal: never nothing."""

from pathlib import Path

import pytest

from actors.worker import Report
from jobs.progress import Progress, print_summary
from jobs.run import Outcome
from pipelines.dispatch import Dispatcher, Status, Work
from tests.world import World

STAGES = ("stage 1 (ocr)", "stage 2 (ner)")


def test_until_the_first_unit_is_through_a_stage_it_is_said_what_a_run_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jobs.progress.LINE_SECONDS", 0.0)
    world = World(tmp_path)
    world.lines("a.jsonl", ["x"])
    plan = world.prepare().plan
    pools = dict.fromkeys(STAGES, 1)
    dispatcher = Dispatcher(plan.pipeline.source, plan.read, Work(()), pools, {})
    progress = Progress()

    def said() -> str:
        progress(plan, dispatcher.status())
        return capsys.readouterr().err

    assert said().startswith("loading stage 1 (ocr), stage 2 (ner), 0 min")
    dispatcher.step_ready(STAGES[1])
    assert said().startswith("loading stage 1 (ocr), 0 min")
    dispatcher.step_ready(STAGES[0])
    assert said().startswith("all is loaded; answering the first rows, 0 min")
    dispatcher.step_done(STAGES[0], Report(rows=1))
    assert said().startswith("0 rows written")


def test_why_a_file_was_not_answered_stands_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = "JSON parse error: Missing a closing quotation mark in string. in row 0"
    status = Status(left_out={"a-folder/with-a-long-name/texts.jsonl": why})
    print_summary(Outcome("r", "out", 1.0, 0, 0, status, 1.0))
    said = f"not answered: a-folder/with-a-long-name/texts.jsonl: {why}\n"
    assert said in capsys.readouterr().err
