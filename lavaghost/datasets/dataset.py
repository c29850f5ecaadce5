"""`Dataset`: what training and evaluation use, checked once, frozen from then on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lavaghost.base.errors import DataError, join_faults
from lavaghost.datasets.checks import ARRAYS, value_faults

WHOLE = 1e-3
"""Raw samples all this near to integers are integers that were scaled."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples of one classification task.

    x_train (n, n_inputs) and x_test (m, n_inputs): float32, C-contiguous, finite.
    y_train (n,) and y_test (m,): int64 in 0..n_classes - 1; each class has a training sample.
    scale: the factor that has been applied to the numbers in the file, x = raw * scale (1/16
    digits, 1/255 bytes, 1.0 floats), so that integer hardware can recover `rint(x / scale)`.
    channels: 2 if the second half of the features is what the first has of values below 0 (`channels`).

    The raw bytes are not kept: the float32 arrays are the only copy, and they are read-only views
    of the arrays given. Raises `DataError` with all faults if a value breaks these promises.

    Example: `load_data("digits").x_train.shape`.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    n_classes: int
    scale: float = 1.0
    channels: int = 1

    def __post_init__(self) -> None:
        faults: list[str] = []
        for key in ARRAYS:
            dtype = np.float32 if key.startswith("x") else np.int64
            faults += _layout_faults(key, getattr(self, key), np.dtype(dtype))
        if not faults:
            faults = value_faults({key: getattr(self, key) for key in ARRAYS})
        if not faults and self.n_classes != (needed := class_count(self.y_train)):
            faults.append(f"n_classes is {self.n_classes}, the labels in y_train need {needed}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            faults.append(f"scale is {self.scale}; give a finite factor above 0")
        raise_faults(f"data set {self.name}", faults)
        for key in ARRAYS:
            view = getattr(self, key).view()
            view.flags.writeable = False
            object.__setattr__(self, key, view)

    @property
    def n_inputs(self) -> int:
        """Number of features of one sample."""
        return self.x_train.shape[1]


def raw_samples(x: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """x / scale in float32, whole where all were: the numbers of the file, and what exported files are fed with."""
    raw = x / np.float32(scale)
    whole = np.rint(raw)
    return whole if np.all(np.abs(raw - whole) <= WHOLE) else raw


def class_count(labels: NDArray[np.int64]) -> int:
    """Number of classes of checked training labels (n,), n >= 1: the largest label plus one."""
    return int(labels.max()) + 1


def raise_faults(where: str, faults: Iterable[str]) -> None:
    """Raise one `DataError` of one line, `where: first; second`, if there is any fault."""
    faults = list(faults)
    if faults:
        raise DataError(join_faults([f"{where}: {faults[0]}", *faults[1:]]))


def _layout_faults(key: str, array: object, dtype: np.dtype) -> list[str]:
    if not isinstance(array, np.ndarray):
        return [f"{key} is a {type(array).__name__}; give a NumPy array of {dtype}"]
    faults = []
    if array.dtype != dtype:
        faults.append(f"{key} is {array.dtype}; convert it to {dtype}")
    if not array.flags.c_contiguous:
        faults.append(f"{key} is not C-contiguous; pass it through numpy.ascontiguousarray")
    return faults
