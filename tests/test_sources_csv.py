"""CSV: quoted newlines, inferred types, and one reject per bad row."""

import csv
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import SourceFailed, UsageError
from pipelines.sources import Csv, answer_schema
from tests.source_cases import read_all, rows_of, touch, whole


def write(tmp_path, content, **options):
    touch(tmp_path / "in.csv", content)
    return Csv(path="in.csv", **options)


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("chunk", [1, 3, 8, 1 << 20])
def test_quoted_newlines_belong_to_their_row_in_whatever_slices(tmp_path, monkeypatch, rows, chunk):
    monkeypatch.setattr("pipelines.sources.lines.CHUNK", chunk)
    text = '\ufeff"a",b\r\n\r\n1,"x\ny, ""z"""\r\n2,5" disk\r\n\r\n3,"""\n"\r\n4,'
    assert rows_of(read_all(write(tmp_path, text.encode()), tmp_path, rows)) == [
        ("in.csv", 0, 1, 'x\ny, "z"', None),
        ("in.csv", 1, 2, '5" disk', None),
        ("in.csv", 2, 3, '"\n', None),
        ("in.csv", 3, 4, "", None),
    ]


FIELD = st.text(st.sampled_from('ab,"\n\r x'), max_size=6)
ROWS = st.lists(st.tuples(FIELD, FIELD), max_size=12)


@given(ROWS, st.integers(1, 9), st.integers(1, 5))
def test_what_a_csv_writer_wrote_is_read_back_whatever_the_chunk(rows, chunk, unit_rows):
    written = io.StringIO()
    csv.writer(written).writerows([("a", "b"), *rows])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.sources.lines.CHUNK", chunk)
        source = write(
            Path(folder), written.getvalue().encode(), columns={"a": "string", "b": "string"}
        )
        table = read_all(source, Path(folder), unit_rows)
    assert rows_of(table) == [("in.csv", place, *row, None) for place, row in enumerate(rows)]


BAD_ROWS = [
    (b"2", "bad_csv"),
    (b"2,y,3", "bad_csv"),
    (b'2,"y', "bad_csv"),
    (b"2\ry,x", "bad_csv"),
    (b"2\r9,x", "bad_csv"),
    (b"2,x\r9,x", "bad_csv"),
    (b"two,y", "wrong_type"),
    (b"2,\xff", "bad_encoding"),
    (b"2," + b"y" * 3000, "row_too_large"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_ROWS)
def test_a_bad_row_costs_one_row(tmp_path, line, reason):
    after = b"\n3,z\n" if b'"' not in line else b"\n"
    source = write(tmp_path, b"a,b\n1,x\n" + line + after, max_bytes=2000)
    expected = [("in.csv", 0, 1, "x", None), ("in.csv", 1, None, None, reason)]
    if b'"' not in line:
        expected.append(("in.csv", 2, 3, "z", None))
    source = source.model_copy(update={"columns": {"a": "int64", "b": "string"}})
    assert rows_of(read_all(source, tmp_path)) == expected


def test_many_bad_rows_leave_the_good_ones_in_place(tmp_path):
    lines = [f"{n},x" if n % 3 else "no,x" for n in range(1, 200)]
    source = write(tmp_path, "\n".join(["a,b", *lines]).encode(), columns={"a": "int64"})
    table = read_all(source, tmp_path, 50)
    assert table["a"].to_pylist() == [n if n % 3 else None for n in range(1, 200)]
    assert table["_reject"].null_count == 133


def test_a_message_names_the_column_and_the_value(tmp_path):
    source = write(tmp_path, b"a,b\nx,1\ny,no\n", columns={"b": "int64"})
    (reject,) = read_all(source, tmp_path)["_reject"].drop_null().to_pylist()
    assert reject["message"] == "column 'b': CSV conversion error to int64: invalid value 'no'"


def test_types_are_inferred_and_a_column_without_values_is_text(tmp_path):
    source = write(tmp_path, b"i,f,d,s,n,t\n1,1.5,2024-02-29,x,,\xff\n,,,,,y\n")
    table = read_all(source, tmp_path)
    types = [pa.int64(), pa.float64(), pa.date32(), pa.string(), pa.string(), pa.string()]
    columns = pa.schema(list(zip("ifdsnt", types, strict=True)))
    assert table.schema == answer_schema(columns)
    assert rows_of(table)[1] == ("in.csv", 1, None, None, None, "", "", "y", None)
    assert rows_of(table)[0][-1] == "bad_encoding"


def test_files_may_order_their_columns_differently(tmp_path):
    touch(tmp_path / "in" / "a.csv", b"x,y\n1,2\n")
    touch(tmp_path / "in" / "b.tsv", b"y\tx\tz\n4\t3\t5\n")
    table = read_all(Csv(path="in"), tmp_path)
    assert rows_of(table) == [("a.csv", 0, 1, 2, None), ("b.tsv", 0, 3, 4, None)]


def test_a_file_without_an_asked_column_is_an_error_that_names_both(tmp_path):
    source = write(tmp_path, b"txet,b\n1,2\n")
    (file,) = source.files(tmp_path)
    columns = pa.schema([("text", pa.string())])
    said = r"'in.csv' has no column 'text' \(string\).*did you mean 'txet'.*\n.*txet, b"
    with pytest.raises(SourceFailed, match=said):
        source.extent(file, columns)
    with pytest.raises(SourceFailed, match=said):
        source.read(whole(source, [file]), columns)


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    table = read_all(write(tmp_path, b"a,b\n"), tmp_path)
    assert table.schema == answer_schema(pa.schema([("a", pa.string()), ("b", pa.string())]))
    assert table.num_rows == 0


def test_columns_must_be_in_the_header(tmp_path):
    source = write(tmp_path, b"text,b\n1,2\n", columns={"txt": "string"})
    with pytest.raises(UsageError, match=r"'txt', which the header .* \(did you mean 'text'\?\)"):
        source.offers(source.files(tmp_path))


def test_a_header_with_a_name_twice_is_refused(tmp_path):
    source = write(tmp_path, b"a,b,a\n1,2,3\n")
    with pytest.raises(UsageError, match=r"the header of source file 'in\.csv' has 'a' twice"):
        source.offers(source.files(tmp_path))


def test_an_unknown_type_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown type 'strng' \(did you mean 'string'\?\)"):
        Csv(path="x", columns={"a": "strng"})
