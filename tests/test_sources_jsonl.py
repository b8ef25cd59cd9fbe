"""JSON Lines: rows, types, and one reject per bad line."""

import pickle

import pyarrow as pa
import pytest

from actors.errors import UsageError
from pipelines.sources import Jsonl, Skipped, answer_schema
from tests.source_cases import read_all, rows_of, touch, whole

BLANKS = b'\xef\xbb\xbf{"a": 1}\r\n\n  \t\r\n{"a": 2}\n{"a": null}\n{}\n{"a": 5}'


def write(tmp_path, content):
    touch(tmp_path / "in.jsonl", content)
    return Jsonl(path="in.jsonl")


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("chunk", [1, 3, 8, 1 << 20])
def test_blank_lines_are_no_rows_in_whatever_slices_and_chunks(tmp_path, monkeypatch, rows, chunk):
    monkeypatch.setattr("pipelines.sources.lines.CHUNK", chunk)
    assert rows_of(read_all(write(tmp_path, BLANKS), tmp_path, rows)) == [
        ("in.jsonl", 0, 1, None),
        ("in.jsonl", 1, 2, None),
        ("in.jsonl", 2, None, None),
        ("in.jsonl", 3, None, None),
        ("in.jsonl", 4, 5, None),
    ]


def test_types_are_inferred_and_kept_exactly(tmp_path):
    line = b'{"i": 1, "f": 1.5, "b": true, "s": "x", "l": [1], "o": {"k": [null]}, "n": null}\n'
    source = write(tmp_path, line * 3)
    table = read_all(source, tmp_path)
    expected = pa.schema(
        [
            ("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()), ("s", pa.string()),
            ("l", pa.list_(pa.int64())), ("o", pa.struct([("k", pa.list_(pa.string()))])),
            ("n", pa.string()),
        ]
    )  # fmt: skip
    assert table.schema == answer_schema(expected)
    assert table.select(expected.names).to_pylist()[2] == {
        "i": 1, "f": 1.5, "b": True, "s": "x", "l": [1], "o": {"k": [None]}, "n": None,
    }  # fmt: skip


BAD_LINES = [
    (b'{"a": 1', "bad_json"),
    (b'{"a": 1}{"a": 2}', "bad_json"),
    (b"[1]", "bad_json"),
    (b"[" * 100_000, "bad_json"),
    (b'{"a": "\xff"}', "bad_encoding"),
    (b'{"a": 1, "s": "\\ud800"}', "bad_encoding"),
    (b'{"a": "1"}', "wrong_type"),
    (b'{"a": 1.5}', "wrong_type"),
    (b'{"a": true}', "wrong_type"),
    (b'{"a": 1' + b"0" * 30 + b"}", "wrong_type"),
    (b'{"a": [1]}', "wrong_type"),
    (b'{"s": "' + b"x" * 300_000 + b'"}', "row_too_large"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_costs_one_row(tmp_path, line, reason):
    touch(tmp_path / "in.jsonl", b'{"a": 1, "s": "x"}\n' + line + b'\n{"a": 3, "s": "z"}\n')
    source = Jsonl(path="in.jsonl", max_bytes=200_000, columns={"a": "int64"})
    assert rows_of(read_all(source, tmp_path)) == [
        ("in.jsonl", 0, 1, "x", None),
        ("in.jsonl", 1, None, None, reason),
        ("in.jsonl", 2, 3, "z", None),
    ]


def test_half_a_line_does_not_borrow_from_the_next(tmp_path):
    source = write(tmp_path, b'{"a": 0}\n{"a":\n1}\n{"a": 2}{"a": 3}\n{"a": 4}\n')
    assert [row[2:] for row in rows_of(read_all(source, tmp_path))] == [
        (0, None),
        (None, "bad_json"),
        (None, "bad_json"),
        (None, "bad_json"),
        (4, None),
    ]


def test_a_message_says_the_column_the_type_and_the_value(tmp_path):
    source = write(tmp_path, b'{"a": 1}\n{"a": "one"}\n')
    (reject,) = read_all(source, tmp_path)["_reject"].drop_null().to_pylist()
    assert reject["message"] == "column 'a' expects int64, found 'one'"


def test_a_column_that_is_not_asked_for_rejects_nothing(tmp_path):
    source = write(tmp_path, b'{"a": 1, "b": 1}\n{"a": 2, "b": "x"}\n')
    files = source.files(tmp_path)
    table = source.read(whole(source, files), pa.schema([("a", pa.int64())])).table
    assert rows_of(table) == [("in.jsonl", 0, 1, None), ("in.jsonl", 1, 2, None)]


def test_types_that_are_given_win_over_inferred_ones(tmp_path):
    touch(tmp_path / "in.jsonl", b'{"t": "2024-02-29T12:00:00", "x": 1, "l": []}\n{"t": "no"}\n')
    given = {"t": "timestamp[s]", "x": "double", "l": "list<string>", "late": "string"}
    table = read_all(Jsonl(path="in.jsonl", columns=given), tmp_path)
    assert [str(table.schema.field(name).type) for name in given] == [
        "timestamp[s]", "double", "list<item: string>", "string",
    ]  # fmt: skip
    assert table["t"].cast(pa.string()).to_pylist() == ["2024-02-29 12:00:00", None]
    assert table["_reject"].to_pylist()[1]["reason"] == "wrong_type"


def test_a_line_of_a_megabyte_is_a_row_like_any_other(tmp_path):
    source = write(tmp_path, b'{"a": "x"}\n{"a": "' + b"y" * (1 << 20) + b'"}\n{"a": "z"}\n')
    assert read_all(source, tmp_path, 1)["a"].to_pylist() == ["x", "y" * (1 << 20), "z"]


def test_a_file_that_changed_or_vanished_is_skipped_and_the_others_are_read(tmp_path):
    for name in "abc":
        touch(tmp_path / "in" / f"{name}.jsonl", b'{"a": 1}\n')
    source = Jsonl(path="in")
    files = source.files(tmp_path)
    unit = whole(source, files)
    touch(tmp_path / "in" / "a.jsonl", b'{"a": 1}\n{"a": 2}\n')
    (tmp_path / "in" / "c.jsonl").unlink()
    read = source.read(unit, pa.schema([("a", pa.int64())]))
    assert rows_of(read.table) == [("b.jsonl", 0, 1, None)]
    assert read.skipped == [Skipped(files[0], "changed"), Skipped(files[2], "vanished")]


def test_a_source_without_rows_asks_for_columns_and_takes_them(tmp_path):
    source = write(tmp_path, b"\n\n")
    with pytest.raises(UsageError, match=r"columns: \{text: string\}"):
        source.offers(source.files(tmp_path))
    told = Jsonl(path="in.jsonl", columns={"text": "string"})
    assert read_all(told, tmp_path).schema == answer_schema(pa.schema([("text", pa.string())]))


def test_compressed_lines_are_refused(tmp_path):
    touch(tmp_path / "in.jsonl.gz")
    with pytest.raises(UsageError, match=r"'in\.jsonl\.gz' is compressed"):
        Jsonl(path="in.jsonl.gz").files(tmp_path)


def test_the_source_pickles():
    source = Jsonl(path="x", columns={"a": "string"})
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301
