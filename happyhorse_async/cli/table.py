"""Plain tables. No cell is ever cut: where a terminal is narrow, columns that matter least are left out."""

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
    """Whether it stays where the terminal is too narrow for all."""


def table_lines(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int | None) -> Iterator[str]:
    """
    Yield the lines of a table.

    :param width: of the terminal, in characters; `None` where there is none.
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
