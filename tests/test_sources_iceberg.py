"""Iceberg: a snapshot's files are the source's files, read by the table's own columns."""

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from actors.errors import UsageError
from pipelines.sources import Skipped
from pipelines.sources.iceberg import Iceberg
from tests.source_cases import read_all, whole

pytest.importorskip("pyiceberg", reason="the extra `iceberg` is not installed")


class Lake:
    """A catalog in SQLite, and short ways to write the table shop.orders."""

    def __init__(self, path: Path) -> None:
        from pyiceberg.catalog import load_catalog

        self.path = path
        self.properties = {"type": "sql", "uri": f"sqlite:///{path}/catalog.db"}
        self.catalog = load_catalog("default", **self.properties, warehouse=f"file://{path}/w")
        self.catalog.create_namespace("shop")

    def append(self, rows: dict | pa.Table, **options: Any):
        rows = pa.table(rows) if isinstance(rows, dict) else rows
        if not self.catalog.table_exists("shop.orders"):
            self.catalog.create_table("shop.orders", rows.schema, **options)
        self.table.append(rows)
        return self.table

    @property
    def table(self):
        return self.catalog.load_table("shop.orders")

    def source(self, **options: Any) -> Iceberg:
        return Iceberg(catalog=self.properties, table="shop.orders", **options)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def names(files) -> set[str]:
    return {file.name for file in files}


def answers(files):
    return lambda: {file.name: {file.version} for file in files}


def texts(source: Iceberg, base: Path) -> list[str]:
    return sorted(read_all(source, base)["text"].to_pylist())


def test_rows_are_read_in_exact_types(lake, tmp_path):
    rich = pa.table(
        {
            "text": ["a", "", None],
            "n": pa.array([1, None, 3], pa.int32()),
            "price": pa.array([decimal.Decimal("1.10"), None, None], pa.decimal128(9, 2)),
            "at": pa.array([dt.datetime(2026, 1, 1)] * 3, pa.timestamp("us", "UTC")),
            "day": [dt.date(2026, 1, 1)] * 3,
            "raw": [b"\0", b"", None],
            "tags": [["x"], [], None],
            "nested": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
        }
    )
    lake.append(rich)
    for rows in (1, 3):
        found = read_all(lake.source(), tmp_path, rows).select(rich.column_names)
        assert found.to_pylist() == rich.to_pylist()
        kinds = {f.name: f.type for f in found.schema}
        simple = ["text", "n", "price", "at", "day", "raw"]
        assert {name: kinds[name] for name in simple} == {
            name: rich.schema.field(name).type for name in simple
        }


def test_appended_files_are_new_work_and_a_snapshot_can_be_asked_for(lake, tmp_path):
    lake.append({"text": ["a"]})
    (first,) = lake.source().files(tmp_path)
    before = lake.table.current_snapshot().snapshot_id
    lake.append({"text": ["b"]})
    both = lake.source().files(tmp_path, answers([first]))
    assert first in both and len(both) == 2
    assert texts(lake.source(), tmp_path) == ["a", "b"]
    assert texts(lake.source(snapshot=before), tmp_path) == ["a"]
    folder = Iceberg(path=lake.table.location().removeprefix("file://"))
    assert texts(folder, tmp_path) == ["a", "b"]
    assert folder.files(tmp_path) == both


def test_renamed_widened_and_added_columns_are_those_of_the_table(lake, tmp_path):
    from pyiceberg.types import LongType, StringType

    lake.append({"words": ["a"], "n": pa.array([1], pa.int32())})
    with lake.table.update_schema() as change:
        change.rename_column("words", "text")
        change.update_column("n", LongType())
        change.add_column("more", StringType())
    lake.append(pa.table({"text": ["b"], "n": [2**40], "more": ["x"]}))
    found = read_all(lake.source(), tmp_path)
    assert found.schema.field("n").type == pa.int64()
    rows = [(row["text"], row["n"], row["more"]) for row in found.to_pylist()]
    assert sorted(rows) == [("a", 1, None), ("b", 2**40, "x")]
    source, only = lake.source(), pa.schema([("more", pa.string())])
    read = source.read(whole(source, source.files(tmp_path)), only).table
    assert sorted(read["more"].to_pylist(), key=str) == [None, "x"]


def test_files_of_others_get_their_columns_by_name_and_from_their_partition(lake, tmp_path):
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import IntegerType, NestedField, StringType

    schema = Schema(NestedField(1, "text", StringType()), NestedField(2, "p", IntegerType()))
    by = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "p"))
    table = lake.catalog.create_table("shop.orders", schema, partition_spec=by)
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"p": pa.array([7, 7], pa.int32()), "text": ["a", "b"]}), path)
    table.add_files([str(path)])
    found = read_all(lake.source(), tmp_path, 1)
    assert found.select(["text", "p"]).to_pylist() == [
        {"text": "a", "p": 7},
        {"text": "b", "p": 7},
    ]


