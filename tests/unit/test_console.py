"""What is shown may come from a file: it never acts on the terminal, breaks a line, or is taken for markup."""

import io
import json
import unicodedata
import warnings

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from lavaghost.base.errors import LavaGhostWarning, warn
from lavaghost.cli import console, run
from lavaghost.cli.commands import cli
from lavaghost.cli.console import HIDDEN, literal

HOSTILE = "a\x1b[31mred\x07 [bold]b[/x] \u202eabc \x9b2J \r\n\t \x7f :smile:"


@pytest.fixture
def command():
    """A command that shows a hostile text in every way there is."""

    @cli.command("hostile")
    @click.option("--json", "as_json", is_flag=True)
    def hostile(as_json):
        warn(HOSTILE)
        warn(HOSTILE)
        with console.bar(HOSTILE, 2) as progress:
            progress.update(1, note=HOSTILE)
            progress.note(HOSTILE)
        console.say(HOSTILE, "bold")
        console.table(HOSTILE, (HOSTILE,), [(HOSTILE,)])
        console.emit({"text": HOSTILE, HOSTILE: [HOSTILE]}, as_json, HOSTILE)

    yield
    del cli.commands["hostile"]


@pytest.mark.parametrize("columns", ["60", "400"])
def test_nothing_that_is_shown_acts_on_the_terminal(command, capfd, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert run(["hostile"]) == 0
    shown = capfd.readouterr().err
    assert not [c for c in shown if c != "\n" and unicodedata.category(c) in HIDDEN]
    if columns == "400":
        assert shown.count("\\x1b[31mred\\x07 [bold]b[/x] \\u202eabc") >= 5


def test_warnings_are_said_once_and_stand_in_json(command, capfd):
    assert run(["hostile", "--json"]) == 0
    found = capfd.readouterr()
    assert json.loads(found.out)["warnings"] == [" ".join(HOSTILE.split())]
    assert found.err.count("warning: ") == 1


def test_warnings_of_one_command_are_not_those_of_the_next(command, capfd):
    run(["hostile", "--json"])
    capfd.readouterr()
    run(["map", "--help"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", LavaGhostWarning)
        with pytest.raises(LavaGhostWarning):
            warn("outside of a command it is Python's to show")


@given(st.text())
def test_literal_leaves_what_can_be_seen(text):
    shown = literal(text)
    assert not [c for c in shown if unicodedata.category(c) in HIDDEN]
    if not any(unicodedata.category(c) in HIDDEN for c in text):
        assert shown == text


# ---- narrow terminals


def at(width, show, *arguments):
    """What `show` shows on a terminal of so many columns."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        terminal = Console(width=width, highlight=False, markup=False, emoji=False, file=stream)
        patch.setattr(console, "_err", lambda: terminal)
        show(*arguments)
    return stream.getvalue()


WORD = st.text("abcdefgh0123456789.,%[:]-", min_size=1, max_size=18)
CELL = st.lists(WORD, max_size=6).map(" ".join)
ROWS = st.integers(1, 7).flatmap(
    lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=5)
)


@given(ROWS, st.integers(60, 140))
def test_no_word_of_a_table_is_cut(rows, width):
    """At any width from 60 columns on: all words are there, whole, in lines that fit."""
    names = [f"column{i}" for i in range(len(rows[0]))]
    shown = at(width, console.table, "title", names, rows)
    assert "\u2026" not in shown
    assert max(map(cell_len, shown.splitlines())) <= width
    words = shown.split()
    for word in (word for row in rows for cell in row for word in cell.split()):
        assert words.count(word) >= sum(row.count(word) for row in rows)
        assert word in words


@given(st.dictionaries(CELL.filter(bool), CELL, min_size=1, max_size=5), st.integers(60, 140))
def test_no_figure_is_cut(values, width):
    shown = at(width, console.figures, "title", values)
    assert "\u2026" not in shown
    assert max(map(cell_len, shown.splitlines())) <= width
    assert set(shown.split()) >= {word for value in values.values() for word in value.split()}


def test_what_is_longer_than_a_line_is_broken_and_not_cut():
    path = "/a/long/path/" * 12
    for show, arguments in (
        (console.figures, ({"model": path},)),
        (console.table, (("what", "n"), [(path, "1")])),
        (console.table, (("n", "what"), [("1", path)])),
    ):
        shown = at(60, show, "title", *arguments)
        assert path in "".join(shown.split())
        assert "\u2026" not in shown


def test_a_wide_terminal_gets_a_table_and_a_narrow_one_records():
    names, row = ["layer", *(f"a figure {i}" for i in range(8))], [str(1000 + i) for i in range(9)]
    wide, narrow = at(140, console.table, "t", names, [row, row]), at(60, console.table, "t", names, [row, row])
    assert sum("1000" in line and "1008" in line for line in wide.splitlines()) == 2
    lines = narrow.splitlines()
    assert lines.count("layer 1000") == 2
    assert sum(line.split() == ["a", "figure", "7", "1008"] for line in lines) == 2
    # a title may be longer than the table below it
    assert "a long title that stays whole" in at(
        60, console.table, "a long title that stays whole", ["n"], [["1"]]
    )


def test_figures_stand_on_the_right_and_words_on_the_left():
    shown = at(60, console.table, "t", ("what", "n", "why"), [("a", "1", "x"), ("b", "100", "longer")])
    rows = shown.splitlines()[-2:]
    assert rows[0].index("1") == rows[1].index("100") + 2
    assert rows[0].index("x") == rows[1].index("longer")
