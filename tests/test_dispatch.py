"""Tickets: each number names one, to however many callers; nothing is dealt twice or forgotten."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.errors import SinkFailed, StageFailed
from actors.worker import Report
from pipelines.dispatch import Dispatcher, Place, Work
from pipelines.flow import Committed, Ticket
from pipelines.sources import Jsonl, Parquet
from pipelines.units import Unit


@pytest.fixture
def dispatcher(tmp_path: Path, monkeypatch) -> Dispatcher:
    """Deals 40 rows, four at a time, at most four units under way."""
    monkeypatch.setattr("pipelines.dispatch.DEAL_SECONDS", 0.1)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"a": n}) + "\n" for n in range(40)))
    source = Jsonl(path="a.jsonl")
    files = tuple(source.files(tmp_path))
    return Dispatcher(source, source.offers(files), Work(files), {"stage": 1}, {})


def commit(dispatcher: Dispatcher, ticket: Ticket) -> None:
    dispatcher.committed(Committed(ticket.part, ticket.unit.rows, 0, {}, {}))


def test_a_number_names_one_ticket_however_often_it_is_asked_for(dispatcher: Dispatcher) -> None:
    first = dispatcher.deal(0)
    assert dispatcher.deal(0) == first
    assert dispatcher.deal(1) != first


def test_callers_that_wait_for_the_same_number_get_the_same_ticket(
    dispatcher: Dispatcher,
) -> None:
    """As when a dealing process is killed while it waits, and its successor asks again."""
    dealt = [dispatcher.deal(number).ticket for number in range(4)]
    start = threading.Barrier(9)

    def ask() -> Ticket | None:
        start.wait()
        while (answer := dispatcher.deal(4)).later:
            pass
        return answer.ticket

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        start.wait()
        commit(dispatcher, dealt[0])
        assert len({future.result().part for future in asked}) == 1
    assert dispatcher.status().under_way == 4


def test_no_call_waits_for_long(dispatcher: Dispatcher) -> None:
    for number in range(4):
        assert not dispatcher.deal(number).later
    assert dispatcher.deal(4).later
    assert dispatcher.status().under_way == 4


def test_all_rows_are_dealt_once_and_then_there_is_no_ticket(dispatcher: Dispatcher) -> None:
    rows, number = [], 0
    while (ticket := dispatcher.deal(number).ticket) is not None:
        rows += [row for s in ticket.unit.spans for row in range(s.start, s.stop)]
        commit(dispatcher, ticket)
        commit(dispatcher, ticket)
        number += 1
    assert rows == list(range(40))
    status = dispatcher.status()
    assert (status.rows, status.under_way) == (40, 0)


def test_the_first_error_that_ended_the_work_is_kept(dispatcher: Dispatcher) -> None:
    assert dispatcher.failure() is None
    dispatcher.failed(SinkFailed("no room"))
    dispatcher.failed(StageFailed("later"))
    assert str(dispatcher.failure()) == "no room"


def test_units_grow_with_measured_speed_also_where_the_source_is_compressed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["the same text again"] * 20_000}), tmp_path / "a.parquet")
    source = Parquet(path="a.parquet")
    files = tuple(source.files(tmp_path))
    work = Work(files, bytes=files[0].size)
    dispatcher = Dispatcher(source, source.offers(files), work, {"stage": 1}, {})
    sizes = []
    while (ticket := dispatcher.deal(len(sizes)).ticket) is not None:
        sizes.append(ticket.unit.rows)
        dispatcher.step_done("stage", Report(rows=ticket.unit.rows, wall=ticket.unit.rows * 0.01))
        commit(dispatcher, ticket)
    assert sizes[:4] == [4, 64, 1024, 3000]
    assert sum(sizes) == 20_000
    assert len(sizes) < 40
    assert dispatcher.status().bytes == pytest.approx(files[0].size, rel=0.1)


def test_progress_is_told_without_the_files_that_were_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    source = Jsonl(path="a.jsonl")
    files = tuple(source.files(tmp_path))
    schema = source.offers(files)
    (tmp_path / "a.jsonl").unlink()
    dispatcher = Dispatcher(source, schema, Work(files), {"stage": 1}, {})
    assert dispatcher.deal(0).ticket is None
    assert dispatcher.status(whole=False).left_out == {}
    assert set(dispatcher.status().left_out) == {"a.jsonl"}


def test_the_machines_that_answered_are_counted_and_new_actors_widen_what_may_be_under_way(
    dispatcher: Dispatcher,
) -> None:
    number = 0
    while not dispatcher.deal(number).later:
        number += 1
    assert number == 4
    for node, actor in (("a", "1"), ("a", "2"), ("b", "3")):
        dispatcher.step_done("stage", Report(rows=1, wall=1.0), Place(node, actor))
    assert dispatcher.status().steps["stage"].nodes == {"a": 2, "b": 1}
    while not dispatcher.deal(number).later:
        number += 1
    assert number == 8


def test_a_limit_bounds_retries_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' * 9)
    source = Jsonl(path="a.jsonl")
    files = tuple(source.files(tmp_path))
    extent = source.extent(files[0])
    retries = tuple(Ticket(Unit((extent.span(n, n + 1),)), f"u{n}", 1) for n in range(9))
    work = Work((), 0, {}, retries)
    dispatcher = Dispatcher(source, source.offers(files), work, {"stage": 9}, {}, limit=2)
    assert [dispatcher.deal(n).ticket is not None for n in range(3)] == [True, True, False]
