"""Random walks in a box, made when they are asked for: where does a walk from the centre end, from its velocities?

    x_0 = 0,   x_{t+1} = x_t + dt s_t (cos a_t, sin a_t),   t = 0..19,   dt = 0.5 s
    s_t = s (0.5 + u_t) m/s,   s from U(0, 0.3) for each walk, u_t from U(0, 1) for each step
    a_t = a_{t-1} + n_t rad,   a_0 from U(0, 2 pi), n_t normal with a deviation of 0.3

The box has sides of 2.2 m; a step that would leave it goes the other way along that axis, and so does the walk from
then on. A sample is (s_t / 0.15, cos a_t, sin a_t) of all steps, 60 numbers, and its class is the place cell that is
nearest to x_20, of 25 on a grid of 5 x 5 with 0.44 m between them. Where a walk ends is a sum of products of its
inputs, which no linear map has.

The box and the task, from velocities to place cells, are those of Mei et al. 2023 after Banino et al. 2018, made small:
their data set has other walks, 256 cells, head-direction cells too, and was not used.
"""

import numpy as np

from lavaghost.datasets.dataset import Dataset, class_count
from lavaghost.numbers.arithmetic import Array

BOX_M = 2.2
SIDE_CELLS = 5
STEPS = 20
STEP_S = 0.5
LARGEST_SPEED_M_S = 0.3
MEAN_SPEED_M_S = 0.15
TURN_RAD = 0.3
TRAINING, TEST = 5000, 1000
SEED = 2200


def load_walks() -> Dataset:
    """5000 training and 1000 test walks, x as float32 (n, 60), y as int64 (n,); the same ones each time."""
    x = walks(TRAINING + TEST, np.random.default_rng(SEED))
    y = nearest_cells(ends_m(x))
    train, test = slice(TRAINING), slice(TRAINING, None)
    return Dataset(
        name="walks",
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        n_classes=class_count(y),
    )


def walks(count: int, rng: np.random.Generator) -> Array:
    """`count` walks, (count, 60): speed, cosine and sine of the heading, step by step."""
    # uniform numbers alone, whose stream is the same in every NumPy; two make a normal one
    speed = LARGEST_SPEED_M_S * rng.random((count, 1)) * (0.5 + rng.random((count, STEPS)))
    turn = np.sqrt(-2.0 * np.log1p(-rng.random((count, STEPS)))) * np.cos(
        2 * np.pi * rng.random((count, STEPS))
    )
    heading = np.cumsum(TURN_RAD * turn, axis=1) + 2 * np.pi * rng.random((count, 1))
    way = np.stack([np.cos(heading), np.sin(heading)], axis=2)
    at, turned = np.zeros((count, 2)), np.ones((count, 2))
    for t in range(STEPS):
        stride = STEP_S * speed[:, t, np.newaxis] * way[:, t] * turned
        outside = np.abs(at + stride) > BOX_M / 2
        turned[outside] *= -1
        way[:, t] *= turned
        at += STEP_S * speed[:, t, np.newaxis] * way[:, t]
    found = np.concatenate([speed[:, :, np.newaxis] / MEAN_SPEED_M_S, way], axis=2)
    return np.ascontiguousarray(found.reshape(count, 3 * STEPS), np.float32)


def ends_m(x: Array) -> Array:
    """Where walks `x (n, 60)` end, (n, 2), in metres from the centre."""
    steps = np.asarray(x, np.float64).reshape(len(x), STEPS, 3)
    return STEP_S * MEAN_SPEED_M_S * (steps[:, :, :1] * steps[:, :, 1:]).sum(axis=1)


def cells_m() -> Array:
    """The centres of the place cells, (25, 2), in metres from that of the box."""
    middles = BOX_M * ((np.arange(SIDE_CELLS) + 0.5) / SIDE_CELLS - 0.5)
    return np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=2).reshape(-1, 2)


def nearest_cells(places_m: Array) -> Array:
    """The class of places (n, 2)."""
    across = np.floor((np.asarray(places_m) / BOX_M + 0.5) * SIDE_CELLS).astype(np.int64)
    row, column = np.clip(across, 0, SIDE_CELLS - 1).T
    return row * SIDE_CELLS + column


def position_error_m(x: Array, answers: Array) -> float:
    """Mean distance between where walks `x (n, 60)` end and the centres of the cells `answers (n,)`, in metres."""
    return float(np.linalg.norm(ends_m(x) - cells_m()[answers], axis=1).mean())
