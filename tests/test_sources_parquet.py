"""Parquet: exact slices of exact types, and files that carry pickles."""

import datetime as dt
import decimal
import os
import pickle
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.errors import SourceFailed, UsageError
from pipelines.sources import Parquet, Skipped, answer_schema
from tests.source_cases import read_all, touch, whole

RICH = pa.table(
    {
        "text": pa.array(["a", "", None, "d", "e", "f", "g"], pa.large_string()),
        "image": pa.array([b"1", None, b"", b"4", b"5", b"6", b"7"]),
        "kind": pa.array(["x", "y", None, "x", "x", "y", "y"]).dictionary_encode(),
        "price": pa.array([decimal.Decimal(n) / 100 for n in range(7)], pa.decimal128(9, 2)),
        "when": pa.array(
            [dt.datetime(2024, 2, n + 1) for n in range(7)], pa.timestamp("us", "Europe/Paris")
        ),
        "nested": [[{"a": n, "b": ["x"] * n}] for n in range(7)],
    }
)


def hostile(field: pa.Field, values: pa.Array) -> pa.Table:
    """A table whose field says, by its metadata alone, that it is of an extension type."""
    return pa.table([pa.array(["fine"]), values], schema=pa.schema([("text", pa.string()), field]))


def marked(name: str, storage: pa.DataType, parameters: bytes = b"") -> pa.Field:
    metadata = {"ARROW:extension:name": name, "ARROW:extension:metadata": parameters}
    return pa.field("payload", storage, metadata=metadata)


def write(tmp_path, table=RICH, name="in.parquet", **options):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(table, tmp_path / name, **options)
    return Parquet(path=name)


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
@pytest.mark.parametrize("batch", [1, 2, 4096])
def test_slices_across_row_groups_join_to_the_whole_in_exact_types(
    tmp_path, monkeypatch, rows, batch
):
    monkeypatch.setattr("pipelines.sources.parquet.BATCH_ROWS", batch)
    table = read_all(write(tmp_path, row_group_size=3), tmp_path, rows)
    plain = RICH.set_column(0, "text", RICH["text"].cast(pa.string()))
    assert table.schema == answer_schema(plain.schema)
    assert table["_row"].to_pylist() == list(range(7))
    assert table.select(plain.column_names).to_pylist() == plain.to_pylist()
    assert table["_reject"].null_count == 7


def test_only_asked_columns_are_read_in_the_asked_type(tmp_path):
    source = write(tmp_path)
    columns = pa.schema([("kind", pa.string()), ("text", pa.string())])
    table = source.read(whole(source, source.files(tmp_path)), columns).table
    assert table.schema == answer_schema(columns)
    assert table["kind"].to_pylist() == RICH["kind"].to_pylist()


def test_names_with_dots_are_names(tmp_path):
    table = pa.table({"b": [{"c": 1}], "a.b": ["x"], "a": [2], "b.c": [3]})
    source = write(tmp_path, table)
    unit = whole(source, source.files(tmp_path))
    for name in table.column_names:
        read = source.read(unit, pa.schema([table.schema.field(name)])).table
        assert read[name].to_pylist() == table[name].to_pylist()


def test_no_column_at_all_still_counts_the_rows(tmp_path):
    source = write(tmp_path, row_group_size=3)
    table = source.read(whole(source, source.files(tmp_path)), pa.schema([])).table
    assert table.select(["_row"]).to_pydict() == {"_row": list(range(7))}


def test_units_end_at_row_groups_that_are_near(tmp_path):
    source = write(tmp_path, row_group_size=3)
    (file,) = source.files(tmp_path)
    assert source.extent(file).borders == (0, 3, 6)
    assert source.extent(file).rows == 7


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (pa.table({"b": [1]}), "'b.parquet' has no column 'a' (int64)"),
        (
            pa.table({"a": ["x"]}),
            "'b.parquet' has column 'a' as string; the other files, or the pipeline, expect int64",
        ),
        (pa.table({"a": pa.array([1], pa.int32())}), "has column 'a' as int32"),
    ],
)
def test_files_that_disagree_are_an_error_that_names_file_column_and_types(tmp_path, other, said):
    write(tmp_path, pa.table({"a": [1]}), "in/a.parquet")
    write(tmp_path, other, "in/b.parquet")
    source = Parquet(path="in")
    files = source.files(tmp_path)
    columns = source.offers(files)
    with pytest.raises(SourceFailed) as opening:
        source.extent(files[1], columns)
    with pytest.raises(SourceFailed) as reading:
        source.read(whole(source, files), columns)
    assert said in str(opening.value)
    assert said in str(reading.value)


