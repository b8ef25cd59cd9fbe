"""Delta: a table's files are the source's files; what is rewritten is not answered again."""

import datetime as dt
import decimal
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.errors import SourceFailed, UsageError
from pipelines.sources import Skipped
from pipelines.sources.delta import Delta
from tests.source_cases import read_all, whole

deltalake = pytest.importorskip("deltalake", reason="the extra `delta` is not installed")


def write(path: Path, rows: dict, **options) -> deltalake.DeltaTable:
    deltalake.write_deltalake(path, pa.table(rows), mode="append", **options)
    return deltalake.DeltaTable(path)


def names(files) -> set[str]:
    return {file.name for file in files}


def answers(files):
    """An output that answers these files whole."""
    return lambda: {file.name: {file.version} for file in files}


def texts(source: Delta, base: Path) -> list[str]:
    return sorted(read_all(source, base)["text"].to_pylist())


def test_a_tables_rows_are_read_in_exact_types_with_its_partitions(tmp_path):
    rich = pa.table(
        {
            "text": ["a", "b", "c", "d"],
            "day": [dt.date(2026, 1, n) for n in (1, 1, 2, 2)],
            "shop": pa.array([1, 1, None, 2], pa.int32()),
            "at": pa.array([dt.datetime(2026, 1, 1, 5)] * 4, pa.timestamp("us", "UTC")),
            "name": ["x/y z", "x/y z", "é%2F", None],
            "paid": [True, True, False, None],
            "price": pa.array([decimal.Decimal(n) / 100 for n in range(4)], pa.decimal128(9, 2)),
            "tags": [["x"], [], None, ["y", "z"]],
        }
    )
    by = ["day", "shop", "at", "name", "paid"]
    deltalake.write_deltalake(tmp_path / "t", rich, partition_by=by)
    found = read_all(Delta(path="t"), tmp_path, 1).drop_columns(["_source", "_row", "_reject"])
    assert {f.name: f.type for f in found.schema} == {f.name: f.type for f in rich.schema}
    assert sorted(found.select(rich.column_names).to_pylist(), key=lambda r: r["text"]) == (
        rich.to_pylist()
    )


def test_appended_files_are_new_work_and_orphans_are_not(tmp_path):
    table = write(tmp_path / "t", {"text": ["a"]})
    source = Delta(path="t")
    (first,) = source.files(tmp_path)
    pq.write_table(pa.table({"text": ["orphan"]}), tmp_path / "t" / "part-orphan.parquet")
    write(tmp_path / "t", {"text": ["b"]})
    both = source.files(tmp_path)
    assert first in both and len(both) == 2
    assert source.files(tmp_path, answers([first])) == both
    assert texts(source, tmp_path) == ["a", "b"]
    assert texts(Delta(path="t", version=table.version()), tmp_path) == ["a"]


def test_a_column_that_came_later_is_null_in_older_files(tmp_path):
    write(tmp_path / "t", {"text": ["a"]})
    write(tmp_path / "t", {"text": ["b"], "more": [1]}, schema_mode="merge")
    found = read_all(Delta(path="t"), tmp_path).to_pylist()
    assert sorted((row["text"], row["more"]) for row in found) == [("a", None), ("b", 1)]


def test_compacted_files_stay_answered_under_their_old_names(tmp_path):
    source = Delta(path="t")
    for text in "ab":
        write(tmp_path / "t", {"text": [text], "p": [1]}, partition_by=["p"])
    old = source.files(tmp_path)
    table = write(tmp_path / "t", {"text": ["c"], "p": [2]}, partition_by=["p"])
    table.optimize.compact()
    write(tmp_path / "t", {"text": ["d"], "p": [1]}, partition_by=["p"])
    listed = source.files(tmp_path, answers(old))
    assert set(old) <= set(listed) and len(listed) == 4
    deltalake.DeltaTable(tmp_path / "t").optimize.compact()
    assert source.files(tmp_path, answers(listed)) == listed
    assert len(source.files(tmp_path)) == 2


def test_what_a_compacted_file_had_left_is_read_from_it(tmp_path):
    source = Delta(path="t")
    write(tmp_path / "t", {"text": ["a"], "p": ["x"]}, partition_by=["p"])
    old = source.files(tmp_path)
    table = write(tmp_path / "t", {"text": ["b"], "p": ["x"]}, partition_by=["p"])
    waiting = [file for file in source.files(tmp_path) if file not in old]
    table.optimize.compact()
    listed = source.files(tmp_path, answers(old))
    assert names(listed) == names(old + waiting)
    (file,) = (file for file in listed if file not in old)
    read = source.read(whole(source, [file]), source.columns_of(listed))
    assert read.table["text"].to_pylist() == ["b"] and read.table["p"].to_pylist() == ["x"]
    assert read.skipped == []


def test_files_that_were_compacted_before_anything_was_answered_are_new_files(tmp_path):
    for text in "ab":
        table = write(tmp_path / "t", {"text": [text]})
    other = Delta(path="t").files(tmp_path)
    table.optimize.compact()
    (file,) = Delta(path="t").files(tmp_path, lambda: {"elsewhere.parquet": {"1-1"}})
    assert file not in other


