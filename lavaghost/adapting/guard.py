"""A limit that is safe: the network goes back to its best numbers when it does worse on samples that are watched."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lavaghost.numbers.arithmetic import Array


@dataclass
class Guard:
    """Watched samples `x (n, n_0)` rates and `labels (n,)`, looked at after every `every` samples learned.

    drop   the accuracy may be so much below the best one so far; below that, learning is undone
    best   the numbers that did best, by name, the last of equally good ones; `accuracy` is theirs
    """

    x: Array
    labels: Array
    every: int
    drop: float
    best: Mapping[str, Array]
    accuracy: float
    rollbacks: int = 0

    def judge(self, outputs: Array, numbers: Mapping[str, Array]) -> bool:
        """Whether the network that gave `outputs (n, n_L)` may keep its `numbers`; else its best ones come back."""
        found = float((outputs.argmax(axis=1) == self.labels).mean())
        if found >= self.accuracy:
            self.accuracy, self.best = found, {name: a.copy() for name, a in numbers.items()}
        elif found < self.accuracy - self.drop:
            self.rollbacks += 1
            return False
        return True

    def tensors(self) -> dict[str, Array]:
        """All that it depends on."""
        return {
            "guard.x": self.x,
            "guard.labels": self.labels,
            "guard.state": np.array([self.accuracy, self.rollbacks, self.every, self.drop]),
            **{f"guard.best.{name}": array for name, array in self.best.items()},
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Array]) -> "Guard":
        """The guard whose `tensors` these are."""
        accuracy, rollbacks, every, drop = tensors["guard.state"].tolist()
        best = {n.removeprefix("guard.best."): a for n, a in tensors.items() if n.startswith("guard.best.")}
        x, labels = tensors["guard.x"], tensors["guard.labels"]
        return cls(x, labels, int(every), drop, best, accuracy, int(rollbacks))
