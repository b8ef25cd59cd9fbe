"""SQL: ranges of keys, on real SQLite files and a real PostgreSQL server."""

import datetime as dt
import decimal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.errors import UsageError
from pipelines.sources.databases.ranges import Range, cut, gaps, ranges_of
from pipelines.sources.sql import Sql
from pipelines.units import Unit
from tests.nights import Nights
from tests.postgres import Server, running
from tests.source_cases import read_all, rows_of, whole


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


Run = Callable[..., Any]


class Shop:
    """A database and the statements run in it."""

    def __init__(self, url: str, run: Run) -> None:
        self.url = url
        self.run = run

    def source(self, **options: Any) -> Sql:
        return Sql(**{"url": self.url, "table": "orders", "key": "id", **options})

    def add(self, *keys: Any) -> None:
        values = ", ".join(f"({key!r}, 't{key}')" for key in keys)
        self.run(f"INSERT INTO orders (id, text) VALUES {values}")


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Shop("sqlite:///shop.db", lambda *said: _run_sqlite(tmp_path / "shop.db", said))
    return postgres_shop(request.getfixturevalue("server"), request.node.name)


def postgres_shop(server: Server, name: str) -> Shop:
    database = "".join(letter if letter.isalnum() else "_" for letter in name.lower())[-60:]
    server.run("postgres", f'CREATE DATABASE "{database}"')
    return Shop(server.url(database), lambda *said: server.run(database, *said))


def _run_sqlite(path: Path, statements: tuple[str, ...]) -> Any:
    with sqlite3.connect(path) as there:
        for statement in statements:
            found = there.execute(statement).fetchall()
    there.close()
    return found


def orders(shop: Shop, kind: str = "bigint") -> Shop:
    shop.run(f"CREATE TABLE orders (id {kind} PRIMARY KEY, text text)")
    return shop


def answers(files):
    return lambda: {file.name: {file.version} for file in files}


def names(files) -> list[str]:
    return [file.name for file in files]


def test_gaps_lie_around_what_is_known_and_are_cut_to_their_ends() -> None:
    known = [Range(None, "5"), Range("9", "12")]
    assert list(gaps(known)) == [Range("5", "9"), Range("12", None)]
    assert list(gaps([])) == [Range(None, None)]
    assert cut(Range("5", "9"), ["6", "8"]) == [Range("5", "6"), Range("6", "9")]
    assert cut(Range("12", None), ["20", "31"]) == [Range("12", "20"), Range("20", "31")]
    assert cut(Range("5", "9"), []) == []


@pytest.mark.parametrize("value", ["-5", "", ".", "..", "a..b", '""', "%2E", "1.5e-07", "é/ü=\n"])
def test_a_name_says_its_bounds_whatever_they_are(value: str) -> None:
    for place in (Range(None, value), Range(value, "z"), Range("a", value)):
        assert ranges_of([place.name("t/k")], "t/k") == [place]


def test_new_rows_get_ranges_after_those_that_are_answered(shop: Shop, tmp_path: Path) -> None:
    orders(shop).add(-(2**60), 1, 2, 3, 2**60)
    source = shop.source(range_rows=2)
    old = source.files(tmp_path)
    assert sorted(file.size for file in old) == [1, 2, 2]
    shop.add(2**61, 2**61 + 1, 2**62)
    listed = source.files(tmp_path, answers(old))
    assert set(old) < set(listed)
    assert sum(file.size for file in listed) == 8
    assert {f"t{key}" for key in (2**61, 2**62)} < set(
        read_all(source, tmp_path)["text"].to_pylist()
    )


def test_every_row_is_read_once_and_in_order_whatever_is_answered(shop, tmp_path) -> None:
    orders(shop).add(*range(0, 100, 3))
    source = shop.source(range_rows=7)
    first = source.files(tmp_path)
    for some in (first, first[1:3], first[-1:], first[:1], []):
        shop.add(max(row[0] for row in shop.run("SELECT max(id) FROM orders")) + 1)
        files = source.files(tmp_path, answers(some))
        assert set(names(some)) <= set(names(files))
        read = source.read(whole(source, files), pa.schema([("id", pa.int64())]))
        found = read.table["id"].to_pylist()
        assert read.skipped == [] and len(found) == len(set(found))
        assert sorted(found) == [row[0] for row in shop.run("SELECT id FROM orders ORDER BY id")]