def with_deletes(lake: Lake, gone: list[int]) -> None:
    """Delete rows of the only file by a file of positions, as other writers do."""
    from pyiceberg.manifest import (
        DataFile,
        DataFileContent,
        FileFormat,
        ManifestContent,
        ManifestEntry,
        ManifestEntryStatus,
        ManifestFile,
        ManifestWriterV2,
    )
    from pyiceberg.table.update.snapshot import _FastAppendFiles
    from pyiceberg.typedef import Record

    table = lake.table
    (task,) = table.scan().plan_files()
    path = lake.path / f"{uuid.uuid4()}.parquet"
    places = {"file_path": [task.file.file_path] * len(gone), "pos": pa.array(gone, pa.int64())}
    pq.write_table(pa.table(places), path)
    deleted = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES, file_path=f"file://{path}",
        file_format=FileFormat.PARQUET, partition=Record(), record_count=len(gone),
        file_size_in_bytes=path.stat().st_size,
    )  # fmt: skip

    class Deletes(ManifestWriterV2):
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

    class Appending(_FastAppendFiles):
        def _manifests(self) -> list[ManifestFile]:
            spec, schema = self._transaction.table_metadata.spec(), table.schema()
            with Deletes(spec, schema, self.new_manifest_output(), self._snapshot_id, "null") as to:
                to.add(ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id,
                    data_file=deleted,
                ))  # fmt: skip
            return [to.to_manifest_file(), *self._existing_manifests()]

    from pyiceberg.table.snapshots import Operation

    with (
        table.transaction() as transaction,
        Appending(Operation.DELETE, transaction, table.io),
    ):
        pass


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_deleted_by_position_are_not_read(lake, tmp_path, rows):
    lake.append({"text": list("abcdef")})
    (before,) = lake.source().files(tmp_path)
    with_deletes(lake, [1, 3])
    (after,) = lake.source().files(tmp_path)
    assert after.name == before.name and after.version != before.version
    found = read_all(lake.source(), tmp_path, rows)
    assert found["text"].to_pylist() == ["a", "c", "e", "f"]


def compact(lake: Lake) -> None:
    """Replace all files by one with the same rows, as the maintenance of other engines does."""
    from pyiceberg.io.pyarrow import _dataframe_to_data_files
    from pyiceberg.table.snapshots import Operation, Summary
    from pyiceberg.table.update.snapshot import _OverwriteFiles

    class Replacing(_OverwriteFiles):
        def _summary(self, snapshot_properties: Any = {}) -> Summary:  # noqa: B006
            said = super()._summary(snapshot_properties)
            return Summary(Operation.REPLACE, **said.additional_properties)

    table = lake.table
    rows = table.scan().to_arrow()
    with (
        table.transaction() as transaction,
        Replacing(Operation.OVERWRITE, transaction, table.io) as replacing,
    ):
        for task in table.scan().plan_files():
            replacing.delete_data_file(task.file)
        for new in _dataframe_to_data_files(transaction.table_metadata, rows, table.io):
            replacing.append_data_file(new)


def test_compacted_files_stay_answered_under_their_old_names(lake, tmp_path):
    lake.append({"text": ["a"]})
    lake.append({"text": ["b"]})
    old = lake.source().files(tmp_path)
    compact(lake)
    assert len(lake.source().files(tmp_path)) == 1
    lake.append({"text": ["c"]})
    listed = lake.source().files(tmp_path, answers(old[:1]))
    assert set(old) <= set(listed) and len(listed) == 3
    source = lake.source()
    read = source.read(whole(source, old[1:]), source.columns_of(old))
    assert read.table.num_rows == 1 and read.skipped == []


def test_an_update_brings_back_only_what_it_wrote(lake, tmp_path):
    lake.append({"text": ["a", "b"]})
    old = lake.source().files(tmp_path)
    lake.table.delete("text = 'a'")
    assert names(lake.source().files(tmp_path, answers(old))).isdisjoint(names(old))
    assert texts(lake.source(), tmp_path) == ["b"]


def test_a_file_that_is_gone_or_cut_short_is_skipped(lake, tmp_path):
    lake.append({"text": ["a"]})
    source = lake.source()
    (file,) = source.files(tmp_path)
    unit, columns = whole(source, [file]), source.columns_of([file])
    path = Path(file.path.removeprefix("file://"))
    path.write_bytes(b"PAR1")
    assert source.read(unit, columns).skipped == [Skipped(file, "changed")]
    path.unlink()
    assert source.read(unit, columns).skipped == [Skipped(file, "vanished")]


def test_what_is_not_there_is_refused_with_what_is(lake, tmp_path):
    lake.append({"text": ["a"]})
    given = {"catalog": lake.properties}
    with pytest.raises(UsageError, match=r"no table 'shop.order' .did you mean 'shop.orders'"):
        Iceberg(**given, table="shop.order").files(tmp_path)
    with pytest.raises(UsageError, match=r"no namespace 'ship' .did you mean 'shop'"):
        Iceberg(**given, table="ship.orders").files(tmp_path)
    with pytest.raises(UsageError, match="unable to open database file"):
        Iceberg(catalog={"type": "sql", "uri": "sqlite:////no/c.db"}, table="a.b").files(tmp_path)
    with pytest.raises(UsageError, match="is no Iceberg table"):
        Iceberg(path="w").files(tmp_path)
    with pytest.raises(UsageError, match=r"has no snapshot 7\n  snapshots there: [0-9]+$"):
        lake.source(snapshot=7).files(tmp_path)
    with pytest.raises(ValidationError, match="needs either table"):
        Iceberg(catalog=lake.properties)
    with pytest.raises(ValidationError, match="secrets do not belong"):
        Iceberg(catalog={"s3.secret-access-key": "x"}, table="a.b")
