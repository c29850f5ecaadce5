"""Comparisons: what a row is, what is refused before anything runs, and what the figures of runs come to."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset, load
from lavaghost.studies import compare
from lavaghost.studies.compare import Ended, ended, read_ended, refuse, run_cells
from lavaghost.studies.compare_plan import ComparedRun, chosen, loaded, planned
from lavaghost.studies.compare_plot import comparison_figure
from lavaghost.studies.compare_rows import rows, summary
from lavaghost.studies.compare_tables import write_all
from lavaghost.studies.comparison import CompareSpec, read_comparison

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "benchmarks" / "peers").glob("*.yaml"))
SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "base": {"hidden": [12], "learning": {"epochs": 2, "batch_size": 100}},
    "methods": ["backprop", "ghost", {"label": "slow", "method": "backprop", "learning": {"eta": 0.001}}],
}
Data = dict[str, Dataset]


def comparison(**changes: Any) -> CompareSpec:
    return parse(CompareSpec, SMALL | changes)


@pytest.fixture(scope="module")
def data() -> Data:
    return {"digits": load("digits")}


@pytest.fixture(scope="module")
def done(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[ComparedRun, ...], Path]:
    """A comparison that has run."""
    out = tmp_path_factory.mktemp("compare")
    cells = planned(comparison(), data)
    run_cells(cells, data, out)
    return cells, out


@pytest.fixture(scope="module")
def like_mnist() -> Dataset:
    """A few samples of the size of those of MNIST."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 784), dtype=np.float32)
    y = np.arange(40) % 10
    return Dataset("like_mnist", x, y, x, y, 10)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_specification_of_ours_can_run(path: Path, data: Data, like_mnist: Dataset) -> None:
    found = read_comparison(path)
    cells = planned(found, {name: data.get(name, like_mnist) for name in found.datasets})
    assert len(cells) == len(found.datasets) * len(found.seeds) * len(found.labels)
    assert len({cell.folder for cell in cells}) == len({cell.identity for cell in cells}) == len(cells)
    assert len(found.seeds) == 3
    assert found.measured_by in found.labels


