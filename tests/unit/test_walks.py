"""Walks in a box: that they stay inside, that a sample says where its walk ends, and what a map can know of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.walks import linear_answers
from lavaghost.datasets import Dataset, for_training, load, load_walks, warn_of
from lavaghost.datasets.walks import (
    BOX_M,
    MEAN_SPEED_M_S,
    STEP_S,
    STEPS,
    TRAINING,
    cells_m,
    ends_m,
    nearest_cells,
    position_error_m,
    walks,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("walks")


def test_the_same_walks_each_time_and_all_cells_are_reached(data: Dataset):
    again = load_walks()
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    assert (data.name, data.n_inputs, data.n_classes, data.scale) == ("walks", 60, 25, 1.0)
    assert len(data.x_train) == TRAINING
    assert np.bincount(data.y_test, minlength=25).min() > 0
    assert len(np.unique(data.x_train, axis=0)) == TRAINING
    warn_of(data)  # says nothing: pytest makes errors of warnings
    assert for_training(data).scale == 1.0


def path_m(x: np.ndarray) -> np.ndarray:
    """Places after each step, (n, 20, 2), one step after the other."""
    at, found = np.zeros((len(x), 2)), []
    for t in range(STEPS):
        speed, cosine, sine = (x[:, 3 * t + i].astype(float) for i in range(3))
        at = at + STEP_S * MEAN_SPEED_M_S * speed[:, np.newaxis] * np.stack([cosine, sine], axis=1)
        found.append(at)
    return np.stack(found, axis=1)


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_a_walk_never_leaves_its_box_and_its_velocities_say_where_it_ends(seed: int, count: int):
    x = walks(count, np.random.default_rng(seed))
    places = path_m(x)
    assert x.shape == (count, 60)
    assert x.dtype == np.float32
    assert np.abs(places).max() <= BOX_M / 2 + 1e-6
    np.testing.assert_allclose(ends_m(x), places[:, -1], atol=1e-12)
    steps = x.reshape(count, STEPS, 3)
    np.testing.assert_allclose(np.square(steps[:, :, 1:]).sum(axis=2), 1.0, atol=1e-6)
    assert (steps[:, :, 0] >= 0).all()


def test_speeds_and_turns_are_as_they_are_described():
    x = walks(20_000, np.random.default_rng(1)).reshape(-1, STEPS, 3).astype(float)
    assert x[:, :, 0].mean() == pytest.approx(1.0, abs=0.02)
    ratio = x[:, :, 0] / x[:, :, 0].mean(axis=1, keepdims=True)
    assert ratio.std() == pytest.approx(1 / np.sqrt(12), abs=0.02)
    # of walks so slow that no wall is near, the first turn
    slow = x[x[:, :, 0].max(axis=1) < 0.5]
    turns = np.angle((slow[:, 1, 1] + 1j * slow[:, 1, 2]) / (slow[:, 0, 1] + 1j * slow[:, 0, 2]))
    assert turns.std() == pytest.approx(0.3, rel=0.05)
    assert abs(turns.mean()) < 0.02


def test_the_class_is_the_nearest_cell(data: Dataset):
    places = ends_m(data.x_test)
    distances = np.linalg.norm(places[:, np.newaxis] - cells_m(), axis=2)
    np.testing.assert_array_equal(data.y_test, distances.argmin(axis=1))
    assert nearest_cells(cells_m()).tolist() == list(range(25))
    corners = np.array([[-9.0, -9.0], [9.0, 9.0]])
    assert nearest_cells(corners).tolist() == [0, 24]
    assert np.diff(np.unique(cells_m()[:, 0])) == pytest.approx(0.44)


def test_the_error_is_the_distance_to_the_centre_of_the_answer(data: Dataset):
    x, right = data.x_test[:1], data.y_test[:1]
    (place,) = ends_m(x)
    assert position_error_m(x, right) == pytest.approx(np.hypot(*(place - cells_m()[right[0]])))
    # nothing is nearer than the true cell, and no answer of it is farther than half a diagonal
    best = position_error_m(data.x_test, data.y_test)
    assert best < 0.44 / np.sqrt(2)
    rng = np.random.default_rng(0)
    assert position_error_m(data.x_test, rng.integers(0, 25, len(data.y_test))) > 4 * best


def test_what_the_page_says_of_chance_and_of_a_linear_map(data: Dataset):
    usual = np.full(len(data.y_test), np.bincount(data.y_train).argmax())
    linear = linear_answers(data)
    found = [
        (float((a == data.y_test).mean()), position_error_m(data.x_test, a))
        for a in (data.y_test, usual, linear)
    ]
    assert usual[0] == 12  # in the middle
    wanted = [(1.0, 0.162), (0.105, 0.729), (0.276, 0.407)]
    np.testing.assert_allclose(found, wanted, atol=2e-3)
