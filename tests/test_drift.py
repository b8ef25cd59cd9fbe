"""Files whose columns or types are not as before: left out by name, or widened, never silently."""

import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import UsageError
from jobs.planning.plan import plan_report
from jobs.show import show
from pipelines.sources.widening import fitted, widens, wider, widest
from tests.nights import Nights


def struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct(list(fields.items()))


FIT = [
    (pa.int32(), pa.int64()),
    (pa.uint32(), pa.int64()),
    (pa.int32(), pa.float64()),
    (pa.int64(), pa.float64()),
    (pa.int16(), pa.float32()),
    (pa.float32(), pa.float64()),
    (pa.string(), pa.large_string()),
    (pa.large_string(), pa.string()),
    (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    (pa.null(), struct(a=pa.int8())),
    (pa.decimal128(5, 2), pa.decimal128(9, 3)),
    (pa.timestamp("s"), pa.timestamp("us")),
    (pa.timestamp("ms", "Europe/Paris"), pa.timestamp("us", "UTC")),
    (pa.list_(pa.int8()), pa.list_(pa.int16())),
    (struct(a=pa.int8()), struct(a=pa.int16(), b=pa.string())),
    (struct(a=pa.int8(), b=pa.string()), struct(a=pa.int8())),
]

DO_NOT_FIT = [
    (pa.int64(), pa.int32()),
    (pa.int32(), pa.uint64()),
    (pa.int32(), pa.float32()),
    (pa.float64(), pa.int64()),
    (pa.string(), pa.int64()),
    (pa.int64(), pa.string()),
    (pa.bool_(), pa.int8()),
    (pa.decimal128(9, 3), pa.decimal128(9, 4)),
    (pa.timestamp("us"), pa.timestamp("s")),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (struct(a=pa.string()), struct(a=pa.int8())),
]


@pytest.mark.parametrize(("found", "asked"), FIT)
def test_a_type_that_fits_is_cast_without_loss(found: pa.DataType, asked: pa.DataType) -> None:
    assert widens(found, asked)
    column = pa.table({"a": pa.nulls(2, found)})
    assert fitted(column, pa.schema([("a", asked)]))["a"].type == asked


@pytest.mark.parametrize(("found", "asked"), DO_NOT_FIT)
def test_a_type_that_may_lose_something_does_not_fit(
    found: pa.DataType, asked: pa.DataType
) -> None:
    assert not widens(found, asked)


NUMBERS = st.sampled_from(
    [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        *(pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
    ]
)


@given(NUMBERS, NUMBERS)
def test_two_types_of_numbers_fit_into_their_wider_one(
    one: pa.DataType, other: pa.DataType
) -> None:
    both = wider(one, other)
    assert both == wider(other, one)
    assert both is None or (widens(one, both) and widens(other, both))


def test_what_both_fit_into_is_found_for_numbers_decimals_lists_and_structs() -> None:
    assert wider(pa.int32(), pa.float32()) == pa.float64()
    assert wider(pa.uint8(), pa.int8()) == pa.int16()
    assert wider(pa.decimal128(5, 0), pa.decimal128(5, 4)) == pa.decimal128(9, 4)
    assert wider(pa.list_(pa.int32()), pa.list_(pa.float32())) == pa.list_(pa.float64())
    one, other = struct(a=pa.int8(), b=pa.string()), struct(a=pa.int32(), c=pa.bool_())
    assert wider(one, other) == struct(a=pa.int32(), b=pa.string(), c=pa.bool_())
    assert wider(pa.string(), pa.int8()) is None
    assert widest([pa.schema([("a", pa.string())]), pa.schema([("a", pa.int8())])]) == pa.schema(
        [("a", pa.string())]
    )


# nights ---------------------------------------------------------------------------------------


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    made = Nights(tmp_path, monkeypatch, "parquet")
    made.file["keep"] = ["text", "n"]
    return made


def numbers(kind: pa.DataType, *values: Any) -> dict[str, Any]:
    """Columns of a file: text, and n of this type."""
    return {"text": [f"t{value}" for value in values], "n": pa.array(values, kind)}


def test_a_file_with_another_type_is_left_out_with_what_to_type(nights: Nights) -> None:
    nights.write("a.parquet", numbers(pa.int64(), 1))
    nights.write("b.parquet", numbers(pa.int32(), 2))
    said = (
        "source file 'b.parquet' has column 'n' as int32; the other files, or the pipeline, expect "
        "int64\n  to have types that fit widened, add below source:  schema: widen"
    )
    assert plan_report(nights.prepare())["drifted files"] == {"b.parquet": said}
    outcome = nights.run()
    assert (outcome.exit_code, outcome.source.drifted) == (1, {"b.parquet": said})
    assert show("out", nights.path)["runs"][-1]["files"]["drifted"] == 1
    nights.file["source"]["schema"] = "widen"
    assert nights.run().exit_code == 0
    assert nights.table()["n"].to_pylist() == [1, 2]


def test_a_new_first_file_does_not_decide_what_the_nights_before_did(nights: Nights) -> None:
    nights.write("m.parquet", numbers(pa.int32(), 1))
    nights.run()
    nights.write("a.parquet", numbers(pa.string(), "x"))
    nights.write("z.parquet", numbers(pa.int32(), 3))
    outcome = nights.run()
    assert (outcome.exit_code, set(outcome.source.drifted)) == (1, {"a.parquet"})
    assert nights.file_names() == {"m.parquet", "z.parquet"}


def test_the_types_of_json_lines_do_not_change_over_night(nights: Nights) -> None:
    nights.file["source"]["kind"] = "jsonl"
    nights.rows("m.jsonl", {"text": "x", "n": 1})
    nights.run()
    nights.rows("a.jsonl", {"text": "y", "n": "one"}, {"text": "z", "n": 2})
    nights.rows("b.jsonl", {"text": "u"})
    outcome = nights.run()
    assert set(outcome.source.drifted) == {"b.jsonl"}
    assert nights.rejects() == {("a.jsonl", 0): "wrong_type"}
    assert nights.table()["n"].type == pa.int64()
    nights.file["source"]["schema"] = "widen"
    nights.run()
    assert nights.data()["b.jsonl", 0] == ("u", None)


def test_a_csv_file_without_a_column_is_left_out_or_null(nights: Nights) -> None:
    nights.file["source"]["kind"] = "csv"
    for name, content in {"a.csv": "text,n\nx,1\n", "b.csv": "text\ny\n"}.items():
        (nights.path / "in" / name).write_text(content)
    assert set(nights.run().source.drifted) == {"b.csv"}
    nights.file["source"]["schema"] = "widen"
    assert nights.run().exit_code == 0
    assert nights.data() == {("a.csv", 0): ("x", 1), ("b.csv", 0): ("y", None)}


def test_widened_files_of_one_night_share_the_widest_type_and_can_be_read_together(
    nights: Nights,
) -> None:
    nights.file["source"]["schema"] = "widen"
    nights.write("a.parquet", numbers(pa.int32(), 1))
    nights.write("b.parquet", numbers(pa.int64(), 2**40))
    nights.write("c.parquet", {"text": pa.array(["c"], pa.large_string())})
    nights.write("d.parquet", {"text": ["d"], "n": pa.nulls(1), "more": [1]})
    assert nights.run().exit_code == 0
    table = nights.table()
    assert table.schema.field("n").type == pa.int64()
    assert table["n"].to_pylist() == [1, 2**40, None, None]


def test_a_type_that_is_wider_than_the_output_is_refused_until_it_is_begun_anew(
    nights: Nights,
) -> None:
    nights.file["source"]["schema"] = "widen"
    nights.write("a.parquet", numbers(pa.int32(), 1))
    nights.run()
    nights.write("b.parquet", numbers(pa.int64(), 2**40))
    outcome = nights.run()
    assert outcome.exit_code == 1
    assert "begin anew: a new sink path, or --fresh" in outcome.source.drifted["b.parquet"]
    assert nights.table()["n"].to_pylist() == [1]
    assert nights.run(fresh=True).exit_code == 0
    assert nights.table()["n"].to_pylist() == [1, 2**40]


def test_a_number_that_a_float_cannot_hold_is_never_rounded(nights: Nights) -> None:
    nights.file["source"]["schema"] = "widen"
    nights.write("a.parquet", numbers(pa.float64(), 0.5))
    nights.run()
    nights.write("b.parquet", numbers(pa.int64(), 2**53 + 1))
    nights.write("c.parquet", numbers(pa.int64(), 7))
    outcome = nights.run()
    assert outcome.exit_code == 1
    assert "not in range" in outcome.status.left_out["b.parquet"]
    assert nights.file_names() == {"a.parquet", "c.parquet"}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (pa.array([{"a": 1}]), pa.array([{"a": 1, "b": "x"}])),
        (pa.array([decimal.Decimal("1.50")]), pa.array([decimal.Decimal("1.5")])),
        (pa.array([1], pa.timestamp("us", "UTC")), pa.array([1], pa.timestamp("s", "UTC"))),
        (pa.array(["a"]), pa.array(["a"], pa.string()).dictionary_encode()),
        (pa.array([["a"]]), pa.array([["a"]], pa.large_list(pa.large_string()))),
    ],
)
def test_nested_and_other_layouts_widen_and_without_it_are_left_out_or_the_same(
    nights: Nights, first: pa.Array, then: pa.Array
) -> None:
    nights.write("a.parquet", {"text": ["a"], "n": first})
    nights.run()
    nights.write("b.parquet", {"text": ["b"], "n": then})
    strict = nights.run()
    assert set(strict.source.drifted) == (
        set() if pa.types.is_dictionary(then.type) else {"b.parquet"}
    )
    nights.file["source"]["schema"] = "widen"
    assert nights.run().exit_code == 0
    assert nights.table().schema.field("n").type == first.type
    assert nights.table().num_rows == 2


def test_new_columns_are_passed_over_and_can_be_kept_only_in_a_new_output(nights: Nights) -> None:
    nights.write("a.parquet", numbers(pa.int64(), 1))
    nights.run()
    nights.write("b.parquet", numbers(pa.int64(), 2) | {"extra": ["e"]})
    assert nights.run().exit_code == 0
    nights.file["keep"] = ["text", "n", "extra"]
    nights.file["source"]["schema"] = "widen"
    nights.write("c.parquet", numbers(pa.int64(), 3) | {"extra": ["f"]})
    with pytest.raises(UsageError, match="columns, extra: none -> string"):
        nights.run()
    nights.run(fresh=True)
    assert nights.table()["extra"].to_pylist() == [None, "e", "f"]
