"""What every data set must satisfy, whatever file it came from. Faults are listed, not raised."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lavaghost.datasets.labels import label_remedy

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# a block of the finiteness check, so that its mask stays small beside the data
BLOCK_VALUES = 1 << 20


def value_faults(arrays: Mapping[str, NDArray], called: Mapping[str, str] | None = None) -> list[str]:
    """Faults of the arrays that are there (keys from `ARRAYS`; any subset may be missing).

    x arrays: float (n, n_inputs); y arrays: integer (n,). `called` gives the name, such as a
    file's, by which the message calls an array.
    """
    names = {key: (called or {}).get(key, key) for key in ARRAYS}
    faults: list[str] = []
    sound: dict[str, NDArray] = {}
    for key, array in arrays.items():
        check = _feature_faults if key.startswith("x") else _label_faults
        found = check(names[key], array)
        faults += found
        if not found:
            sound[key] = array
    for x, y in (("x_train", "y_train"), ("x_test", "y_test")):
        # lengths can be compared even where values are faulty
        if x in arrays and y in arrays and arrays[x].ndim and arrays[y].ndim:
            faults += _length_faults(names[x], len(arrays[x]), names[y], len(arrays[y]))
    if "x_train" in arrays and "x_test" in arrays:
        faults += _width_faults(names, arrays["x_train"].shape, arrays["x_test"].shape)
    if "y_train" in sound:
        faults += _class_faults(names, sound["y_train"], sound.get("y_test"))
    return faults


def _feature_faults(name: str, x: NDArray) -> list[str]:
    if x.ndim != 2:
        return [f"{name} has {x.ndim} dimension(s); give 2: samples, features"]
    if x.size == 0:
        return [f"{name} is empty, {x.shape[0]} samples of {x.shape[1]} features; give 1 or more"]
    count, first = 0, ""
    rows = max(1, BLOCK_VALUES // x.shape[1])
    for start in range(0, len(x), rows):
        finite = np.isfinite(x[start : start + rows])
        if finite.all():
            continue
        if not count:
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            first = f"{x[start + row, column]} at [{start + row}, {column}]"
        count += int(finite.size - np.count_nonzero(finite))
    if not count:
        return []
    remedy = "replace NaN, infinity and numbers beyond float32"
    return [f"{name} has {count} value(s) that are not finite as float32, first {first}; {remedy}"]


def _label_faults(name: str, y: NDArray) -> list[str]:
    if y.ndim != 1:
        remedy = f", {label_remedy(name, y.dtype, y.shape, y.ravel())}" if y.ndim == 2 and y.size else ""
        return [f"{name} has {y.ndim} dimension(s); give 1: one class number per sample{remedy}"]
    if y.size == 0:
        return [f"{name} is empty; give 1 label or more"]
    negative = np.flatnonzero(y < 0)
    if negative.size:
        first = f"{y[negative[0]]} at index {negative[0]}"
        return [f"{name} has {negative.size} label(s) below 0, first {first}; number from 0"]
    return []


def _length_faults(x_name: str, n_x: int, y_name: str, n_y: int) -> list[str]:
    if n_x == n_y:
        return []
    return [f"{x_name} has {n_x} samples and {y_name} {n_y} labels; give one label per sample"]


def _width_faults(names: Mapping[str, str], train: tuple[int, ...], test: tuple[int, ...]) -> list[str]:
    if len(train) != 2 or len(test) != 2 or train[1] == test[1]:
        return []
    train_has, test_has = f"{names['x_train']} has {train[1]}", f"{names['x_test']} {test[1]}"
    return [f"{train_has} features per sample and {test_has}; give both the same"]


def _class_faults(names: Mapping[str, str], y_train: NDArray, y_test: NDArray | None) -> list[str]:
    """Labels that leave a class empty, or that training never sees.

    The classes present are compared, never counted into a table: a label may be any integer.
    """
    name = names["y_train"]
    present = np.unique(y_train)
    n_classes = int(present[-1]) + 1
    faults = []
    empty = n_classes - len(present)
    if empty:
        gap = int(np.argmax(present != np.arange(len(present))))
        more = f" nor of {empty - 1} more" if empty > 1 else ""
        faults.append(
            f"{name} has no sample of class {gap}{more} (empty class; largest label "
            f"{n_classes - 1}); add samples or renumber the labels without gaps"
        )
    elif n_classes < 2:
        faults.append(f"{name} has 1 class; a classifier needs 2 or more")
    if y_test is not None:
        beyond = np.flatnonzero(y_test >= n_classes)
        if beyond.size:
            faults.append(
                f"{names['y_test']} has {beyond.size} label(s) outside the training classes 0 to "
                f"{n_classes - 1}, first {y_test[beyond[0]]} at index {beyond[0]}; remove those "
                f"samples or add the class to {name}"
            )
    return faults
