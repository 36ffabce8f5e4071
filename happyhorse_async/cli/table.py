"""Plain tables. No cell is ever cut: a narrow terminal omits the least important columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from .render import plain

_GAP = "  "


@frozen
class Column:
    """One column of a table."""

    title: str
    required: bool = True
    """Whether it is shown even if the terminal is too narrow for all columns."""


def table_lines(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int | None) -> Iterator[str]:
    """
    Yield the lines of a table.

    :param width: of the terminal, in characters; `None` without a terminal.
    """
    cells = [[column.title for column in columns]]
    cells += [["" if cell is None else plain(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    shown = list(range(len(columns)))
    for index in reversed(range(len(columns))):
        needed = sum(widths[each] for each in shown) + len(_GAP) * (len(shown) - 1)
        if width is None or needed <= width:
            break
        if not columns[index].required:
            shown.remove(index)
    for row in cells:
        yield _GAP.join(row[index].ljust(widths[index]) for index in shown).rstrip()