def test_a_row_is_the_base_with_what_it_says_over_it(data: Data) -> None:
    base = {
        "hidden": [12],
        "network": {"activation": "hard_sigmoid"},
        "method": {"name": "ghost", "lam": 0.02},
        "learning": {"epochs": 3, "eta": 0.5},
    }
    methods = [
        {"label": "as it is"},
        {"label": "other settings", "method": {"beta": 0.5}, "learning": {"eta": 0.25}},
        {"label": "larger", "hidden": [16, 14]},
        "brainprop",
    ]
    cells = planned(comparison(base=base, methods=methods, seeds=[7]), data)
    same, other, larger, brainprop = cells
    assert [cell.label for cell in cells] == ["as it is", "other settings", "larger", "brainprop"]
    assert {cell.spec.learning.seed for cell in cells} == {7}
    assert {cell.spec.network.activation for cell in cells} == {"hard_sigmoid"}
    assert [dict(cell.spec.learning)["eta"] for cell in cells] == [0.5, 0.25, 0.5, 0.5]
    assert (same.spec.method.lam, same.spec.method.beta) == (0.02, 0.1)
    assert (other.spec.method.lam, other.spec.method.beta) == (0.02, 0.5)
    assert larger.layers == (64, 16, 14, 10)
    # another method brings its own settings, and a loss that it has
    assert brainprop.spec.method.name == "brainprop"
    assert brainprop.spec.network.loss == "squared_error"
    assert brainprop.spec.learning.epochs == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["backprop", "backprop"]}, ["'backprop' and 'backprop' are named alike"]),
        (
            {"methods": [{"label": "a b", "method": "fa"}, {"label": "A-B", "method": "dfa"}]},
            ["'a b' and 'A-B'"],
        ),
        ({"methods": [{"hidden": [3]}]}, ["methods.0 names no method; give it a label"]),
        ({"methods": [{"label": "...", "method": "fa"}]}, ["have no letter or digit"]),
        (
            {"seeds": [1, 1], "control": "fa"},
            ["seeds [1, 1] has one twice", "control 'fa' is no row"],
        ),
        ({"base": {"learning": {"seed": 3}}}, ["base: learning.seed is what seeds are"]),
        ({"base": {"dataset": "digits"}}, ["base.dataset: unknown key; known keys are hidden, learning"]),
        ({"published": [{"label": "x", "dataset": "y"}]}, ["'y' is none of the data sets"]),
        ({"title": "a\nb", "reach": 2, "seeds": []}, ["title", "reach", "seeds"]),
        ({"methods": 3}, ["methods"]),
    ],
)
def test_what_a_specification_cannot_mean_is_refused_in_a_line(
    changes: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(SpecError) as refused:
        comparison(**changes)
    text = str(refused.value)
    assert "\n" not in text
    for words in said:
        assert words in text


def test_faults_of_all_rows_come_together(data: Data) -> None:
    methods = [
        "backprop",
        {"label": "one", "method": "no-such"},
        {"label": "two", "method": "brainprop", "network": {"loss": "cross_entropy"}},
        {"label": "three", "method": {"name": "dfa", "feedback": "tied"}, "learning": {"momentum": 2.0}},
    ]
    with pytest.raises(SpecError) as refused:
        planned(comparison(methods=methods), data)
    text = str(refused.value)
    assert "\n" not in text
    assert "row 'one'" in text
    assert "row 'two' on digits: method 'brainprop' has no loss 'cross_entropy'" in text
    assert "row 'three'" in text
    assert "momentum" in text
    assert "row 'backprop'" not in text


def test_parts_are_chosen_by_row_and_seed(data: Data) -> None:
    whole = comparison()
    cells = planned(whole, data)
    assert chosen(whole, cells, (), ()) == cells
    part = chosen(whole, cells, ("ghost", "slow"), (1,))
    assert [(cell.label, cell.seed) for cell in part] == [("ghost", 1), ("slow", 1)]
    with pytest.raises(
        SpecError, match=r"--only 'x': the rows are backprop, ghost, slow; --seed 4: the seeds are 0, 1"
    ):
        chosen(whole, cells, ("x",), (4,))


def test_data_sets_are_found_where_the_call_says(tmp_path: Path, data: Data) -> None:
    digits = data["digits"]
    np.savez(
        tmp_path / "mine.npz",
        x_train=digits.x_train, y_train=digits.y_train, x_test=digits.x_test, y_test=digits.y_test,
    )  # fmt: skip
    whole = comparison(datasets=["digits", "elsewhere"])
    found = loaded(whole, {"elsewhere": str(tmp_path / "mine.npz")})
    assert np.array_equal(found["elsewhere"].x_test, digits.x_test)
    with pytest.raises(
        ValueError, match=r"say where elsewhere lies with --dataset elsewhere=FOLDER.*--dataset other"
    ):
        loaded(whole, {"other": "."})


def test_a_run_that_ended_is_not_run_again(done: tuple[tuple[ComparedRun, ...], Path], data: Data) -> None:
    cells, out = done
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert refuse(cells, out, resume=False, force=False) == []
    assert set(run_cells(cells, data, out)) == set(cells)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    # another way to say the same: the same runs
    again = planned(comparison(methods=list(reversed(SMALL["methods"])), seeds=[1, 0]), data)
    assert set(ended(again, out)) == set(again)


def test_a_run_of_other_settings_is_refused_with_what_differs(
    done: tuple[tuple[ComparedRun, ...], Path], data: Data
) -> None:
    _, out = done
    base = {"hidden": [12], "learning": {"epochs": 3, "batch_size": 100}}
    other = planned(comparison(base=base), data)
    for refused in (lambda: refuse(other, out, resume=True, force=False), lambda: ended(other, out)):
        with pytest.raises(ModelFileError, match=r"learning\.epochs: 2, now 3") as error:
            refused()
        assert str(error.value).count("epochs: 2, now 3") == len(other)  # all together
    assert refuse(other, out, resume=False, force=True) == list(other)


class Killed(Exception):
    """What ends a run in the middle of a batch."""


def test_a_run_that_was_killed_goes_on_to_the_bit(
    done: tuple[tuple[ComparedRun, ...], Path], data: Data, tmp_path: Path
) -> None:
    cells, out = done
    part = [cell for cell in cells if cell.seed == 1]

    def kill(cell: ComparedRun, epochs: float, _row: Any) -> None:
        if cell.label == "ghost" and 1.2 < epochs < 2:
            raise Killed

    with pytest.raises(Killed):
        run_cells(part, data, tmp_path, tell=kill)
    assert {cell.label for cell in ended(part, tmp_path)} == {"backprop"}
    with pytest.raises(ModelFileError, match=r"ghost.seed-1 did not end; go on with --resume"):
        refuse(part, tmp_path, resume=False, force=False)
    left = refuse(part, tmp_path, resume=True, force=False)
    assert [cell.label for cell in left] == ["ghost", "slow"]
    found = run_cells(left, data, tmp_path)
    for cell in part:
        one, whole = read_ended(tmp_path, cell), read_ended(out, cell)
        assert one is not None
        assert whole is not None
        assert (one.history, one.recall) == (whole.history, whole.recall)
        weights = [folder / cell.folder / "model.safetensors" for folder in (out, tmp_path)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    # what went on has no time of its own
    assert [found[cell].seconds is None for cell in left] == [True, False]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "x"}', '{"belongs_to": 3, "history": []}', "\xff"]
)
def test_a_damaged_result_is_told(text: str, data: Data, tmp_path: Path) -> None:
    cell = planned(comparison(), data)[0]
    path = tmp_path / cell.folder / compare.RESULT
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelFileError, match=r"result\.json.*with --force"):
        read_ended(tmp_path, cell)


