"""Markdown tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

ABSENT = ""

_Row = TypeVar("_Row")


class Table(Generic[_Row]):
    """A Markdown table whose rows are printed one by one; `columns` say what stands under which title."""

    def __init__(self, columns: Mapping[str, Callable[[_Row], object]]) -> None:
        self._columns = columns

    @property
    def head(self) -> str:
        return f"{_line(list(self._columns))}\n{_line(['---'] * len(self._columns))}"

    def line(self, row: _Row) -> str:
        return _line([content(row) for content in self._columns.values()])

    def whole(self, rows: Sequence[_Row]) -> str:
        """Head and rows, the columns as wide as what stands in them."""
        contents = [list(self._columns), *([str(cell(row)) for cell in self._columns.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*contents, strict=True)]
        head, *lines = (_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in contents)
        return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines])


def _line(contents: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, contents))} |"


def number(value: float | None, form: str = ".1f") -> str:
    return ABSENT if value is None else format(value, form)
