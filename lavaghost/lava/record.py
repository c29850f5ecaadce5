"""What is recorded of single layers during a run on Lava, of a bounded size, and saved as npz."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lavaghost.base.files import write_atomic
from lavaghost.lava.number_systems import AnyNumbers, real_arrays
from lavaghost.lava.vectors import read_record
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array

ROWS = 1024
"""Trials of a run that are recorded, at most; so many, evenly spaced, are sent."""
SNAPSHOTS = 16
"""Weight matrices kept of a layer, at most: whenever there are more, every second one goes."""


class Thinned:
    """A series of values by trial, at most `SNAPSHOTS` of them: evenly spaced ones, and always the last."""

    def __init__(self) -> None:
        self.every, self.seen = 1, 0
        self._even: list[tuple[int, list[Array]]] = []
        self._last: list[tuple[int, list[Array]]] = []

    def add(self, trial: int, values: list[Array]) -> None:
        """The next value: kept for good, or until the next one comes."""
        self._last = [(trial, values)]
        if self.seen % self.every == 0:
            self._even.append((trial, values))
            self._last = []
        self.seen += 1
        if len(self._even) >= SNAPSHOTS:
            self._last = self._last or self._even[-1:]
            self._even = self._even[::2]
            self.every *= 2

    @property
    def kept(self) -> list[tuple[int, list[Array]]]:
        """Trials and their values."""
        return self._even + self._last


class Recorder:
    """Rates, residuals and weights of `layers` (from 1); of trials that follow one another."""

    def __init__(self, graph: Graph, layers: Sequence[int]) -> None:
        self.graph, self.layers = graph, tuple(layers)
        self._trials: list[int] = []
        self._rows: list[Array] = []
        self._weights = Thinned()

    def add(self, trial: int, vector: Array) -> None:
        """What the network sent at the end of `trial`."""
        self._trials.append(trial)
        self._rows.append(vector)

    def add_weights(self, trial: int, numbers: AnyNumbers) -> None:
        """The parameters after `trial`."""
        if self.layers:
            real = real_arrays(numbers)
            self._weights.add(trial, [real[f"weights.{k}"].astype(np.float32) for k in self.layers])

    @property
    def empty(self) -> bool:
        """Whether no trial was recorded, as when a run was over before it was resumed."""
        return not self._trials

    def arrays(self) -> dict[str, Array]:
        """By name, for each recorded layer k:

        trial        (T,)              numbers of the trials that the next three belong to
        free_k       (T, n_k)          rates at the end of the free phase
        nudged_k     (T, n_k)          rates at the end of the trial
        residual_k   (T,)              ghost residual; not for the output layer
        weights_after (E,)             trials after which the weights were
        weights_k    (E, n_k, n_{k-1})
        """
        rows = [list(read_record(self.graph, self.layers, v)) for v in self._rows]
        found = {
            "trial": np.array(self._trials),
            "weights_after": np.array([trial for trial, _ in self._weights.kept]),
        }
        for i, k in enumerate(self.layers):
            found[f"free_{k}"] = np.array([row[i].free for row in rows])
            found[f"nudged_{k}"] = np.array([row[i].nudged for row in rows])
            if k < self.graph.depth:
                found[f"residual_{k}"] = np.array([row[i].residual for row in rows])
            found[f"weights_{k}"] = np.array([snapshot[i] for _, snapshot in self._weights.kept])
        return found

    def save(self, path: Path) -> Path:
        """Write `arrays` to an npz file, atomically."""
        return save_arrays(self.arrays(), path)


def save_arrays(arrays: Mapping[str, Array], path: Path) -> Path:
    """Write arrays by name to an npz file, atomically. Raises `OutputError`."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return write_atomic(path, stream.getvalue())
