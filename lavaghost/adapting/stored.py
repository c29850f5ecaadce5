"""Samples that are kept against forgetting: so many of each class, presented again in between."""

from collections.abc import Mapping

import numpy as np

from lavaghost.numbers.arithmetic import Array

STREAM = 7
"""Word of the seed of the order in which stored samples come again."""


class Stored:
    """At most `per_class` samples of each of `classes`, as rates `(n_0,)` float32; the first that come are kept.

    The i-th sample that is replayed is a function of seed, i and how many are stored: all of them in random order,
    and then again in another one. Memory is bounded: classes * per_class * n_0 numbers.
    """

    def __init__(self, classes: int, per_class: int, n_inputs: int, seed: int) -> None:
        self.per_class, self.seed = per_class, seed
        self.x = np.zeros((0, n_inputs), np.float32)
        self.labels = np.zeros(0, np.int64)
        self.counts = np.zeros(classes, np.int64)
        self._cycle: tuple[int, int] = (-1, -1)
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def keep(self, x: Array, labels: Array) -> int:
        """Keep samples of classes that have room; how many were kept."""
        kept = []
        for i, label in enumerate(labels):
            if self.counts[label] < self.per_class:
                self.counts[label] += 1
                kept.append(i)
        self.x = np.concatenate([self.x, np.asarray(x, np.float32)[kept]])
        self.labels = np.concatenate([self.labels, np.asarray(labels, np.int64)[kept]])
        return len(kept)

    def rows(self, first: int, count: int) -> Array:
        """The stored samples that come as replays `first`..: `(count,)`."""
        found, n = np.empty(count, np.int64), len(self)
        for i in range(count):
            cycle, at = divmod(first + i, n)
            if self._cycle != (cycle, n):
                self._cycle = (cycle, n)
                self._order = np.random.default_rng([self.seed, STREAM, cycle]).permutation(n)
            found[i] = self._order[at]
        return found

    def tensors(self) -> dict[str, Array]:
        """All that is stored."""
        return {"stored.x": self.x, "stored.labels": self.labels}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Take `tensors` back."""
        self.x, self.labels = np.array(tensors["stored.x"]), np.array(tensors["stored.labels"])
        self.counts = np.bincount(self.labels, minlength=len(self.counts)).astype(np.int64)