def test_a_range_whose_rows_come_go_or_move_has_changed(shop: Shop, tmp_path: Path) -> None:
    orders(shop).add(1, 2, 4, 9)
    source = shop.source()
    (old,) = source.files(tmp_path)
    unit, columns = whole(source, [old]), source.columns_of([old])
    for change in (
        "INSERT INTO orders VALUES (3, 'late')",
        "UPDATE orders SET id = 5 WHERE id = 4",
        "DELETE FROM orders WHERE id = 1",
        "DELETE FROM orders",
    ):
        before = source.files(tmp_path, answers([old]))[0].version
        shop.run(change)
        after = source.files(tmp_path, answers([old]))[0]
        assert after.name == old.name and after.version != before
        assert [skipped.why for skipped in source.read(unit, columns).skipped] == ["changed"]


def test_text_keys_are_ranged_by_their_bytes(shop: Shop, tmp_path: Path) -> None:
    keys = ["", "B", "a", "a..b", "b%", "z/1", "Ä", "ß"]
    orders(shop, "text").add(*keys)
    source = shop.source(range_rows=2)
    files = source.files(tmp_path)
    assert len(files) == 4
    assert source.files(tmp_path, answers(files)) == files
    read = source.read(whole(source, source.files(tmp_path, answers(files[:2]))),
                       pa.schema([("id", pa.string())]))  # fmt: skip
    assert sorted(read.table["id"].to_pylist()) == sorted(keys)


def test_an_updated_row_moves_to_a_new_range_of_its_cursor(shop: Shop, tmp_path: Path) -> None:
    shop.run("CREATE TABLE orders (id text PRIMARY KEY, text text, v bigint NOT NULL)")
    shop.run("INSERT INTO orders VALUES ('x', 'a', 1), ('b', 'b', 1), ('c', 'c', 2)")
    source = shop.source(cursor="v", range_rows=1)
    old = source.files(tmp_path)
    assert names(old) == ["orders/v=..1", "orders/v=1..2"]
    shop.run("UPDATE orders SET v = 3, text = 'new' WHERE id = 'b'")
    listed = source.files(tmp_path, answers(old))
    assert names(listed) == [*names(old), "orders/v=2..3"]
    assert [new.version == was.version for new, was in zip(listed, old, strict=False)] == [
        False,
        True,
    ]
    text = pa.schema([("text", pa.string())])
    assert source.read(whole(source, listed), text).table["text"].to_pylist() == ["a", "c", "new"]


def test_a_lag_in_numbers_leaves_the_last_ones(shop: Shop, tmp_path: Path) -> None:
    orders(shop).add(1, 5, 9, 10)
    assert names(shop.source(lag=2).files(tmp_path)) == ["orders/id=..5"]


def test_what_cannot_be_a_source_is_refused_with_what_is_there(shop, tmp_path) -> None:
    orders(shop).add(1)
    shop.run("CREATE TABLE twice (id bigint, maybe bigint)")
    shop.run("INSERT INTO twice VALUES (1, 1), (1, NULL)")
    for said, options in {
        r"no table 'order' .did you mean 'orders'.*\n  tables there: orders, twice": {
            "table": "order"
        },
        r"no column 'ids', the key .did you mean 'id'.*\n  columns there: id, text": {"key": "ids"},
        r"key 'id' of table 'twice' is not unique": {"table": "twice"},
        r"column 'maybe' of table 'twice' is null in some rows": {"table": "twice", "key": "maybe"},
        r"lag needs a number or a time": {"key": "text", "lag": 1},
    }.items():
        with pytest.raises(UsageError, match=said):
            shop.source(**options).files(tmp_path)


def test_names_and_values_are_never_taken_for_sql(shop: Shop, tmp_path: Path) -> None:
    shop.run('CREATE TABLE "a""; DROP TABLE b; --" ("k""y" text PRIMARY KEY, "te xt%s" text)')
    shop.run("""INSERT INTO "a""; DROP TABLE b; --" VALUES ('''; x', 'one'), ('%s {0}', 'two')""")
    source = shop.source(table='a"; DROP TABLE b; --', key='k"y', range_rows=1)
    files = source.files(tmp_path)
    again = source.files(tmp_path, answers(files))
    assert len(files) == 2 and again == files
    read = source.read(whole(source, again), pa.schema([("te xt%s", pa.string())]))
    assert sorted(read.table["te xt%s"].to_pylist()) == ["one", "two"]


def test_a_view_with_a_unique_column_is_a_table(shop: Shop, tmp_path: Path) -> None:
    orders(shop).add(1, 2, 3)
    shop.run("CREATE VIEW odd AS SELECT id, text FROM orders WHERE id <> 2")
    assert read_all(shop.source(table="odd"), tmp_path)["text"].to_pylist() == ["t1", "t3"]


