"""Labels that are no class numbers: what they are, and the Python that makes class numbers of them."""

import numpy as np
from numpy.typing import NDArray


def label_remedy(name: str, dtype: np.dtype, shape: tuple[int, ...], values: NDArray | None) -> str:
    """What makes class numbers of labels of `dtype` and `shape`; `values` where they are numbers that were read."""
    if dtype.kind in "US" or dtype.hasobject:
        if name == "y_test":
            return "in the numbering of y_train"
        return (
            "classes, y_train = np.unique(y_train.astype(str), return_inverse=True); "
            "y_test = np.searchsorted(classes, y_test.astype(str))"
        )
    if values is not None and dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(values) | (values != np.rint(values)))
        if odd.size:
            where = np.unravel_index(odd[0], shape)
            place = ", ".join(str(int(i)) for i in where)
            return f"{values[odd[0]]:.6g} at [{place}] is no class: targets of regression are unsupported"
    if len(shape) == 2 and shape[1] > 1:
        if values is not None and not one_hot(values.reshape(shape)):
            return "its rows are not one-hot: several labels for one sample are not supported"
        return f"one-hot rows as {name}.argmax(axis=1)"
    ravel = ".ravel()" if len(shape) == 2 else ""
    return f"{name}{ravel}.astype(int)" if dtype.kind in "fbu" else f"{name}{ravel}"


def one_hot(rows: NDArray) -> bool:
    """True if each of `rows (samples, classes)` is 1 once and 0 else."""
    return bool((((rows == 0) | (rows == 1)).all()) and (rows.sum(axis=1) == 1).all())