def test_a_run_that_diverges_is_a_row_and_the_others_go_on(data: Data, tmp_path: Path) -> None:
    whole = comparison(
        seeds=[0],
        methods=[
            {
                "label": "wild",
                "method": "backprop",
                "network": {"loss": "squared_error"},
                "learning": {"eta": 1e6},
            },
            "backprop",
        ],
    )
    cells = planned(whole, data)
    found = run_cells(cells, data, tmp_path)
    wild, tame = (found[cell] for cell in cells)
    assert wild.diverged
    assert "diverged" in wild.why
    assert [row["epoch"] for row in wild.history] == [0]
    assert not tame.diverged
    values = write_all(whole, cells, found, tmp_path)
    assert values["diverged"] == ["wild, digits, seed 0"]
    text = (tmp_path / "table.md").read_text()
    assert "| wild | 1 of 1 diverged |" in text
    assert "Diverged: wild (seeds 0)." in text
    # it has ended: nothing is left to run
    assert refuse(cells, tmp_path, resume=False, force=False) == []


def test_times_are_compared_within_one_call_alone(
    done: tuple[tuple[ComparedRun, ...], Path], data: Data, tmp_path: Path
) -> None:
    cells, out = done
    made = {(row["label"], row["seed"]): row for row in rows(cells, ended(cells, out), comparison())}
    for (_, seed), row in made.items():
        assert row["seconds"] > 0
        assert row["time_ratio"] == row["seconds"] / made["backprop", seed]["seconds"]
    # a call for each row: nothing to compare with
    for label in comparison().labels:
        run_cells([cell for cell in cells if (cell.label, cell.seed) == (label, 0)], data, tmp_path)
    apart = rows(cells, ended(cells, tmp_path), comparison())
    assert {row["label"]: row["time_ratio"] for row in apart} == {"backprop": 1.0, "ghost": None, "slow": None}


def made_up(cell: ComparedRun, accuracies: list[float], seconds: float | None = 1.0) -> Ended:
    history = tuple(
        {"epoch": i, "accuracy": a, "cosines": [1.0 - cell.seed, 1.0], "step_norms": [2.0 + cell.seed, 4.0]}
        for i, a in enumerate(accuracies)
    )
    recall = (0.5 + 0.1 * cell.seed, 0.9, None)
    return Ended(belongs_to=cell.identity, history=history, recall=recall, seconds=seconds, invocation="one")


def test_a_line_says_what_its_runs_say(data: Data) -> None:
    whole = comparison()
    cells = planned(whole, data)
    told = {
        ("backprop", 0): [0.1, 0.96, 0.98],
        ("backprop", 1): [0.1, 0.94, 0.96],
        ("ghost", 0): [0.1, 0.90, 0.970],
        ("ghost", 1): [0.1, 0.97, 0.965],
        ("slow", 0): [0.1, 0.2, 0.3],
        ("slow", 1): [0.1, 0.2, 0.3],
    }
    found = {
        cell: made_up(cell, told[cell.label, cell.seed], 3.0 if cell.label == "ghost" else 2.0)
        for cell in cells
    }
    made = rows(cells, found, whole)
    # 'slow' does not meet the control, so the accuracy that all reach is the smallest of the others
    assert {row["reach"] for row in made} == {0.96}
    by = {(row["label"], row["seed"]): row for row in made}
    n = len(data["digits"].x_train)
    per_sample = 12 * 64 + 12 * 10 + 12 * 10 + 12 * 64 + 12 * 10  # up, down, and the change
    assert by["backprop", 0]["operations_per_sample"] == per_sample
    assert by["backprop", 0]["operations_to_reach"] == 1 * n * per_sample
    assert by["backprop", 1]["operations_to_reach"] == 2 * n * per_sample
    assert by["slow", 0]["operations_to_reach"] is None
    assert by["backprop", 0]["in_time_to_reach"] == n * by["backprop", 0]["in_time_per_sample"]
    backprop, ghost, slow = summary(made, whole)
    assert math.isclose(backprop["accuracy"], 0.97)
    assert math.isclose(backprop["half_range"], 0.01)
    assert backprop["cosines"] == [0.5, 1.0]
    assert backprop["step_norms"] == [2.5, 4.0]
    assert backprop["worst_recall"] == 0.5
    assert backprop["operations_to_reach"] == 1.5 * n * per_sample
    assert (ghost["time_ratio"], ghost["reached"], slow["reached"]) == (1.5, 2, 0)
    assert slow["operations_to_reach"] is None
    # what is not there yet is told, and takes no part
    half = {cell: one for cell, one in found.items() if (cell.label, cell.seed) != ("ghost", 1)}
    assert summary(rows(cells, half, whole), whole)[1]["missing"] == [1]
    # the accuracy may be named
    named = comparison(reach=0.25)
    assert summary(rows(cells, found, named), named)[2]["reached"] == 2


