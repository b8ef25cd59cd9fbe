"""Cutting rows into units: every row once, in whatever sizes."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from pipelines.units import Cutter, Extent, SourceFile, Unit, pieces, remaining

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4)
FILES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5000), INTERVALS), max_size=12)


def extent(name: str, rows: int, size: int, borders: tuple[int, ...] = ()) -> Extent:
    return Extent(SourceFile(name, size, f"{size}-1", f"/{name}"), rows, size, borders=borders)


def cut_all(cutter: Cutter, sizes: list[int]) -> list[Unit]:
    units: list[Unit] = []
    while unit := cutter.next(sizes[len(units) % len(sizes)]):
        units.append(unit)
    return units


@given(FILES, st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 4000))
def test_any_cutting_covers_each_unanswered_row_once(files, sizes, most_bytes):
    extents = [extent(str(i), rows, size, (0, 7, 20)) for i, (rows, size, _) in enumerate(files)]
    answered = [intervals for *_, intervals in files]
    waiting = (p for e, done in zip(extents, answered, strict=True) for p in pieces(e, done))
    units = cut_all(Cutter(waiting, most_bytes, most_files=3), sizes)
    cut = [(s.file.name, row) for u in units for s in u.spans for row in range(s.start, s.stop)]
    assert cut == [
        (str(i), row)
        for i, (rows, _, done) in enumerate(files)
        for row in range(rows)
        if not any(start <= row < stop for start, stop in done)
    ]


@given(FILES, st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 4000))
def test_a_unit_keeps_its_bounds_unless_one_row_alone_is_larger(files, sizes, most_bytes):
    extents = [extent(str(i), rows, size) for i, (rows, size, _) in enumerate(files)]
    units = cut_all(Cutter((p for e in extents for p in pieces(e)), most_bytes, 3), sizes)
    for place, unit in enumerate(units):
        assert unit.rows <= sizes[place % len(sizes)]
        assert unit.rows == 1 or unit.bytes <= most_bytes
        assert len(unit.spans) <= 3


@given(st.integers(0, 40), INTERVALS)
def test_what_remains_is_what_no_answered_interval_covers(rows, answered):
    left = [row for start, stop in remaining(rows, answered) for row in range(start, stop)]
    covered = {row for start, stop in answered for row in range(start, stop)}
    assert left == [row for row in range(rows) if row not in covered]


def test_a_cut_moves_back_to_a_row_group_border_that_is_near():
    cutter = Cutter(pieces(extent("a", 100, 100, (0, 45, 90))), 1000)
    assert [(u.spans[0].start, u.spans[0].stop) for u in cut_all(cutter, [50])] == [
        (0, 45),
        (45, 90),
        (90, 100),
    ]


def test_small_files_join_and_a_file_is_opened_only_when_the_cutter_gets_to_it():
    opened = []

    def waiting():
        for name in "abcdef":
            opened.append(name)
            yield from pieces(extent(name, 2, 10))

    unit = Cutter(waiting(), 1000).next(5)
    assert unit is not None
    assert [(s.file.name, s.start, s.stop) for s in unit.spans] == [
        ("a", 0, 2),
        ("b", 0, 2),
        ("c", 0, 1),
    ]
    assert opened == ["a", "b", "c"]


def test_the_id_follows_name_version_and_range_and_shows_no_name():
    def unit(name: str, size: int, start: int, folder: str = "/x") -> Unit:
        file = SourceFile(name, size, f"{size}-1", f"{folder}/{name}")
        return Unit((Extent(file, 9, size).span(start, 9),))

    assert unit("secret", 5, 0).id == unit("secret", 5, 0, folder="/elsewhere").id
    assert (
        len({unit("a", 5, 0).id, unit("b", 5, 0).id, unit("a", 6, 0).id, unit("a", 5, 1).id}) == 4
    )
    assert "secret" not in unit("secret", 5, 0).id


def test_the_id_stays_the_same_from_release_to_release():
    file = SourceFile("a.txt", 3, "3-1", "/a.txt")
    assert Unit((Extent(file, 2, 3).span(0, 2),)).id == "f0b19666c36c65f3d014"


def test_a_span_is_read_from_the_last_mark_before_it():
    file = SourceFile("a", 100, "100-1", "/a")
    marked = Extent(file, 50, 100, marks=((10, 20), (30, 60)))
    assert [marked.span(row, 50).mark for row in (5, 10, 29, 30, 49)] == [
        None,
        (10, 20),
        (10, 20),
        (30, 60),
        (30, 60),
    ]


def test_a_unit_pickles():
    unit = Unit((extent("a", 3, 9).span(0, 3),))
    assert pickle.loads(pickle.dumps(unit)) == unit  # noqa: S301


def test_a_file_without_rows_is_a_span_of_a_unit():
    waiting = [*pieces(extent("a", 0, 10)), *pieces(extent("b", 2, 10)), *pieces(extent("c", 0, 1))]
    units = cut_all(Cutter(iter(waiting), 1000), [5])
    assert [[(s.file.name, s.rows) for s in u.spans] for u in units] == [
        [("a", 0), ("b", 2), ("c", 0)]
    ]
