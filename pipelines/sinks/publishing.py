"""Keeps a table up to date while a run goes on."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from actors.errors import RunFailed
from pipelines.ledger import read_counting
from pipelines.sinks.base import Sink
from pipelines.store import Store

PUBLISH_SECONDS = 30.0
"""Least time between two publishes: about a unit's work, so that a table is hardly behind, and an
hour adds 120 versions to its log."""

PUBLISH_SHARE = 20
"""A publish may take a 20th of the time: with 10,000 parts it takes seconds."""

_log = logging.getLogger(__name__)


@contextmanager
def publishing(sink: Sink, store: Store, columns: pa.Schema, run: str) -> Iterator[None]:
    """Publish what is committed, from a thread, until the block ends.

    A publish that fails waits for the next one; the last one, when the run is done, is not ours.
    """
    if not sink.is_table:
        yield
        return
    stop = threading.Event()

    def look() -> None:
        pause = 0.0
        while not stop.wait(pause):
            start = time.monotonic()
            try:
                sink.publish(store, read_counting(store), columns, run, settled=False)
            except RunFailed as error:
                _log.warning("the table is behind: %s", error)
            pause = max(PUBLISH_SECONDS, PUBLISH_SHARE * (time.monotonic() - start))

    thread = threading.Thread(target=look, daemon=True, name="publish")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