def test_tables_hold_the_figures(done: tuple[tuple[ComparedRun, ...], Path], tmp_path: Path) -> None:
    cells, out = done
    shown = [
        {"label": "backprop", "accuracy_percent": 98.5, "epochs": 60, "architecture": "784-10",
         "selected_on": "the test set", "source": "a paper"},
        {"label": "theirs | ours", "architecture": "conv"},
    ]  # fmt: skip
    whole = comparison(published=shown, title="A | B")
    found = ended(cells, out)
    values = write_all(whole, cells, found, tmp_path)
    assert values["missing"] == []
    saved = json.loads((tmp_path / "rows.json").read_text())
    assert (saved["format"], saved["version"], saved["control"]) == ("lavaghost.comparison", 1, "backprop")
    assert [(row["label"], row["seed"]) for row in saved["rows"]] == [(cell.label, cell.seed) for cell in cells]
    assert saved["rows"][0]["history"] == list(found[cells[0]].history)
    with (tmp_path / "table.csv").open() as stream:
        flat = list(csv.DictReader(stream))
    assert [float(row["accuracy"]) for row in flat] == [row["accuracy"] for row in saved["rows"]]
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# A \\| B\n")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    for line in tables:
        assert line.replace("\\|", "").count("|") in (6, 7)
    mean = sum(row["accuracy"] for row in saved["rows"] if row["label"] == "ghost") / 2
    assert f"| ghost | {100 * mean:.2f} ± " in text
    assert "98.5 % (784-10, 60 epochs, selected on the test set)" in text
    assert "| theirs \\| ours | - | - | - | - | not readable (conv) |" in text
    assert "Published: backprop: a paper." in text
    # backprop has no ghosts, and ghosts have residuals
    diagnostics = {line.split(" | ")[0]: line for line in tables if "1.0000" in line}
    assert diagnostics["| backprop"].endswith(" | - |")
    assert not diagnostics["| ghost"].endswith(" | - |")


def test_the_picture_shows_means_over_epochs_and_operations(data: Data) -> None:
    whole = comparison()
    cells = planned(whole, data)
    found = {cell: made_up(cell, [0.1, 0.9 + 0.02 * cell.seed, 0.97]) for cell in cells if cell.label != "slow"}
    made = rows(cells, found, whole)
    figure = comparison_figure(made, whole)
    epochs, operations, own, _, steps = figure.axes

    def points(panel: Axes, line: int = 0) -> list[list[float]]:
        return np.asarray(panel.get_lines()[line].get_xydata()).tolist()

    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["backprop", "ghost"]
    assert [line.get_color() for line in epochs.get_lines()] == ["#000000", "#E69F00"]
    assert points(epochs, 0) == points(epochs, 1) == [[1, pytest.approx(91.0)], [2, pytest.approx(97.0)]]
    n, per_sample = len(data["digits"].x_train), made[0]["operations_per_sample"]
    assert operations.get_xscale() == "log"
    assert [x for x, _ in points(operations)] == [n * per_sample, 2 * n * per_sample]
    # the worst layer's: 1 of one seed, 0 of the other
    assert [y for _, y in points(own)] == [0.5] * 3
    assert [y for _, y in points(steps)] == pytest.approx([(math.hypot(2, 4) + 5.0) / 2] * 3)


def test_a_picture_of_nothing_says_so(data: Data) -> None:
    for panel in comparison_figure([], comparison()).axes:
        assert [text.get_text() for text in panel.texts] == ["nothing has ended"]
