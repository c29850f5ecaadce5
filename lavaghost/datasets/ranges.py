"""In which range the samples of a data set lie, and the scale that training from scratch gives them."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lavaghost.base.errors import warn
from lavaghost.datasets.dataset import Dataset, raise_faults, raw_samples
from lavaghost.numbers.arithmetic import Array

FAR = 3.0
"""Root mean square beyond which samples are far outside 0..1; that of standardised ones is 1."""
ALIKE = 4.0
"""Samples of one kind differ by no more in their largest value, or in their root mean square."""
FULL_SCALES = (1, 16, 255)
"""Largest value of a bit, of the ink of the digits, and of a byte."""
MANY = 4_000_000
"""Values that a root mean square is taken of."""
UNDERSHOOT = 0.05
"""Of the largest value: what interpolation leaves below 0 in samples that are not signed."""


class Range(NamedTuple):
    """Smallest and largest value, and the root mean square of all."""

    low: float
    high: float
    rms: float

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)

    @property
    def signed(self) -> bool:
        """True if values below 0 are more than an undershoot."""
        return self.low < -UNDERSHOOT * self.largest

    def times(self, factor: float) -> "Range":
        """The range of the values times `factor`, above 0."""
        return Range(self.low * factor, self.high * factor, self.rms * factor)

    def like(self, other: "Range") -> bool:
        """True if these may be samples of the same kind: signed or not, and of about the same size."""
        if self.largest == 0 or other.largest == 0:
            return True
        near = [
            1 / ALIKE <= a / b <= ALIKE
            for a, b in ((self.largest, other.largest), (self.rms, other.rms))
            if b > 0
        ]
        return any(near) and self.signed == other.signed

    def __str__(self) -> str:
        return f"{self.low:.3g}..{self.high:.3g}"


def range_of(x: Array, channels: int = 1) -> Range:
    """The range of samples `x (samples, n_inputs)`; of two channels that of x+ - x-."""
    low, high = float(x.min()), float(x.max())
    if channels == 2:
        half = x.shape[1] // 2
        low, high = 0.0 - float(x[:, half:].max()), float(x[:, :half].max())
    # of some samples where they are many: what is asked for is a magnitude
    some = x[:: 1 + x.size // MANY]
    rms = float(np.sqrt(np.square(some, dtype=np.float64).mean() * channels))
    return Range(low, high, rms)


def scaled_to(data: Dataset, scale: float) -> Dataset:
    """`data` with samples raw * `scale`."""
    if np.float32(data.scale) == np.float32(scale):
        return data
    x_train, x_test = (raw_samples(x, data.scale) * np.float32(scale) for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test, scale=scale)


def for_training(data: Dataset) -> Dataset:
    """`data` in the scale in which a new network learns it, with a warning where that is not its own.

    Whole numbers of 0..16 or of one bit in bytes, and floats of 0..255, get the scale that fills 0..1. Raises
    `DataError` for floats far outside 0..1 of which no full scale is known.
    """
    found = range_of(data.x_train, data.channels)
    raw = found.times(1 / data.scale)
    name, full = data.name, next((top for top in FULL_SCALES if raw.high <= top + 1e-3), None)
    far, of_bytes = found.rms > FAR, np.float32(data.scale) == np.float32(1 / 255)
    if far and (raw.signed or full is None):
        standard = "m, s = x_train.mean(0), x_train.std(0) + 1e-6, then (x_train - m) / s and (x_test - m) / s"
        fault = (
            f"x_train has {found} (root mean square {found.rms:.3g}), far outside 0..1; store it standardised: "
        )
        raise_faults(f"data set {name}", [fault + standard])
    if full is None or raw.high <= 0 or not (far or (of_bytes and full < 255)):
        return data
    kind = "bytes" if of_bytes else "floats"
    warn(
        f"data set {name}: x_train has {kind} of {raw}, {'far outside' if far else 'a small part of'} their usual "
        f"range; taken as x / {full} (scale {1 / full:.4g}), which exported files do as well; store x / {full} as "
        "float to decide it yourself"
    )
    return scaled_to(data, 1 / full)
