"""The one way to the terminal: progress and tables on standard error; with --json one object on standard output.

Whatever is shown may come from a file: control characters are shown as escapes, and `[` is no markup (`literal`).
"""

import json
import math
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lavaghost.errors import LavaGhostWarning, OutputError

ERR = Console(stderr=True, highlight=False, markup=False, emoji=False)
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that are shown as escapes: control, format (such as direction), surrogates, unassigned."""
GAP = 3
"""Blanks between two columns."""
MOST_LINES = 3.0
"""Lines of a row of a table in the mean; what has more is easier to read as records."""
_warned: list[str] = []
"""What was warned of while this command runs, each once."""


def literal(text: object) -> str:
    """`text` with every character that would act on a terminal, break the line or hide, as its escape."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in HIDDEN else c for c in str(text))


def say(text: object, style: str = "") -> None:
    """One line on standard error."""
    ERR.print(Text(literal(text), style=style), soft_wrap=True)


def fail(message: str) -> None:
    """The one line in which a command fails."""
    click.echo(literal("lavaghost: " + message.strip().partition("\n")[0]), err=True)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """While the block runs, each `LavaGhostWarning` is a line on standard error, and is kept for `emit`."""
    _warned.clear()
    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.simplefilter("always", LavaGhostWarning)

        def show(message: Any, category: Any, *rest: Any) -> None:
            if not issubclass(category, LavaGhostWarning):
                usual(message, category, *rest)
            elif (text := str(message)) not in _warned:
                _warned.append(text)
                say(f"warning: {text}", "yellow")

        warnings.showwarning = show
        yield


class Bar:
    """One progress bar; `update` takes what is done so far."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int | None = None, note: str | None = None) -> None:
        """Show `done` of `total`, and a short note such as the present accuracy."""
        changes: dict[str, Any] = {"completed": done}
        if total is not None:
            changes["total"] = total
        if note is not None:
            changes["note"] = literal(note)
        self._progress.update(self._task, **changes)

    def note(self, text: str) -> None:
        """Show a short note."""
        self._progress.update(self._task, note=literal(text))


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Bar]:
    """A progress bar on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        # what stands beside it is about 50 wide
        BarColumn(bar_width=max(4, min(28, ERR.width - 50 - len(title)))),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
        yield Bar(progress, progress.add_task(literal(title), total=total, note=""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A small table on standard error; where the terminal is too narrow for it, a record for each row.

    Nothing is cut: a column is at least as wide as its longest word, and a row has few lines.
    """
    names, cells = [literal(name) for name in columns], [[literal(cell) for cell in row] for row in rows]
    ERR.print("", Text(literal(title), style="bold"), sep="\n")
    found = layout([names, *cells], ERR.width)
    if found is None:
        _records(names, cells)
        return
    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, column, width in zip(names, zip(*cells, strict=True) if cells else names, found, strict=True):
        grid.add_column(Text(name), justify=_side(column), width=width, overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    ERR.print(grid)


def _side(column: Sequence[str]) -> Literal["left", "right"]:
    """Figures stand on the right, words on the left."""
    return "right" if all(cell[:1] in "0123456789+-." for cell in column) else "left"


def _records(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as its first cell, and below it the others by name."""
    for first, *rest in rows:
        ERR.print(Text(f"{names[0]} {first}"), overflow="fold")
        ERR.print(_pairs([(f"  {name}", cell) for name, cell in zip(names[1:], rest, strict=True) if cell]))


def figures(title: str, values: Mapping[str, Any]) -> None:
    """A two-column table of named figures."""
    pairs = [(literal(name.replace("_", " ")), literal(show(value))) for name, value in values.items()]
    ERR.print("", Text(literal(title), style="bold"), _pairs(pairs), sep="\n")


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, GAP), pad_edge=False)
    names = layout([[name] for name, _ in pairs], ERR.width // 2, most_lines=math.inf) or [ERR.width // 2]
    grid.add_column(width=names[0], overflow="fold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), Text(value))
    return grid


def layout(rows: Sequence[Sequence[str]], room: int, most_lines: float = MOST_LINES) -> list[int] | None:
    """Widths of the columns of `rows`, in cells of the terminal, so that they and the gaps fit into `room`.

    No word is broken, and a row has at most `most_lines` lines in the mean; None where there are no such widths.
    """
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
        max(len(Text(cell).wrap(ERR, width)) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    return widths if sum(lines) <= most_lines * len(lines) else None


def show(value: Any) -> str:
    """A figure as a person reads it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "  ".join(show(v) for v in value)
    return str(value)


def percent(value: float) -> str:
    """0.9722 as 97.22 %."""
    return f"{100 * value:.2f} %"


def emit(values: Mapping[str, Any], as_json: bool, title: str) -> None:
    """The result: one JSON object on standard output, with `warnings`, or a table on standard error."""
    if as_json:
        click.echo(json.dumps({**values, "warnings": _warned}, allow_nan=False).replace("\x7f", "\\u007f"))
    else:
        figures(title, values)


def check_writable(folder: Path) -> None:
    """Make `folder`, and fail before any work is done if nothing can be written there."""
    probe = folder / ".lavaghost-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out"
        ) from error
