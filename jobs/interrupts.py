"""Ctrl-C while libraries are imported and start: some catch all that is raised, and it is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Raise KeyboardInterrupt when the block is told to end; at its end if it was lost inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def end(number: int, _: Any) -> NoReturn:
        asked.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