def test_an_update_after_a_compaction_brings_back_only_what_it_wrote(tmp_path):
    source = Delta(path="t")
    for text in "ab":
        table = write(tmp_path / "t", {"text": [text]})
    old = source.files(tmp_path)
    table.optimize.compact()
    deltalake.DeltaTable(tmp_path / "t").update(predicate="text = 'a'", updates={"text": "'z'"})
    listed = source.files(tmp_path, answers(old))
    assert names(listed).isdisjoint(names(old))


def test_a_file_that_is_gone_or_cut_short_is_skipped(tmp_path):
    source = Delta(path="t")
    write(tmp_path / "t", {"text": ["a"]})
    (file,) = source.files(tmp_path)
    unit = whole(source, [file])
    columns = source.columns_of([file])
    Path(file.path).write_bytes(b"PAR1")
    assert source.read(unit, columns).skipped == [Skipped(file, "changed")]
    Path(file.path).unlink()
    assert source.read(unit, columns).skipped == [Skipped(file, "vanished")]


def commit(path: Path, *actions: dict) -> None:
    """Put a commit of another writer into a table's log, as the format says."""
    log = path / "_delta_log"
    number = len(list(log.glob("*.json")))
    text = "".join(json.dumps(action) + "\n" for action in actions)
    (log / f"{number:020}.json").write_text(text)


def with_deletions(path: Path) -> None:
    """Delete rows 1 and 3 of the only file by an inline deletion vector."""
    add = json.loads((path / "_delta_log" / f"{0:020}.json").read_text().splitlines()[-1])["add"]
    gone = {k: add[k] for k in ("path", "partitionValues", "size")}
    # A portable 64-bit roaring bitmap of {1, 3}: magic, one bitmap, key 0, one array container.
    bitmap = (
        (1681511377).to_bytes(4, "little")
        + (1).to_bytes(8, "little")
        + (0).to_bytes(4, "little")
        + (12346).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + (0).to_bytes(2, "little")
        + (1).to_bytes(2, "little")
        + (16).to_bytes(4, "little")
        + (1).to_bytes(2, "little")
        + (3).to_bytes(2, "little")
    )
    vector = {
        "storageType": "i", "pathOrInlineDv": z85(bitmap), "sizeInBytes": len(bitmap),
        "cardinality": 2,
    }  # fmt: skip
    commit(
        path,
        {"protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
            "writerFeatures": ["deletionVectors"],
        }},
        {"remove": {**gone, "deletionTimestamp": 1, "dataChange": True}},
        {"add": {**add, "deletionVector": vector, "dataChange": True}},
    )  # fmt: skip


def z85(data: bytes) -> str:
    """Bytes in Z85, padded to whole words."""
    letters = (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    )
    data += b"\0" * (-len(data) % 4)
    words = [int.from_bytes(data[n : n + 4], "big") for n in range(0, len(data), 4)]
    return "".join(letters[word // 85**n % 85] for word in words for n in (4, 3, 2, 1, 0))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_that_a_deletion_vector_deletes_are_not_read(tmp_path, rows):
    write(tmp_path / "t", {"text": list("abcdef")})
    source = Delta(path="t")
    (before,) = source.files(tmp_path)
    with_deletions(tmp_path / "t")
    (after,) = source.files(tmp_path)
    assert after.name == before.name and after.version != before.version
    found = read_all(source, tmp_path, rows)
    assert found["text"].to_pylist() == ["a", "c", "e", "f"]
    assert found["_row"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", ["name", "id"])
def test_a_table_that_needs_more_than_we_read_is_refused_by_that_name(tmp_path, mode):
    write(tmp_path / "t", {"text": ["a"]})
    log = tmp_path / "t" / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    meta = next(a for a in actions if "metaData" in a)
    meta["metaData"]["configuration"] = {"delta.columnMapping.mode": mode}
    schema = json.loads(meta["metaData"]["schemaString"])
    for number, field in enumerate(schema["fields"], 1):
        field["metadata"] = {
            "delta.columnMapping.id": number, "delta.columnMapping.physicalName": field["name"],
        }  # fmt: skip
    meta["metaData"]["schemaString"] = json.dumps(schema)
    commit(tmp_path / "t", {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}, meta)
    with pytest.raises(UsageError, match=rf"not supported: columnMapping \(mode {mode}\)"):
        Delta(path="t").files(tmp_path)


def test_what_is_no_table_is_refused_with_what_is_there(tmp_path):
    write(tmp_path / "lake" / "orders", {"text": ["a"]})
    with pytest.raises(UsageError, match=r"is no Delta table.*\n  tables in it: orders"):
        Delta(path="lake").files(tmp_path)
    with pytest.raises(UsageError, match=r"is not there.*\n.*has: orders .did you mean 'orders'"):
        Delta(path="lake/order").files(tmp_path)
    with pytest.raises(UsageError, match="cannot be opened at version 7"):
        Delta(path="lake/orders", version=7).files(tmp_path)


def test_a_column_that_the_table_lacks_is_refused(tmp_path):
    write(tmp_path / "t", {"text": ["a"]})
    (file,) = Delta(path="t").files(tmp_path)
    with pytest.raises(SourceFailed, match="has no column 'txt'"):
        Delta(path="t").extent(file, pa.schema([("txt", pa.string())]))
