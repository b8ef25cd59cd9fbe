"""Tells a pipeline's webhook of a fire that failed for good, also one whose run was killed."""

import threading
from datetime import UTC, datetime
from pathlib import Path

from actors.errors import UsageError
from jobs.schedules.schedule import Fire
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import timed
from jobs.telling.webhook import tell


def tell_failed(schedules: Schedules, fire: Fire) -> threading.Thread | None:
    """POST in a thread, so that no schedule waits for a webhook; None if nobody is to be told."""
    from pipelines.file import load

    schedule = schedules.find(fire.schedule)
    if schedule is None:
        return None
    try:
        settings = [timed(setting, schedule, fire.fire_time) for setting in schedule.settings]
        pipeline = load(Path(schedule.folder, schedule.file), settings)
    except UsageError:
        return None  # the fire's own error says what is wrong with the file
    if pipeline.notify is None or "failed" not in pipeline.notify.events:
        return None
    body = {
        "pipeline": pipeline.name,
        "event": "failed",
        "schedule": fire.schedule,
        "fire": datetime.fromtimestamp(fire.fire_time, UTC).isoformat(),
        "state": fire.state,
        "exit_code": fire.exit_code,
        "attempts": fire.attempts,
        "message": fire.reason,
    }
    # Not a daemon: a scheduler that ends waits for what it has to say, 20 seconds at most.
    thread = threading.Thread(target=tell, args=(pipeline.notify, body), name="webhook")
    thread.start()
    return thread
