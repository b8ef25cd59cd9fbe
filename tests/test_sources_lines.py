"""Where lines begin and end: the count and the slices agree, for any bytes and any chunk size."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.jsonl import LAYOUT
from pipelines.sources.lines import Layout, index, read_rows
from pipelines.sources.listing import list_files
from tests.source_cases import touch

CONTENT = st.lists(st.sampled_from([b"\n", b"\r\n", b" ", b"\t", b"{}", b"x"]), max_size=30)


def slices(content: bytes, layout: Layout, chunk: int, rows: int) -> list[bytes | None]:
    """Every row, each read in a slice of `rows` rows from its own mark."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.sources.lines.CHUNK", chunk)
        touch(Path(folder) / "in", content)
        extent = index(list_files(["in"], Path(folder), ())[0], layout)
        spans = (
            extent.span(row, min(row + rows, extent.rows)) for row in range(0, extent.rows, rows)
        )
        return [line for span in spans for line in read_rows(span, layout, 20)]


@given(CONTENT, st.integers(1, 9), st.integers(1, 4))
def test_lines_that_are_not_blank_are_rows(parts, chunk, rows):
    content = b"".join(parts)
    expected = [line for line in content.split(b"\n") if line.strip()]
    assert slices(content, LAYOUT, chunk, rows) == [
        line if len(line) <= 20 else None for line in expected
    ]


@given(CONTENT, st.integers(1, 9), st.integers(1, 4))
def test_every_line_is_a_row_where_blank_lines_count(parts, chunk, rows):
    content = b"".join(parts)
    expected = content.removesuffix(b"\n").split(b"\n") if content else []
    assert slices(content, Layout(), chunk, rows) == [
        line if len(line) <= 20 else None for line in expected
    ]


HARD_CSV = st.lists(st.sampled_from([b"\n", b'"', b'""', b",", b"x", b"\r\n"]), max_size=40)


def rows_by_letter(content: bytes) -> list[bytes]:
    """The rule, byte by byte: a quote opens at the start of a field, and closes at the next."""
    rows, row, inside, before = [], b"", False, ""
    for letter in (content[place : place + 1] for place in range(len(content))):
        if letter == b'"' and inside:
            inside, before = False, "closed"
        elif letter == b'"' and (before == "closed" or before in ("", ",", "\n", "\r")):
            inside, before = True, "open"
        else:
            before = letter.decode()
        if letter == b"\n" and not inside:
            rows, row = [*rows, row], b""
        else:
            row += letter
    return [row for row in [*rows, row] if row.strip(b"\r")]


@given(HARD_CSV, st.integers(1, 9), st.integers(1, 4))
def test_stray_and_doubled_quotes_end_rows_by_the_one_rule(parts, chunk, rows):
    content = b"".join(parts)
    expected = rows_by_letter(content)
    assert slices(content, Layout(b"\r", quote=ord('"')), chunk, rows) == [
        row if len(row) <= 20 else None for row in expected
    ]
