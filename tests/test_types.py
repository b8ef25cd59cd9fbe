"""Which column can be read as what: without loss, or as the nearest float where a stage rounds."""

import pyarrow as pa
import pytest

from pipelines.types import fits

NUMBERS = [pa.int64(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(), pa.decimal128(10, 2)]
OTHERS = [pa.string(), pa.timestamp("s"), pa.list_(pa.float64()), pa.binary()]


@pytest.mark.parametrize("found", NUMBERS, ids=str)
def test_a_stage_that_rounds_reads_every_number(found: pa.DataType) -> None:
    assert fits(found, pa.float64(), rounds=True)
    assert fits(pa.dictionary(pa.int8(), found), pa.float64(), rounds=True)
    assert not fits(found, pa.string(), rounds=True)


def test_a_column_of_nulls_is_read_as_anything_by_a_stage_that_rounds() -> None:
    wanted = [pa.float64(), pa.string(), pa.bool_(), pa.int64()]
    assert all(fits(pa.null(), kind, rounds=True) for kind in wanted)
    assert not any(fits(pa.null(), kind) for kind in wanted)


@pytest.mark.parametrize("found", OTHERS, ids=str)
def test_what_is_no_number_is_never_rounded(found: pa.DataType) -> None:
    assert not fits(found, pa.float64(), rounds=True)


def test_a_stage_that_does_not_round_reads_only_what_loses_nothing() -> None:
    assert [fits(found, pa.float64()) for found in NUMBERS] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert fits(pa.int32(), pa.float64()) and not fits(pa.int64(), pa.float64())


def test_a_stage_that_rounds_does_not_round_whole_numbers() -> None:
    assert not fits(pa.float64(), pa.int64(), rounds=True)


def test_a_struct_is_read_by_its_fields_names_and_may_have_more() -> None:
    box = pa.struct({"x": pa.int32(), "y": pa.int32()})
    things = pa.list_(pa.struct({"label": pa.string(), "score": pa.float32(), "box": box}))
    rows = [[{"label": "cat", "score": 0.5, "box": {"x": 1, "y": 2}}], [], None]
    wanted = pa.list_(pa.struct({"box": pa.struct({"y": pa.int64()}), "label": pa.string()}))
    assert fits(things, wanted)
    assert pa.array(rows, things).cast(wanted).to_pylist() == [
        [{"box": {"y": 2}, "label": "cat"}],
        [],
        None,
    ]
    for name, kind in [("box", pa.string()), ("score", pa.int32()), ("size", pa.int32())]:
        assert not fits(things, pa.list_(pa.struct({name: kind})))


def test_a_stage_that_rounds_does_so_in_lists_and_structs() -> None:
    wanted = pa.list_(pa.struct({"box": pa.list_(pa.float32()), "name": pa.string()}))
    found = pa.array([[{"box": [1, 2], "name": None}]])
    assert fits(found.type, wanted, rounds=True) and not fits(found.type, wanted)
    assert found.cast(wanted, safe=False).to_pylist() == found.to_pylist()
    other = pa.list_(pa.struct({"box": pa.list_(pa.string()), "name": pa.string()}))
    assert not fits(other, wanted, rounds=True)
