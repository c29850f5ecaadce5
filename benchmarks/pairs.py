"""Pairs of data sets, an old one and a new one, made of MNIST, Fashion-MNIST and the embedded digits by numpy alone.

    moved         MNIST, the middle at 16 x 16 -> the same, 3 pixels (of 28) further down
    rotated       -> the same, turned by 20 degrees
    inverted      -> the same, dark ink on light paper
    digits        MNIST, the middle at 8 x 8 -> the embedded digits: other writers, another scanner
    new digits    MNIST at 16 x 16, classes 0..7 -> all ten, of which 8 and 9 are new
    new clothes   the same of Fashion-MNIST

Old training samples are the first 10 000 of a set, new ones the next 10 000, so no image is in both; test samples are
the first 2000. Of the digits all are taken. All values are rates in 0..1, of scale 1.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lavaghost.datasets import Dataset, load_digits, load_idx

Images = NDArray[np.float32]
OLD, TEST, SIDE = 10_000, 2_000, 28
NEW_CLASSES = (8, 9)
"""Those of ten that a start does not know."""
WITH_CLASSES = ("new digits", "new clothes")
NAMES = ("moved", "rotated", "inverted", "digits", *WITH_CLASSES)


class Pair(NamedTuple):
    """What a start was trained on, and what it then meets."""

    name: str
    old: Dataset
    new: Dataset


def reduced(images: Images, side: int) -> Images:
    """The middle 24 x 24 pixels at 16 x 16, or 20 x 20 at 8 x 8, `(n, side^2)`, as means over areas."""
    edge = {16: 2, 8: 4}[side]
    middle = images[:, edge : SIDE - edge, edge : SIDE - edge].repeat(2, 1).repeat(2, 2)
    step = middle.shape[1] // side
    means = middle.reshape(len(images), side, step, side, step).mean((2, 4))
    return means.reshape(len(images), side * side).astype(np.float32)


def rotated(images: Images, degrees: float) -> Images:
    """Each image turned about its middle, clockwise as it is seen; bilinear, and 0 comes in from outside."""
    n, rows, columns = images.shape
    angle, middle = np.deg2rad(degrees), np.array([(rows - 1) / 2, (columns - 1) / 2])
    y, x = np.mgrid[:rows, :columns].astype(np.float64) - middle[:, None, None]
    # where each pixel of the result comes from: turned the other way
    from_y = np.cos(angle) * y - np.sin(angle) * x + middle[0]
    from_x = np.sin(angle) * y + np.cos(angle) * x + middle[1]
    padded = np.zeros((n, rows + 2, columns + 2), np.float32)
    padded[:, 1:-1, 1:-1] = images
    found = np.zeros_like(images)
    low_y, low_x = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            share = (1 - np.abs(from_y - low_y - dy)) * (1 - np.abs(from_x - low_x - dx))
            # what lies beyond the frame of zeros is zero too
            row, column = np.clip(low_y + dy + 1, 0, rows + 1), np.clip(low_x + dx + 1, 0, columns + 1)
            found += share.astype(np.float32) * padded[:, row, column]
    return np.clip(found, 0, 1)


def moved(images: Images, pixels: int) -> Images:
    """Each image that many pixels further down; 0 comes in from above."""
    found = np.zeros_like(images)
    found[:, pixels:] = images[:, :-pixels]
    return found


CHANGES: dict[str, Callable[[Images], Images]] = {
    "moved": lambda images: reduced(moved(images, 3), 16),
    "rotated": lambda images: reduced(rotated(images, 20), 16),
    "inverted": lambda images: 1 - reduced(images, 16),
}


def pair(name: str, mnist: Path, fashion: Path) -> Pair:
    """The pair that is called `name`. Raises `DataError`, `KeyError`."""
    data, side = load_idx(fashion if name == "new clothes" else mnist), 8 if name == "digits" else 16
    kind = "fashion" if name == "new clothes" else "mnist"

    def plain(images: Images) -> Images:
        return reduced(images, side)

    old = _part(data, f"{kind} {side} x {side}", plain, first=0)
    if name == "digits":
        return Pair(name, old, replace(load_digits(), scale=1.0))
    if name in WITH_CLASSES:
        known = range(old.n_classes - len(NEW_CLASSES))
        return Pair(name, only(old, known, f"{kind} 0 to 7"), _part(data, kind, plain, first=OLD))
    return Pair(name, old, _part(data, name, CHANGES[name], first=OLD))


def only(data: Dataset, classes: range, name: str) -> Dataset:
    """The samples of some classes, of which 0 is the first."""
    train, test = np.isin(data.y_train, classes), np.isin(data.y_test, classes)
    return Dataset(
        name, data.x_train[train], data.y_train[train], data.x_test[test], data.y_test[test], len(classes)
    )


def _part(data: Dataset, name: str, change: Callable[[Images], Images], first: int) -> Dataset:
    def images(x: NDArray[np.float32]) -> Images:
        return change(x.reshape(-1, SIDE, SIDE))

    rows = slice(first, first + OLD)
    return Dataset(
        name, images(data.x_train[rows]), data.y_train[rows], images(data.x_test[:TEST]), data.y_test[:TEST], 10
    )