def test_nights_answer_new_late_updated_and_deleted_rows_once(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders(shop).add(*range(10, 20))
    nights = Nights(tmp_path, monkeypatch)
    nights.file["source"] = {
        "kind": "sql", "url": shop.url, "table": "orders", "key": "id", "range_rows": 4,
    }  # fmt: skip
    nights.run(limit=5)
    nights.run()
    assert sorted(nights.data().values()) == sorted(f"t{n}" for n in range(10, 20))
    parts = set(nights.parts())
    shop.add(30, 31)
    nights.run()
    assert parts < set(nights.parts())
    shop.add(5)
    shop.run("DELETE FROM orders WHERE id IN (15, 30, 31)")
    with pytest.raises(UsageError, match="changed since they were answered"):
        nights.run()
    nights.file["on_change"] = "reprocess"
    nights.run()
    there = {text for (text,) in shop.run("SELECT text FROM orders")}
    assert sorted(nights.data().values()) == sorted(there)
    assert nights.run().status is None


def test_rows_that_are_written_meanwhile_are_read_now_or_next_time(shop, tmp_path) -> None:
    orders(shop).add(0)
    stop, key = threading.Event(), pa.schema([("id", pa.int64())])

    def write() -> None:
        for first in range(1, 2000, 20):
            if not stop.is_set():
                shop.run(*(f"INSERT INTO orders VALUES ({first + n}, 't')" for n in range(20)))

    writer = threading.Thread(target=write)
    writer.start()
    done: dict[str, set[str]] = {}
    source = shop.source(range_rows=50)

    def night() -> list[int]:
        files = [file for file in source.files(tmp_path, lambda: done) if file.name not in done]
        read = source.read(Unit(tuple(source.extent(f).span(0, f.size) for f in files)), key)
        assert read.skipped == []
        done.update({file.name: {file.version} for file in files})
        return read.table["id"].to_pylist()

    try:
        found = [row for _ in range(8) for row in night()]
    finally:
        stop.set()
        writer.join()
    found += night()
    assert sorted(found) == [row[0] for row in shop.run("SELECT id FROM orders ORDER BY id")]


def test_a_commit_that_comes_late_changes_its_range_and_is_not_lost(server, tmp_path) -> None:
    import psycopg

    shop = orders(postgres_shop(server, "late"))
    with psycopg.connect(shop.url) as slow:
        slow.execute("INSERT INTO orders VALUES (5, 'late')")
        shop.add(6)
        (old,) = shop.source().files(tmp_path)
        slow.commit()
    assert shop.source().files(tmp_path, answers([old]))[0].version != old.version


def test_postgres_types_carry_over_exactly(server: Server, tmp_path: Path) -> None:
    shop = postgres_shop(server, "types")
    shop.run(
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE DOMAIN price AS numeric(9, 2)",
        "CREATE TABLE orders (id uuid PRIMARY KEY, s smallint, i int, f real, d double precision, "
        "n numeric(20, 3), free numeric, p price, t varchar(9), raw bytea, ok boolean, day date, "
        "at timestamp, atz timestamptz, clock time, j jsonb, m mood, net inet, "
        "ints int[], words text[])",
        "INSERT INTO orders VALUES ('00000000-0000-0000-0000-000000000001', 1, -2, 0.1, 0.1, 1.5, "
        "123456789012345678901234567890.5, 2.50, 'é', '\\x00ff', true, '2026-02-03', "
        "'2026-02-03 04:05:06.789', '2026-02-03 04:05:06+09', '01:02:03', '{\"a\": 1}', 'fine', "
        "'10.0.0.1', '{1,NULL,3}', '{\"a,b\",\"\"}')",
        "INSERT INTO orders (id) VALUES ('00000000-0000-0000-0000-000000000002')",
        "INSERT INTO orders (id, at) VALUES ('00000000-0000-0000-0000-000000000003', 'infinity')",
        "INSERT INTO orders (id, n) VALUES ('00000000-0000-0000-0000-000000000004', 'NaN')",
        "INSERT INTO orders (id, ints) VALUES "
        "('00000000-0000-0000-0000-000000000005', '{{1,2},{3,4}}')",
    )
    found = read_all(shop.source(), tmp_path, 2)
    assert {f.name: str(f.type) for f in found.schema if not f.name.startswith("_")} == {
        "id": "string", "s": "int16", "i": "int32", "f": "float", "d": "double",
        "n": "decimal128(20, 3)", "free": "string", "p": "decimal128(9, 2)", "t": "string",
        "raw": "binary", "ok": "bool", "day": "date32[day]", "at": "timestamp[us]",
        "atz": "timestamp[us, tz=UTC]", "clock": "time64[us]", "j": "string", "m": "string",
        "net": "string", "ints": "list<item: int32>", "words": "list<item: string>",
    }  # fmt: skip
    first, second, *bad = found.to_pylist()
    del first["_source"], first["_row"], first["_reject"]
    assert first == {
        "id": "00000000-0000-0000-0000-000000000001", "s": 1, "i": -2,
        "f": pytest.approx(0.1, rel=1e-7), "d": 0.1, "n": decimal.Decimal("1.500"),
        "free": "123456789012345678901234567890.5", "p": decimal.Decimal("2.50"), "t": "é",
        "raw": b"\0\xff", "ok": True, "day": dt.date(2026, 2, 3),
        "at": dt.datetime(2026, 2, 3, 4, 5, 6, 789000),
        "atz": dt.datetime(2026, 2, 2, 19, 5, 6, tzinfo=dt.UTC), "clock": dt.time(1, 2, 3),
        "j": '{"a": 1}', "m": "fine", "net": "10.0.0.1/32", "ints": [1, None, 3],
        "words": ["a,b", ""],
    }  # fmt: skip
    assert {v for k, v in second.items() if k not in ("_source", "_row", "id")} == {None}
    assert [row["_reject"]["reason"] for row in bad] == ["wrong_type"] * 3
    assert "infinity" in bad[0]["_reject"]["message"]


def test_a_lag_in_seconds_leaves_the_newest(server: Server, tmp_path: Path) -> None:
    shop = postgres_shop(server, "seconds")
    shop.run(
        "CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), at timestamptz)",
        "INSERT INTO orders (at) VALUES (now() - interval '1 hour'), (now())",
    )
    (file,) = shop.source(cursor="at", lag=60).files(tmp_path)
    assert file.size == 1
    assert sum(f.size for f in shop.source(cursor="at").files(tmp_path)) == 2


def test_a_server_that_is_not_there_or_says_no_is_told_without_the_password(
    server: Server, tmp_path: Path
) -> None:
    server.run("postgres", "CREATE ROLE clerk LOGIN PASSWORD 'right'")
    for url, said in {
        f"postgresql://clerk:wrong@127.0.0.1:{server.port}/postgres": "authentication failed",
        "postgresql://clerk:wrong@127.0.0.1:1/postgres": "onnection refused|failed",
        f"{server.url('postgres')}&passwrd=wrong": "passwrd",
        "mysql://clerk:wrong@host/db": "names no database that is read here",
    }.items():
        with pytest.raises(UsageError, match=said) as caught:
            Sql(url=url, table="t", key="k").files(tmp_path)
        assert "wrong" not in str(caught.value)
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:clerk:right\n")
    passwords.chmod(0o600)
    url = f"postgresql://clerk@127.0.0.1:{server.port}/postgres?passfile={passwords}"
    with pytest.raises(UsageError, match="no table 't'"):
        Sql(url=url, table="t", key="k").files(tmp_path)


def test_sqlite_values_that_do_not_fit_their_column_cost_their_row(tmp_path: Path) -> None:
    shop = Shop("sqlite:///shop.db", lambda *said: _run_sqlite(tmp_path / "shop.db", said))
    shop.run(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, n INT, t VARCHAR(9), b BLOB, f REAL, "
        "ok BOOLEAN, price DECIMAL(9,2), day DATE)",
        "INSERT INTO orders VALUES (1, 1, 'a', x'00', 1, 1, 1.5, '2026-01-01')",
        "INSERT INTO orders VALUES (2, 'many', 'a', x'00', 1.5, 0, '12.50', NULL)",
        "INSERT INTO orders VALUES (3, 1, CAST(x'ff' AS TEXT), NULL, NULL, NULL, NULL, NULL)",
    )
    assert [row[2:] for row in rows_of(read_all(shop.source(), tmp_path))] == [
        (1, 1, "a", b"\0", 1.0, True, "1.5", "2026-01-01", None),
        (*[None] * 8, "wrong_type"),
        (*[None] * 8, "wrong_type"),
    ]
    with pytest.raises(UsageError, match=r"shop.dbb is not there .did you mean 'shop.db'"):
        shop.source(url="sqlite:///shop.dbb").files(tmp_path)