@pytest.mark.parametrize("name", ["ray.data.arrow_pickled_object", "arrow.py_extension_type"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_that_carries_pickles_is_refused_even_if_the_column_is_not_asked(
    tmp_path, name, nested
):
    field, values = marked(name, pa.large_binary()), pa.array([b"x"], pa.large_binary())
    if nested:
        field, values = pa.field("outer", pa.list_(field)), pa.array([[b"x"]], pa.list_(field))
    source = write(tmp_path, hostile(field, values))
    files = source.files(tmp_path)
    said = rf"'in\.parquet' has column '{field.name}' of type {name}: its values are pickles"
    with pytest.raises(UsageError, match=said):
        source.offers(files)
    with pytest.raises(SourceFailed, match=said):
        source.extent(files[0])


class MakesFolder:
    """A pickle of this makes a folder when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


VICTIM = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
import ray.data._internal.object_extensions.arrow
import pyarrow as pa
folder = Path(sys.argv[1])
if sys.argv[2] == "naive":
    pq.read_table(folder / "in.parquet").to_pylist()
else:
    from pipelines.sources import Parquet
    from actors.errors import SourceFailed, UsageError
    from pipelines.units import Extent, Unit
    source = Parquet(path="in.parquet")
    (file,) = files = source.files(folder)
    unit = Unit((Extent(file, 1, 1).span(0, 1),))
    columns = pa.schema([("text", pa.string())])
    refused = 0
    attempts = [
        lambda: source.offers(files),
        lambda: source.extent(file),
        lambda: source.read(unit, columns),
    ]
    for attempt in attempts:
        try:
            attempt()
        except (SourceFailed, UsageError):
            refused += 1
    print(refused)
"""


def test_no_pickle_is_loaded_where_ray_has_registered_its_type(tmp_path):
    mark = tmp_path / "executed"
    payload = pickle.dumps(MakesFolder(str(mark)))
    field = marked("ray.data.arrow_pickled_object", pa.large_binary())
    write(tmp_path, hostile(field, pa.array([payload], pa.large_binary())))
    ours = [sys.executable, "-c", VICTIM, str(tmp_path)]
    ran = subprocess.run([*ours, "ours"], capture_output=True, text=True, check=False)
    assert (ran.stdout, mark.exists()) == ("3\n", False), ran.stderr
    subprocess.run([*ours, "naive"], capture_output=True, check=False)
    assert mark.exists()


def test_another_extension_type_is_refused_only_when_the_column_is_asked(tmp_path):
    field = marked("example.point", pa.list_(pa.float32(), 2))
    source = write(tmp_path, hostile(field, pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))))
    files = source.files(tmp_path)
    columns = source.offers(files)
    unit = whole(source, files)
    assert source.read(unit, columns.remove(1)).table["text"].to_pylist() == ["fine"]
    with pytest.raises(SourceFailed, match=r"'payload' in the extension type example\.point"):
        source.extent(files[0], columns)
    with pytest.raises(SourceFailed, match=r"'payload' in the extension type example\.point"):
        source.read(unit, columns)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 50 + b"PAR1"]
)
def test_what_is_no_parquet_is_named(tmp_path, content):
    touch(tmp_path / "in.parquet", content)
    source = Parquet(path="in.parquet")
    files = source.files(tmp_path)
    with pytest.raises(UsageError, match=r"'in\.parquet' cannot be opened"):
        source.offers(files)
    with pytest.raises(SourceFailed, match=r"'in\.parquet' cannot be opened"):
        source.extent(files[0])


def test_a_damaged_page_skips_the_file_and_leaves_the_others(tmp_path):
    for name in "ab":
        write(
            tmp_path, pa.table({"a": ["some text"] * 99}), f"in/{name}.parquet", compression="gzip"
        )
    content = bytearray((tmp_path / "in/a.parquet").read_bytes())
    content[4:60] = b"\xff" * 56
    touch(tmp_path / "in/a.parquet", bytes(content))
    source = Parquet(path="in")
    files = source.files(tmp_path)
    read = source.read(whole(source, files), pa.schema([("a", pa.string())]))
    assert read.table["_source"].unique().to_pylist() == ["b.parquet"]
    ((file, why),) = read.skipped
    assert file == files[0]
    assert why.startswith("cannot be read: ")


def test_a_file_written_anew_is_skipped_as_changed(tmp_path):
    source = write(tmp_path)
    (file,) = source.files(tmp_path)
    unit = whole(source, [file])
    write(tmp_path, RICH.slice(1))
    assert source.read(unit, source.offers([file])).skipped == [Skipped(file, "changed")]


def test_the_names_that_sources_make_are_not_offered(tmp_path):
    source = write(tmp_path, pa.table({"_source": ["x"], "_row": [4], "a": [1]}))
    table = read_all(source, tmp_path)
    assert table.to_pylist() == [{"_source": "in.parquet", "_row": 0, "a": 1, "_reject": None}]
