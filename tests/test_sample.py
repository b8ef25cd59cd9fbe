"""Rows to measure come from all of the source, each file by its rows, and none comes twice."""

import pytest

from pipelines.sample import PLACES, Stretch, spread
from pipelines.units import SourceFile


def source(*rows: int) -> list[Stretch]:
    return [(SourceFile(f"f{n}", 1, "v", f"/f{n}"), 0, count) for n, count in enumerate(rows)]


def places(stretches: list[Stretch], rows: int, seed: int = 0) -> list[tuple[str, int]]:
    return [
        (file.name, row)
        for group in spread(stretches, rows, seed)
        for file, start, stop in group
        for row in range(start, stop)
    ]


@pytest.mark.parametrize("rows", [1, 2, 7, 63, 64, 65, 200, 999, 1000, 5000])
@pytest.mark.parametrize("files", [(1000,), (1, 998, 1), (10,) * 100, (3, 0, 7, 990)])
def test_the_rows_asked_for_come_and_none_twice(files: tuple[int, ...], rows: int) -> None:
    found = places(source(*files), rows)
    assert len(set(found)) == len(found)
    # The last group of a source may be short.
    group = -(-min(rows, 1000) // PLACES)
    assert min(rows, 1000) - group < len(found) <= min(rows, 1000)
    assert all(row < files[int(name[1:])] for name, row in found)


def test_every_file_counts_by_its_rows() -> None:
    found = places(source(100, 900), 50)
    assert sum(name == "f0" for name, _ in found) == 5


def test_the_same_seed_chooses_the_same_rows() -> None:
    files = source(500, 500)
    assert places(files, 30, 1) == places(files, 30, 1) != places(files, 30, 2)


def test_many_rows_come_in_few_places() -> None:
    groups = spread(source(100_000), 6400)
    assert len(groups) == PLACES
    assert all(len(group) == 1 for group in groups)


def test_rows_that_are_answered_are_passed_over() -> None:
    ((file, _, _),) = source(100)
    found = places([(file, 10, 20), (file, 90, 100)], 100)
    assert [row for _, row in found] == [*range(10, 20), *range(90, 100)]


def test_an_empty_source_gives_nothing() -> None:
    assert spread(source(0), 5) == spread([], 5) == []
