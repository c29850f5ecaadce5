"""The precision study: its grid, its rows, its files, and what is refused before anything runs."""

import csv
import json
from concurrent.futures import CancelledError
from threading import Event

import click
import pytest

from lavaghost.cli import quantize as commands
from lavaghost.config import RunConfig
from lavaghost.datasets import load
from lavaghost.errors import SpecError
from lavaghost.plots import against_bits
from lavaghost.precision import COLUMNS, Study, learn, points, run_study, smallest, write_table
from lavaghost.spec import Learning, parse

RUN = RunConfig(hidden=(32,), learning=Learning(epochs=1))


def test_a_grid_is_every_combination():
    study = Study(weight_bits=(4, 8), message_bits=(6, 8), rounding=("independent", "shared"), seeds=3)
    found = points(study)
    assert len(found) == len(set(found)) == 24
    assert {p.widths.weight_bits for p in found} == {4, 8}


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"weight_bits": (0,)}, "widths.weight_bits is 0"),
        ({"weight_bits": (12,)}, "widths.weight_bits is 12"),
        ({"trace_bits": (3,)}, "message_bits 8 with trace_bits 3.*at most 4 bits"),
    ],
)
def test_widths_that_cannot_work_are_refused_first(grid, said):
    with pytest.raises(SpecError, match=said):
        points(Study(**grid))


def test_an_empty_grid_or_an_unknown_rounding_is_refused():
    with pytest.raises(SpecError, match="weight_bits"):
        parse(Study, {"weight_bits": ()})
    with pytest.raises(SpecError, match="rounding"):
        parse(Study, {"rounding": ("up",)})


def test_rows_table_and_plot(tmp_path):
    seen = []
    study = Study(weight_bits=(2, 8), rounding=("independent", "shared", "nearest"))
    rows = run_study(RUN, "digits", study, jobs=1, report=lambda *at: seen.append(at))
    assert seen[0] == (0, 6)
    assert seen[-1] == (6, 6)
    assert [r["weight_bits"] for r in rows] == [2, 2, 2, 8, 8, 8]
    best = {r["rounding"]: r["accuracy"] for r in rows if r["weight_bits"] == 8}
    assert best["independent"] > 0.5
    # updates below half a step are lost when they are rounded to the nearest
    assert best["nearest"] < best["independent"]
    with write_table(rows, tmp_path / "t.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == COLUMNS
    assert [float(r["accuracy"]) for r in table] == [r["accuracy"] for r in rows]
    assert len(table[0]["cosines"].split()) == 2
    assert against_bits(rows, tmp_path / "p.png").stat().st_size > 10_000


def test_threads_give_the_rows_of_one():
    study = Study(weight_bits=(4, 8), seeds=2)
    alone = run_study(RUN, "digits", study, jobs=1)
    spread = run_study(RUN, "digits", study, jobs=3)
    for a, b in zip(alone, spread, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_an_interrupted_study_stops_its_runs():
    run = RUN.model_copy(update={"learning": Learning(epochs=10_000)})

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(RUN, "digits", Study(weight_bits=(8,)), report=interrupt)
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        learn(run, load("digits"), points(Study())[0], stop)


def test_the_smallest_that_still_learns():
    def row(weight, accuracy):
        return {"weight_bits": weight, "message_bits": 8, "trace_bits": 7, "accuracy": accuracy}

    assert smallest([row(8, 0.97), row(6, 0.965), row(4, 0.9)])["weight_bits"] == 6


def test_the_command(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("dataset: digits\nhidden: [8]\nlearning: {epochs: 1}\n")
    arguments = [str(config), "--weight-bits", "4,8", "--jobs", "1", "--out", str(tmp_path / "out")]
    commands.precision.main([*arguments, "--json"], standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert [r["weight_bits"] for r in values["rows"]] == [4, 8]
    assert (tmp_path / "out" / "precision.csv").exists()
    assert (tmp_path / "out" / "precision.png").exists()
    commands.precision.main(arguments, standalone_mode=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(click.BadParameter, match="list of bits"):
        commands.precision.main([str(config), "--weight-bits", "x"], standalone_mode=False)
