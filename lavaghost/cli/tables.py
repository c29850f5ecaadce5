"""Tables that are readable on every terminal: no cell is cut, and where it is too narrow a row becomes a record.

Its texts are `literal` already. It is loaded when something is shown, since it needs rich.
"""

import math
from collections.abc import Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 3
"""Blanks between two columns."""
MOST_LINES = 3.0
"""Lines of a row of a table in the mean; what has more is easier to read as records."""


def show_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A small table; where the terminal is too narrow for it, a record for each row.

    Nothing is cut: a column is at least as wide as its longest word, and a row has few lines.
    """
    found = layout([columns, *rows], console.width)
    if found is None:
        _records(console, columns, rows)
        return
    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, column, width in zip(columns, zip(*rows, strict=True) if rows else columns, found, strict=True):
        grid.add_column(Text(name), justify=_side(column), width=width, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print(grid)


def show_pairs(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Names, and beside each its value."""
    console.print(_pairs(console, pairs))


def _side(column: Sequence[str]) -> Literal["left", "right"]:
    """Figures stand on the right, words on the left."""
    return "right" if all(cell[:1] in "0123456789+-." for cell in column) else "left"


def _records(console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as its first cell, and below it the others by name."""
    for first, *rest in rows:
        console.print(Text(f"{names[0]} {first}"), overflow="fold")
        pairs = [(f"  {name}", cell) for name, cell in zip(names[1:], rest, strict=True) if cell]
        console.print(_pairs(console, pairs))


def _pairs(console: Console, pairs: Sequence[tuple[str, str]]) -> Table:
    grid, half = Table.grid(padding=(0, GAP), pad_edge=False), console.width // 2
    names = layout([[name] for name, _ in pairs], half, most_lines=math.inf) if pairs else None
    grid.add_column(width=(names or [half])[0], overflow="fold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), Text(value))
    return grid


def layout(rows: Sequence[Sequence[str]], room: int, most_lines: float = MOST_LINES) -> list[int] | None:
    """Widths of the columns of `rows`, in cells of the terminal, so that they and the gaps fit into `room`.

    No word is broken, and a row has at most `most_lines` lines in the mean; None where there are no such widths.
    """
    console = Console()
    columns = list(zip(*rows, strict=True))
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=1) for column in columns]
    whole = [max(map(cell_len, column)) for column in columns]
    room -= GAP * (len(columns) - 1)
    if sum(words) > room:
        return None
    # as wide as they would be, but for the widest, which share what is left
    limit = next((n for n in range(room, 0, -1) if sum(map(max, words, (min(n, w) for w in whole))) <= room), 1)
    widths = [max(1, word, min(limit, full)) for word, full in zip(words, whole, strict=True)]
    lines = [
        max(len(Text(cell).wrap(console, width)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return widths if sum(lines) <= most_lines * len(lines) else None
