"""The pairs of data sets that adaptation is measured on, and the tables of its figures."""

import numpy as np
import pytest

from benchmarks import pairs
from benchmarks.adaptation_tables import tables

IMAGES = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)


def ramp(images: int = 1) -> np.ndarray:
    """Pixels that are a linear function of their place, which bilinear sampling gives exactly."""
    y, x = np.mgrid[:28, :28]
    return np.repeat(((2 * y + x) / 100).astype(np.float32)[None], images, axis=0)


@pytest.mark.parametrize("turns", range(-3, 4))
def test_a_quarter_turn_is_a_permutation_of_pixels(turns):
    # rot90 turns the other way
    found = pairs.rotated(IMAGES, 90.0 * turns)
    np.testing.assert_allclose(found, np.rot90(IMAGES, -turns, axes=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("degrees", [-35.0, 7.0, 20.0])
def test_a_turn_of_a_ramp_is_the_ramp_turned(degrees):
    y, x = np.mgrid[:28, :28] - 13.5
    inside = np.hypot(y, x) < 13
    angle = np.deg2rad(degrees)
    back = 2 * (np.cos(angle) * y - np.sin(angle) * x) + np.sin(angle) * y + np.cos(angle) * x
    wanted = (back + 3 * 13.5) / 100
    np.testing.assert_allclose(pairs.rotated(ramp(), degrees)[0][inside], wanted[inside], atol=1e-5)


def test_nothing_comes_in_from_outside():
    assert pairs.rotated(np.ones((1, 28, 28), np.float32), 45.0)[0, 0, 0] == 0
    found = pairs.moved(IMAGES, 3)
    assert not found[:, :3].any()
    assert np.array_equal(found[:, 3:], IMAGES[:, :-3])


@pytest.mark.parametrize(("side", "edge"), [(16, 2), (8, 4)])
def test_a_reduced_pixel_is_the_mean_over_its_area(side, edge):
    """Each pixel is a square of one value; `overlap` is what a row or column shares with a larger one."""
    step, old = (28 - 2 * edge) / side, np.arange(28)
    low = edge + step * np.arange(side)[:, None]
    overlap = np.clip(np.minimum(old + 1, low + step) - np.maximum(old, low), 0, None)
    wanted = overlap @ IMAGES @ overlap.T / step**2
    np.testing.assert_allclose(pairs.reduced(IMAGES, side).reshape(3, side, side), wanted, rtol=1e-5)


def figures(seed, new, kept):
    rows = [{"samples": n, "accuracy": a, "kept": k} for n, a, k in zip((0, 100, 300), new, kept, strict=True)]
    names = {"pair": "moved", "start": "float", "case": "nothing else"}
    return {**names, "seed": seed, "curve": rows, "updates": 40, "trials": 600}


def test_a_table_has_means_and_the_span_of_the_last_figure():
    found = [figures(0, (0.5, 0.7, 0.8), (0.95, 0.9, 0.85)), figures(1, (0.4, 0.6, 0.9), (0.95, 0.9, 0.75))]
    scratch = figures(0, (0.1, 0.2, 0.3), (None,) * 3) | {"start": "from scratch", "case": "from scratch"}
    (table,) = tables([*found, scratch])
    means, ends = ["45.0", "65.0", "85.0"], ["80.0 to 90.0", "95.0", "80.0", "75.0 to 85.0", "40 of 600", "2"]
    assert table.rows[0] == ["float", "nothing else", *means, *ends]
    assert table.rows[1][2:] == ["10.0", "20.0", "30.0", "30.0 to 30.0", "", "", "", "", "1"]
    assert len(table.head) == len(table.rows[0]) == len(table.rows[1])
