"""The order of samples: a function of seed and epoch, the same in float, in integers and on Lava."""

from collections.abc import Iterator

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.numbers.arithmetic import Array

PRETRAINING = 2**32
"""The first epoch of the random stream that pre-training takes its samples from; training never gets there."""
GATHER = 10
"""Batches gathered from the data set at a time: one copy of shuffled rows, small enough for the cache."""


def order(seed: int, epoch: int, rows: int) -> Array:
    """The rows of a data set in the order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def shuffled(data: Dataset, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Array, Array]]:
    """Every training sample once, as `(x (batch, n_0), one-hot target (batch, n_L))`.

    The arrays hold until a few batches later: rows are gathered into one small buffer, not copied per batch.
    """
    n, one_hot = len(data.x_train), np.eye(data.n_classes, dtype=np.float32)
    picked_in = order(seed, epoch, n)
    span = GATHER * batch_size
    rows = np.empty((min(span, n), data.n_inputs), np.float32)
    for start in range(0, n, span):
        picked = picked_in[start : start + span]
        x = np.take(data.x_train, picked, axis=0, out=rows[: len(picked)], mode="clip")
        target = one_hot[data.y_train[picked]]
        for i in range(0, len(picked), batch_size):
            yield x[i : i + batch_size], target[i : i + batch_size]


def pretraining(seed: int, rows: int, count: int) -> Iterator[Array]:
    """`count` rows for pre-training, an array for each epoch of its own stream."""
    epoch = PRETRAINING
    while count > 0:
        found = order(seed, epoch, rows)[:count]
        yield found
        count, epoch = count - len(found), epoch + 1
