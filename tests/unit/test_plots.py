"""Pictures of a run: what stands on which axis, and that nothing that was measured is hidden."""

import warnings

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.draw import picture
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.report import make
from lavaghost.run.plots import curves, learning_curves, record
from tests.networks import ghost_graph


def history(accuracies, cosine=0.999, residual=1e-7, layers=2):
    return [
        {"epoch": i, "accuracy": a, "cosines": [cosine] * layers, "residuals": [residual] * (layers - 1)}
        for i, a in enumerate(accuracies)
    ]


def ticks(axis, low, high):
    return [t for t in axis.get_majorticklocs() if low <= t <= high]


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 7, 30, 400])
def test_epochs_are_whole(epochs):
    rise = 0.98 - 0.9 * np.exp(-np.arange(epochs + 1) / 3)
    for panel in curves({"a": history(rise)}).axes:
        assert isinstance(panel.xaxis.get_major_locator(), MaxNLocator)
        shown = ticks(panel.xaxis, *panel.get_xlim())
        assert shown
        assert all(t == round(t) for t in shown)
        assert panel.get_xlim()[0] <= 0
        assert panel.get_xlim()[1] >= epochs


@pytest.mark.parametrize("cosine", [0.93, 0.9999, 1 - 1e-12, 0.0, -0.5])
@pytest.mark.parametrize("residual", [1e-8, 0.3, 25.0])
def test_cosine_and_residual_stand_on_log_axes(cosine, residual):
    figure = curves({"a": history([0.1, 0.9], cosine, residual)})
    for panel, value in zip(figure.axes[1:], (1 - cosine, residual), strict=True):
        assert panel.get_yscale() == "log"
        line = panel.get_lines()[0].get_ydata()
        np.testing.assert_allclose(np.asarray(line), value)
        low, high = panel.get_ylim()
        assert low < value < high
        assert ticks(panel.yaxis, low, high)


@pytest.mark.parametrize("other", [1e-7, None])
def test_exact_zeros_have_a_row_of_their_own(other):
    """Also a cosine above 1 by rounding; nothing is left out of the picture."""
    rows = history([0.1, 0.9, 0.95], 1.0 + 1e-15, 0.0)
    if other:
        rows[1] |= {"cosines": [1 - other] * 2, "residuals": [other]}
    figure = curves({"a": rows})
    for panel in figure.axes[1:]:
        labels = dict(zip(panel.get_yticks(), (t.get_text() for t in panel.get_yticklabels()), strict=True))
        zero = next(place for place, text in labels.items() if text == "0")
        line = np.asarray(panel.get_lines()[0].get_ydata(), float)
        assert len(line) == 3
        assert list(line[[0, 2]]) == [zero, zero]
        assert panel.get_ylim()[0] < zero
        if other:
            np.testing.assert_allclose(line[1], other)
            assert zero < other


def test_accuracy_is_shown_where_runs_differ():
    epochs = np.arange(31)
    ends = {"ghosts": 0.985, "backprop": 0.984, "frozen": 0.95}
    runs = {name: history(end - (end - 0.1) * np.exp(-epochs)) for name, end in ends.items()}
    panel = curves(runs).axes[0]
    low, high = panel.get_ylim()
    assert low < 95
    assert high > 98.5
    # 3.5 points between the runs fill most of what 90 points of the rise would
    assert high - low < 2 * (98.5 - 95)
    assert "below" in panel.get_title()
    # the one run there is, whole after its first epoch
    low, high = curves({"a": history([0.1, 0.6, 0.97, 0.98])}).axes[0].get_ylim()
    assert low < 60
    assert high > 98
    # at chance there is nothing below
    low, high = curves({"a": history([0.1, 0.1])}).axes[0].get_ylim()
    assert low < 10 < high < 12


def test_a_run_without_diagnostics_says_so(tmp_path):
    rows = [{"epoch": 0, "accuracy": 0.1}, {"epoch": 1, "accuracy": 0.5}]
    assert [panel.texts[0].get_text() for panel in curves({"a": rows}).axes[1:]] == ["not measured"] * 2
    assert learning_curves({"a": rows}, tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_shows_zeros_and_ends_with_the_final_weights():
    trials, weights = np.arange(0, 60, 2), np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    residual = np.where(trials % 4 == 0, 0.0, 1e-9)
    rates = np.ones((30, 4))
    arrays = {
        "trial": trials, "weights_after": np.array([0, 16, 32, 48, 59]), "weights_1": weights,
        "free_1": rates, "nudged_1": rates, "residual_1": residual,
    }  # fmt: skip
    _, left_over, final, *_ = record(arrays).axes
    zero = left_over.get_yticks()[0]
    assert left_over.get_yticklabels()[0].get_text() == "0"
    line = np.asarray(left_over.get_lines()[0].get_ydata(), float)
    np.testing.assert_array_equal(line == zero, residual == 0)
    np.testing.assert_array_equal(np.asarray(final.get_images()[0].get_array()), weights[-1])
    assert "59" in final.get_title()
    low, high = final.get_images()[0].get_clim()
    assert low == -high == -np.abs(weights[-1]).max()


# ---- the chip


@pytest.mark.parametrize("layers", [(64, 128, 10), (784, 1000, 1000, 10), (784, 4000, 10)])
@pytest.mark.parametrize("chip", ["loihi1", "loihi2_oheo_gulch"])
def test_the_cores_in_use_fill_the_picture(layers, chip):
    report = make(ghost_graph(layers=layers), load_chip(chip), "inference", Plan())
    used = len(report.mapping.cores)
    figure = picture(report)
    panel = figure.axes[0]
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    boxes = [p for p in panel.patches if isinstance(p, Rectangle)]
    free = [p.get_xy() for p in boxes if p.get_width() == p.get_height()]
    assert used > 0
    assert all(left < x < right and bottom < y < top for x, y in (p.get_xy() for p in boxes))
    drawn = len(set(free))
    assert drawn >= used
    title = panel.get_title()
    assert f"{used} of 128 cores" in title
    hidden = 128 - drawn
    assert (f"{hidden} free ones not shown" in title) == (hidden > 0)
    if used <= 4:
        # a core is at least an inch wide on paper
        assert figure.get_size_inches()[0] / (right - left) >= 1
        assert drawn <= 16


@pytest.mark.parametrize("layers", [1, 8, 9, 62])
def test_a_deep_network_has_a_legend_that_fits(layers, tmp_path):
    rows = [{"epoch": e, "accuracy": 0.5, "cosines": [0.9 - k / 100 for k in range(layers)]} for e in range(3)]
    figure = curves({"ghost": rows})
    panel = figure.axes[1]
    assert len(panel.lines) == layers
    legend = panel.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == min(layers, 8)
    assert texts[0] == "layer 1"
    assert texts[-1] == f"layer {layers}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learning_curves({"ghost": rows}, tmp_path / "curves.png")
