"""The one way to the terminal: progress and tables on standard error; with --json one object on standard output.

Whatever is shown may come from a file: control characters are shown as escapes, and `[` is no markup (`literal`).
"""

import json
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lavaghost.errors import LavaGhostWarning, OutputError

ERR = Console(stderr=True, highlight=False, markup=False, emoji=False)
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that are shown as escapes: control, format (such as direction), surrogates, unassigned."""
LOWEST = 10
"""Classes that a table shows; --json has all."""
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
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
        yield Bar(progress, progress.add_task(literal(title), total=total, note=""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A small table on standard error."""
    grid = Table(
        title=Text(literal(title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for i, name in enumerate(columns):
        grid.add_column(Text(literal(name)), justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*(Text(literal(cell)) for cell in row))
    ERR.print()
    ERR.print(grid)


def figures(title: str, values: Mapping[str, Any]) -> None:
    """A two-column table of named figures."""
    grid = Table.grid(padding=(0, 2))
    for name, value in values.items():
        grid.add_row(literal(name.replace("_", " ")), Text(literal(show(value))))
    ERR.print("", Text(literal(title), style="bold"), grid, sep="\n")


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


def emit_with_classes(
    values: Mapping[str, Any], as_json: bool, title: str, labels: Sequence[int | str]
) -> None:
    """`emit` a result with the figures of each class (`evaluation.class_figures`); a table has the lowest recalls."""
    per_class = ("class_counts", "recall", "confusion")
    emit({k: v for k, v in values.items() if as_json or k not in per_class}, as_json, title)
    if as_json:
        return
    recall, counts = values["recall"], values["class_counts"]
    tested = [k for k in range(len(recall)) if recall[k] is not None]
    rows = sorted(tested, key=lambda k: recall[k])[:LOWEST]
    what = (
        "Recall of each class"
        if len(rows) == len(recall)
        else f"The {len(rows)} lowest recalls of {len(recall)}"
    )
    table(
        what,
        ("class", "samples", "recall"),
        [(str(labels[k]), str(counts[k]), percent(recall[k])) for k in rows],
    )


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
