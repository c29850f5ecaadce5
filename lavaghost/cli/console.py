"""The one way to the terminal: progress and tables on standard error; with --json one object on standard output.

Whatever is shown may come from a file: control characters are shown as escapes, and `[` is no markup (`literal`).
"""

import functools
import os
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lavaghost.base.errors import LavaGhostWarning, OutputError, warn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that are shown as escapes: control, format (such as direction), surrogates, unassigned."""
LOWEST = 10
"""Classes that a table shows; --json has all."""
_warned: list[str] = []
"""What was warned of while this command runs, each once."""


def literal(text: object) -> str:
    """`text` with every character that would act on a terminal, break the line or hide, as its escape."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in HIDDEN else c for c in str(text))


@functools.cache
def _err() -> "Console":
    """Standard error. It is made when it is used, since importing it takes longer than `--help` may."""
    from rich.console import Console

    class Error(Console):
        def on_broken_pipe(self) -> None:
            """Nobody reads any more; the work goes on."""
            self.quiet = True
            _to_nowhere(2)

    return Error(stderr=True, highlight=False, markup=False, emoji=False)


def _to_nowhere(handle: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, handle)
    os.close(nowhere)


def _text(text: object, style: str = "") -> "Text":
    from rich.text import Text

    return Text(literal(text), style=style)


def write(text: str, *, err: bool = False) -> None:
    """One text of our own on standard output, or error; where its reader has gone, that is no failure."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        _to_nowhere(2 if err else 1)


def say(text: object, style: str = "") -> None:
    """One line on standard error."""
    _err().print(_text(text, style), soft_wrap=True)


def fail(message: str) -> None:
    """The one line in which a command fails."""
    write(literal("lavaghost: " + message.strip().partition("\n")[0]), err=True)


@contextmanager
def _log_shown() -> Iterator[None]:
    """While the block runs, what the package logs, such as that it compiles, is a line on standard error."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    log, handler = logging.getLogger("lavaghost"), Said()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


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

    def __init__(self, progress: "Progress", task: Any) -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, total: float | None = None, note: str | None = None) -> None:
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
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        # what stands beside it is about 50 wide
        BarColumn(bar_width=max(4, min(28, _err().width - 50 - len(title)))),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _log_shown(), Progress(*columns, console=_err()) as progress:
        yield Bar(progress, progress.add_task(literal(title), total=total, note=""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A small table on standard error; where the terminal is too narrow for it, a record for each row."""
    from lavaghost.cli.tables import show_table

    _err().print("", _text(title, "bold"), sep="\n")
    show_table(_err(), [literal(name) for name in columns], [[literal(cell) for cell in row] for row in rows])


def figures(title: str, values: Mapping[str, Any]) -> None:
    """A two-column table of named figures."""
    from lavaghost.cli.tables import show_pairs

    _err().print("", _text(title, "bold"), sep="\n")
    show_pairs(_err(), [(literal(k.replace("_", " ")), literal(show(v))) for k, v in values.items()])


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


def milli(value: float | None, unit: str) -> str:
    """0.00059 as 0.59 mJ; None is unknown."""
    return "unknown" if value is None else f"{value * 1e3:.4g} m{unit}"


def emit(values: Mapping[str, Any], as_json: bool, title: str) -> None:
    """The result: one JSON object on standard output, with `warnings`, or a table on standard error."""
    if as_json:
        import json

        write(json.dumps({**values, "warnings": _warned}, allow_nan=False).replace("\x7f", "\\u007f"))
    else:
        figures(title, values)


@contextmanager
def output_folder(folder: Path, *, force: bool = False, resume: bool = False) -> Iterator[None]:
    """While the block runs, `folder` is this command's alone. Raises `OutputError` before any work is done.

    A network that is there is not overwritten, unless `force` says so, or `resume` that it goes on.
    """
    from lavaghost.base.files import locked
    from lavaghost.model.model import MANIFEST_NAME
    from lavaghost.training.checkpoint import FILE_NAME

    with locked(folder):
        if not (force or resume):
            if (folder / MANIFEST_NAME).exists():
                raise OutputError(
                    f"{folder} holds a trained network, which would be overwritten; go on with --resume where the "
                    "command has it, overwrite it with --force, or choose another --out"
                )
            if (folder / FILE_NAME).exists():
                warn(
                    f"{folder} holds the checkpoint of a run that did not end, and this one starts anew over it"
                )
        yield


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
