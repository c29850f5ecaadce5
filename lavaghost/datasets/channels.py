"""Signed samples without a sign: two channels, `x = x+ - x-`, for integers and spikes that have none."""

from dataclasses import replace

import numpy as np

from lavaghost.base.errors import warn
from lavaghost.datasets.dataset import Dataset
from lavaghost.numbers.arithmetic import Array

LINE = "x = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)"
"""What makes two channels, as a user would write it."""


def is_signed(data: Dataset) -> bool:
    """True if any sample has a value below 0."""
    return bool(min(data.x_train.min(), data.x_test.min()) < 0)


def split(x: Array) -> Array:
    """`(samples, n)` as `[max(x, 0), max(-x, 0)]`, `(samples, 2 n)`."""
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)


def two_channels(data: Dataset) -> Dataset:
    """`data` with `split` samples."""
    return replace(data, x_train=split(data.x_train), x_test=split(data.x_test), channels=2)


def unsigned(data: Dataset) -> Dataset:
    """`data` as it is if it has no value below 0, else in two channels, with a warning."""
    if not is_signed(data):
        return data
    low = float(min(data.x_train.min(), data.x_test.min()))
    warn(
        f"data set {data.name}: inputs go down to {low:.3g}, and spikes have no sign; the network gets two channels, "
        f"max(x, 0) and max(-x, 0), so {2 * data.n_inputs} inputs for {data.n_inputs}, and so do its exported files"
    )
    return two_channels(data)
