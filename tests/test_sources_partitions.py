"""Folders with values, as Hive writes them: columns of every kind of source."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from actors.errors import SourceDrifted, UsageError
from jobs.planning.plan import plan_report
from pipelines.sources import Images, Parquet, Text
from pipelines.sources.partitions import partition_columns, values_of
from pipelines.units import SourceFile
from tests.nights import Nights
from tests.source_cases import read_all, touch


def at(*names: str) -> list[SourceFile]:
    return [SourceFile(name, 1, "1-1", f"/{name}") for name in names]


def types(*names: str, **given: pa.DataType) -> dict[str, pa.DataType]:
    columns = partition_columns(at(*names), pa.schema(list(given.items())))
    return {field.name: field.type for field in columns}


def test_values_are_decoded_and_the_folder_of_nulls_is_null() -> None:
    (file,) = at("in/a%20b=x%2Fy%3D/n=__HIVE_DEFAULT_PARTITION__/empty=/k=a=b/f.csv")
    assert values_of(file) == {"a b": "x/y=", "n": None, "empty": "", "k": "a=b"}


def test_types_are_whole_numbers_dates_or_text_over_all_values() -> None:
    found = types(
        "n=01/d=2026-01-31/t=1/z=__HIVE_DEFAULT_PARTITION__/f",
        "n=-20/d=2024-02-29/t=x/z=__HIVE_DEFAULT_PARTITION__/f",
        "n=__HIVE_DEFAULT_PARTITION__/d=2026-01-31/t=2/z=__HIVE_DEFAULT_PARTITION__/f",
    )
    assert found == {"n": pa.int64(), "d": pa.date32(), "t": pa.string(), "z": pa.string()}
    assert types("n=9999999999999999999/f") == {"n": pa.string()}
    assert types("d=2026-02-30/f") == {"d": pa.string()}
    assert types("zip=01234/n=1/f", zip=pa.string()) == {"zip": pa.string(), "n": pa.int64()}


def test_a_type_for_a_name_that_is_no_folder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'yaer', which no folder does \(did you mean 'year'\?\)"):
        types("year=1/f", yaer=pa.int64())


@pytest.mark.parametrize("stray", ["f", "year=1/f", "month=1/year=1/f", "year=1/month=1/day=1/f"])
def test_a_file_outside_of_the_folders_is_named(stray: str) -> None:
    with pytest.raises(UsageError) as error:
        types("year=1/month=1/f", stray, "year=1/month=2/f")
    assert str(error.value).splitlines()[0] == (
        f"source file {stray!r} lies outside of the partition folders year=.../month=..."
    )


def test_a_source_without_such_folders_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"'a/f' lies in none\n.*end above the first key=value"):
        types("a/f", "b/f")


def test_what_pyarrow_wrote_is_read_as_pyarrow_reads_it(tmp_path: Path) -> None:
    table = pa.table(
        {
            "v": list(range(5)),
            "year": [2025, 2025, 2026, None, 2026],
            "place": ["a b", "x/y=z", "%41", "ä", None],
        }
    )
    keys = pa.schema([("year", pa.int64()), ("place", pa.string())])
    flavor = ds.partitioning(keys, flavor="hive")
    ds.write_dataset(table, tmp_path / "in", format="parquet", partitioning=flavor)
    theirs = ds.dataset(tmp_path / "in", partitioning=flavor).to_table().to_pylist()
    found = read_all(Parquet(path="in", partitions="hive"), tmp_path)
    assert found.schema.field("year").type == pa.int64()
    ours = found.select(["v", "year", "place"]).to_pylist()
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    assert len(ours) == 5


@pytest.mark.parametrize(
    ("source", "name", "content"),
    [
        (Text(path="in", partitions="hive"), "f.txt", b"hello"),
        (Text(path="in", partitions="hive", rows="line"), "f.txt", b"hello\nhello\n"),
        (Images(path="in", partitions="hive"), "f.png", b"no picture, but bytes"),
        (Images(path="in", partitions="hive"), "empty.png", b""),
    ],
)
def test_every_kind_has_the_columns_of_its_folders(
    tmp_path: Path, source: Any, name: str, content: bytes
) -> None:
    touch(tmp_path / "in" / "day=2026-01-31" / "cam=7" / name, content)
    touch(tmp_path / "in" / "day=2026-02-01" / "cam=__HIVE_DEFAULT_PARTITION__" / name, content)
    table = read_all(source, tmp_path, rows=9)
    assert table.column_names[:2] == ["_source", "_row"]
    assert table.column_names[-3:] == ["day", "cam", "_reject"]
    told = {(row["day"], row["cam"]) for row in table.to_pylist()}
    assert told == {(date(2026, 1, 31), 7), (date(2026, 2, 1), None)}


def test_the_name_of_a_folder_that_is_a_column_too_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "text=1" / "f.txt")
    source = Text(path="in", partitions="hive")
    with pytest.raises(UsageError, match=r"'text' is in the names of the folders and in 'text=1/f"):
        source.offers(source.files(tmp_path))


def test_a_value_of_another_type_than_before_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "n=abc" / "f.txt")
    source = Text(path="in", partitions="hive")
    (file,) = source.files(tmp_path)
    with pytest.raises(
        SourceDrifted, match=r"in a folder n=abc, and the values of 'n' are int64\n"
    ):
        source.opens(file, pa.schema([("n", pa.int64())]))


# nights -------------------------------------------------------------------------------------------


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    made = Nights(tmp_path, monkeypatch, "parquet")
    made.file["source"]["partitions"] = "hive"
    made.file["keep"] = ["text", "year", "month"]
    return made


def test_folders_are_columns_to_keep_and_to_feed_a_stage_with(nights: Nights) -> None:
    nights.write("year=2026/month=may/x.parquet", {"text": ["a", "b"]})
    nights.file["stages"][0]["input"] = {"text": "month"}
    report = plan_report(nights.prepare())
    assert report["columns"] == {
        "_source": "string", "_row": "int64", "text": "string", "year": "int64", "month": "string",
    }  # fmt: skip
    nights.run()
    name = "year=2026/month=may/x.parquet"
    assert nights.data() == {(name, 0): ("a", 2026, "may"), (name, 1): ("b", 2026, "may")}
    nights.file["keep"] = ["text", "yeer"]
    with pytest.raises(UsageError, match=r"no column 'yeer' \(did you mean 'year'\?\)"):
        nights.prepare()


def test_types_of_folders_do_not_change_over_night(nights: Nights) -> None:
    nights.write("year=2026/month=1/x.parquet", {"text": ["a"]})
    nights.run()
    nights.write("year=2026/month=may/x.parquet", {"text": ["b"]})
    nights.write("year=2026/month=2/x.parquet", {"text": ["c"]})
    outcome = nights.run()
    assert (outcome.exit_code, list(outcome.source.drifted)) == (
        1,
        ["year=2026/month=may/x.parquet"],
    )
    assert sorted(nights.table()["month"].to_pylist()) == [1, 2]
    nights.file["source"]["partition_types"] = {"month": "string"}
    with pytest.raises(UsageError, match="the pipeline changed"):
        nights.run()
    assert nights.run(fresh=True).exit_code == 0
    assert sorted(nights.table()["month"].to_pylist()) == ["1", "2", "may"]


def test_rejected_rows_of_folders_are_tried_again_with_their_values(nights: Nights) -> None:
    nights.file["source"]["kind"] = "jsonl"
    nights.rows("year=2026/month=1/x.jsonl", {"text": "a"})
    (nights.path / "in/year=2026/month=1/y.jsonl").write_text('{"text": "b"}\n{no\n')
    nights.run()
    assert nights.run(retry_rejects=True).status.rejected == 1
    assert [row[1:] for row in nights.data().values()] == [(2026, 1), (2026, 1)]
    assert nights.rejects("year", "attempts") == {("year=2026/month=1/y.jsonl", 1): (2026, 2)}
