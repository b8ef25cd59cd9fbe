"""Between Arrow and rows: typed columns always, also when empty or all null."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import RowRejected
from actors.stage import Columns, Row

Answer = Row | RowRejected


def rows_of(table: pa.Table) -> list[Answer]:
    """A table's rows; a row with text that is not UTF-8 is `bad_encoding`."""
    try:
        return list(table.to_pylist())
    except UnicodeDecodeError:
        return [_row_of(table.slice(n, 1)) for n in range(table.num_rows)]


def _row_of(table: pa.Table) -> Answer:
    try:
        row: Row = table.to_pylist()[0]
    except UnicodeDecodeError as error:
        return RowRejected("bad_encoding", f"a text is not UTF-8: {error.reason}")
    return row


def typed_columns(answers: Sequence[Answer], columns: Columns) -> tuple[pa.Table, list[Answer]]:
    """Build the columns (null where a row is rejected), and reject answers that do not fit.

    A value that is not finite is `not_finite`; a value of another type is `wrong_output`.
    """
    checked = list(answers)
    try:
        table = _table(checked, columns)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        checked = [_fits(answer, columns) for answer in checked]
        table = _table(checked, columns)
    if all(_finite(column) for column in table.columns):
        return table, checked
    checked = [_all_finite(answer, table.slice(i, 1)) for i, answer in enumerate(checked)]
    return _table(checked, columns), checked


def _table(answers: Sequence[Answer], columns: Columns) -> pa.Table:
    arrays = [
        pa.array([None if isinstance(a, RowRejected) else a[name] for a in answers], type)
        for name, type in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def _fits(answer: Answer, columns: Columns) -> Answer:
    if isinstance(answer, RowRejected):
        return answer
    try:
        _table([answer], columns)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return RowRejected("wrong_output", f"the stage answered with another type: {error}")
    return answer


def _all_finite(answer: Answer, row: pa.Table) -> Answer:
    bad = [name for name in row.column_names if not _finite(row[name])]
    if isinstance(answer, RowRejected) or not bad:
        return answer
    return RowRejected("not_finite", f"the model answered NaN or infinity in '{bad[0]}'")


def _finite(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether every float inside, however nested, is finite."""
    if pa.types.is_floating(column.type):
        return pc.all(pc.is_finite(column), min_count=0).as_py() is not False
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return _finite(pc.list_flatten(column))
    if pa.types.is_struct(column.type):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return all(_finite(field) for chunk in chunks for field in chunk.flatten())
    return True
