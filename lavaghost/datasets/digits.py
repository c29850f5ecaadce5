"""The embedded digits: 1797 handwritten digits of 8 x 8 pixels, 0 to 16 levels of ink.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://archive.ics.uci.edu/dataset/80, licence CC BY 4.0; the test part of that
data set, as scikit-learn (BSD 3-clause) ships it. `scripts/make_digits.py` wrote `digits.npz`.
"""

from importlib import resources

import numpy as np

from lavaghost.base.errors import DataError
from lavaghost.datasets.dataset import Dataset, class_count
from lavaghost.datasets.streams import describe

FILE = "digits.npz"
MAX_INK = 16


def load_digits() -> Dataset:
    """1437 training and 360 test samples, x = ink / 16 as float32 (n, 64), y as int64 (n,).

    The split is stratified and stored in the file: the same for every seed and NumPy version.
    Raises `DataError` if the installed file is missing or damaged.
    """
    try:
        with (
            resources.files("lavaghost.datasets").joinpath(FILE).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            images, labels = arrays["images"], arrays["labels"]
            train, test = arrays["train"], arrays["test"]
    # a damaged installation: a missing file, or any error of zipfile, zlib or numpy
    except Exception as error:
        raise DataError(
            f"the embedded {FILE} cannot be read ({describe(error)}); install lavaghost again"
        ) from error
    x = images / np.float32(MAX_INK)
    y = labels.astype(np.int64)
    return Dataset(
        name="digits",
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        n_classes=class_count(y),
        scale=1 / MAX_INK,
    )
