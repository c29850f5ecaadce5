"""The precision study: its grid, its rows, its files, and what is refused before anything runs."""

import csv
import json
from concurrent.futures import CancelledError
from threading import Event

import click
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.base.spec import parse
from lavaghost.cli import quantize as commands
from lavaghost.datasets import load
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.run.plots import against_bits
from lavaghost.run.spec import RunSpec
from lavaghost.studies.precision import (
    COLUMNS,
    MORE_BITS,
    Point,
    Study,
    learned_point,
    limited,
    points,
    raise_alone,
    raised,
    run_study,
    smallest,
    write_table,
)
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run as run_loop

RUN = RunSpec(hidden=(32,), learning=IntegerLearning(epochs=1))


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
    run = RUN.model_copy(update={"learning": IntegerLearning(epochs=10_000)})

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(RUN, "digits", Study(weight_bits=(8,)), report=interrupt)
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        learned_point(run, load("digits"), points(Study())[0], stop)


def test_the_smallest_that_still_learns():
    def row(weight, accuracy):
        return {"weight_bits": weight, "message_bits": 8, "trace_bits": 7, "accuracy": accuracy}

    assert smallest([row(8, 0.97), row(6, 0.965), row(4, 0.9)])["weight_bits"] == 6


# ---- which width limits a result


def result(accuracy, seed=0, rounding="independent", **bits):
    usual = {"weight_bits": 4, "trace_bits": 7, "message_bits": 8, "state_fraction": 12}
    return {**usual, **bits, "rounding": rounding, "seed": seed, "accuracy": accuracy}


def test_a_width_limits_if_more_bits_of_it_alone_gain_accuracy():
    rows = [result(0.80), result(0.95, weight_bits=6), result(0.955, weight_bits=8)]
    beside = [result(0.85, trace_bits=9), result(0.99, state_fraction=14, trace_bits=9)]
    assert [r["limited_by"] for r in limited(rows, beside)] == [
        "weight_bits",
        "none of weight_bits",
        "not raised",
    ]
    # the width that gains most; one that changes together with another says nothing of either
    beside.append(result(0.97, state_fraction=14))
    assert limited(rows, beside)[0]["limited_by"] == "state_fraction"
    # nor does another rounding, or a width with fewer bits
    other = [result(0.99, rounding="shared"), result(0.99, trace_bits=6)]
    assert limited([result(0.80)], other)[0]["limited_by"] == "not raised"
    assert limited([result(0.80)], [result(0.805, trace_bits=9), result(0.7, message_bits=9)])[0][
        "limited_by"
    ] == ("none of message_bits, trace_bits")


def test_seeds_are_compared_by_their_mean():
    lucky = [result(0.80, 0), result(0.90, 1), result(0.88, 0, trace_bits=9), result(0.82, 1, trace_bits=9)]
    assert {r["limited_by"] for r in limited(lucky)} == {"none of trace_bits", "not raised"}


def test_each_width_is_raised_alone_where_it_can_be():
    found = {p.raised: p.having(12) for p in raised(Point(LoihiWidths(weight_bits=4), "independent", 0))}
    # with traces of 7 bits a message has 8 at most
    assert set(found) == {"weight_bits", "trace_bits", "state_fraction"}
    for name, widths in found.items():
        for other in ("weight_bits", "trace_bits", "message_bits", "state_fraction"):
            more = MORE_BITS if other == name else 0
            assert getattr(widths, other) == getattr(LoihiWidths(weight_bits=4), other) + more
    assert "weight_bits" not in {p.raised for p in raised(Point(LoihiWidths(), "independent", 0))}


def test_what_is_raised_is_what_runs():
    """Weights of two bits limit a run that learns well with four."""
    run = RUN.model_copy(update={"learning": IntegerLearning(epochs=2)})
    study = Study(weight_bits=(3,), seeds=2)
    rows = run_study(run, "digits", study)
    beside = raise_alone(run, "digits", study, rows)
    differs = {
        tuple(name for name in ("weight_bits", "trace_bits", "state_fraction") if r[name] != rows[0][name])
        for r in beside
    }
    assert differs == {("weight_bits",), ("trace_bits",), ("state_fraction",)}
    assert len(beside) == 6
    assert {r["limited_by"] for r in limited(rows, beside)} == {"weight_bits"}
    again = run_study(run, "digits", Study(weight_bits=(5,), seeds=2))
    assert [r["accuracy"] for r in beside if r["weight_bits"] == 5] == [r["accuracy"] for r in again]


def test_a_study_learns_in_integers_of_widths_of_its_own():
    for values, said in (
        ({"learning": {"epochs": 1}}, "learns with arithmetic loihi and engine stepped"),
        ({"learning": {"arithmetic": "loihi", "engine": "lava"}}, "engine stepped"),
        (
            {"learning": {"arithmetic": "loihi"}, "hardware": "loihi1"},
            "hardware is loihi1, and .* leave it out",
        ),
    ):
        with pytest.raises(SpecError, match=said):
            run_study(parse(RunSpec, values), "digits", Study())


def test_every_row_has_its_seconds(tmp_path):
    """Of a run that learns, and of a saved network that is only measured."""
    data, network, learning = load("digits"), RUN.network_for(64, 10), Learning(epochs=1)
    methods = (RUN.method, Backprop())
    saved = [
        Model(
            network,
            method,
            learning,
            run_loop(FloatLearner(network, method, learning, data, diagnostics=False)).params,
            data.scale,
            tuple(range(10)),
            "digits",
        )
        for method in methods
    ]
    for subject in (RUN, *saved):
        rows = run_study(subject, "digits", Study(weight_bits=(4, 8)))
        with write_table(limited(rows), tmp_path / "t.csv").open() as file:
            table = list(csv.DictReader(file))
        assert all(float(r["seconds"]) > 0 for r in table)
        assert all(r["limited_by"] for r in table)
        assert all(len(r["cosines"].split()) == 2 for r in table)


def test_the_command(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("dataset: digits\nhidden: [8]\nlearning: {epochs: 1}\n")
    arguments = [str(config), "--weight-bits", "4,8", "--jobs", "1", "--out", str(tmp_path / "out")]
    commands.precision_command.main([*arguments, "--json"], standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert [r["weight_bits"] for r in values["rows"]] == [4, 8]
    assert values["rows"][0]["limited_by"] in ("weight_bits", "none of weight_bits")
    assert values["smallest"] in values["rows"]
    assert (tmp_path / "out" / "precision.csv").exists()
    assert (tmp_path / "out" / "precision.png").exists()
    commands.precision_command.main([*arguments, "--no-raise"], standalone_mode=False)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "limited by" in shown.err
    assert "each width raised alone" not in shown.err
    with pytest.raises(click.BadParameter, match="list of bits"):
        commands.precision_command.main([str(config), "--weight-bits", "x"], standalone_mode=False)
