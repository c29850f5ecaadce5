"""What is shown may come from a file: it never acts on the terminal, breaks a line, or is taken for markup."""

import json
import unicodedata
import warnings

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavaghost.cli import run
from lavaghost.cli.commands import cli
from lavaghost.cli.console import HIDDEN, literal
from lavaghost.errors import LavaGhostWarning, warn

HOSTILE = "a\x1b[31mred\x07 [bold]b[/x] \u202eabc \x9b2J \r\n\t \x7f :smile:"


@pytest.fixture
def command():
    """A command that shows a hostile text in every way there is."""

    @cli.command("hostile")
    @click.option("--json", "as_json", is_flag=True)
    def hostile(as_json):
        from lavaghost.cli import console

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
