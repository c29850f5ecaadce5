"""The picture of an adaptation: every figure stands where it was measured, and none is made up."""

import math
import warnings

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from lavaghost.adapting.plots import LINES, MOST_NAMED, adaptation, course

ROWS = [
    {"samples": 0, "accuracy": 0.637, "stream_accuracy": None, "kept": 0.953},
    {"samples": 100, "accuracy": 0.744, "stream_accuracy": 0.66, "kept": 0.929},
    {"samples": 1000, "accuracy": 0.864, "stream_accuracy": 0.8, "kept": 0.839},
]
RECALL = {0: 0.9, 1: None, "Ankle boot": 0.0, "$x_1^": 1.0}


def lines(rows):
    return {line.get_label(): np.asarray(line.get_xydata(), float) for line in course(rows, {}).axes[0].lines}


def test_each_accuracy_is_a_line_against_samples():
    found = lines(ROWS)
    for key, (label, _) in LINES.items():
        expected = [(row["samples"], 100 * row[key]) for row in ROWS if row[key] is not None]
        np.testing.assert_allclose(found[label], expected)
    assert len(found) == 3


def test_without_old_data_there_is_no_line_of_it():
    rows = [{**row, "kept": None} for row in ROWS]
    assert set(lines(rows)) == {LINES["accuracy"][0], LINES["stream_accuracy"][0]}


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [{**r, "accuracy": 1.0, "kept": 0.0} for r in ROWS]])
def test_all_that_was_measured_is_within_the_axes(rows):
    panel = course(rows, RECALL).axes[0]
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    for line in panel.lines:
        for x, y in np.asarray(line.get_xydata(), float):
            assert left <= x <= right
            assert bottom <= y <= top


def test_bars_are_recalls_beside_their_names():
    panel = course(ROWS, RECALL).axes[1]
    boxes = [bar for bar in panel.patches if isinstance(bar, Rectangle)]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in boxes}
    assert bars == pytest.approx({0: 90, 2: 0, 3: 100})
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert names == ["0", "1", "Ankle boot", "$x_1^"]
    # the first class stands on top
    assert panel.get_ylim()[0] > panel.get_ylim()[1]


@pytest.mark.parametrize("classes", [0, 1, 2, MOST_NAMED, MOST_NAMED + 1, 500])
def test_any_number_of_classes_is_drawn(classes, tmp_path):
    recall = {i: abs(math.sin(i)) for i in range(classes)}
    panel = course(ROWS, recall).axes[1]
    assert len(panel.patches) == classes
    if 0 < classes <= MOST_NAMED:
        assert [text.get_text() for text in panel.get_yticklabels()] == [str(i) for i in range(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = adaptation(
            ROWS if classes else [], {f"{k} \u4e2d\x1b $_{{": v for k, v in recall.items()}, tmp_path / "a.png"
        )
    assert path.read_bytes().startswith(b"\x89PNG")
