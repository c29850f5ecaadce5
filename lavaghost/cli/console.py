"""Progress and tables on standard error; with --json exactly one object on standard output."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lavaghost.errors import OutputError

ERR = Console(stderr=True, highlight=False)


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
            changes["note"] = note
        self._progress.update(self._task, **changes)

    def note(self, text: str) -> None:
        """Show a short note."""
        self._progress.update(self._task, note=text)


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Bar]:
    """A progress bar on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A small table on standard error."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        grid.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*row)
    ERR.print()
    ERR.print(grid)


def figures(title: str, values: Mapping[str, Any]) -> None:
    """A two-column table of named figures."""
    grid = Table.grid(padding=(0, 2))
    for name, value in values.items():
        grid.add_row(name.replace("_", " "), show(value))
    ERR.print(f"\n[bold]{title}[/bold]", grid, sep="\n")


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
    """The result: one JSON object on standard output, or a table on standard error."""
    if as_json:
        click.echo(json.dumps(values, allow_nan=False))
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
