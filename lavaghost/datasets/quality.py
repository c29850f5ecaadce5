"""What is allowed in a data set and most likely not meant: one warning each."""

import numpy as np

from lavaghost.base.errors import warn
from lavaghost.datasets.dataset import Dataset
from lavaghost.datasets.ranges import range_of

IMBALANCE = 10.0
"""Training samples of the largest class for one of the smallest, beyond which accuracy says little."""


def warn_of(data: Dataset) -> None:
    """Warn of constant samples, of parts that are scaled apart, and of classes of very different sizes."""
    train, test = (range_of(x, data.channels) for x in (data.x_train, data.x_test))
    for name, x, found in (("x_train", data.x_train, train), ("x_test", data.x_test, test)):
        if found.low == found.high == 0:
            warn(
                f"data set {data.name}: {name} is all zero, so nothing can be learned from it; look at its file"
            )
        elif len(x) > 1 and (x == x[0]).all():
            warn(f"data set {data.name}: all {len(x)} samples of {name} are the same; look at their file")
    if not train.like(test):
        warn(f"data set {data.name}: x_train has {train} and x_test {test}; scale both in the same way")
    counts = np.bincount(data.y_train, minlength=data.n_classes)
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] > IMBALANCE * counts[least]:
        warn(
            f"data set {data.name}: {counts[most]} training samples of class {most} and {counts[least]} of class "
            f"{least}, {counts[most] / counts[least]:.3g} times as many; look at the recall of each class"
        )
