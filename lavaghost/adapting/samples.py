"""Raw samples and labels that come in one by one, checked before anything is learned from them."""

import math
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.datasets.ranges import ALIKE
from lavaghost.model.inputs import range_seen, rates_of
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


def samples_of(model: Model, x: Any) -> Array:
    """A raw sample `(n,)`, or several `(count, n)`, as rates `(count, n_0)`.

    Raises `SpecError` for another size, for what is no finite number, and for another scale than that of the samples
    that the network was trained on.
    """
    try:
        raw = np.asarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"a sample is no array of numbers ({error}); give {model.network.layers[0]} numbers"
        ) from error
    raw = raw[np.newaxis] if raw.ndim == 1 else raw
    rates = rates_of(model, raw)
    if not np.isfinite(rates).all():
        row = int(np.flatnonzero(~np.isfinite(rates).all(axis=1))[0])
        raise SpecError(f"sample {row} has a number that is NaN or infinite; leave it out")
    seen = range_seen(model)
    if seen is not None and len(rates) and seen.largest > 0:
        largest = np.abs(rates).max(axis=1)
        if (far := largest > ALIKE * seen.largest).any():
            row = int(np.flatnonzero(far)[0])
            raise SpecError(
                f"sample {row} reaches {largest[row] / model.input_scale:.4g}, and the network was trained on samples "
                f"of {seen.times(1 / model.input_scale)}; bring it to their scale"
            )
    return rates


def labels_of(model: Model, y: Any) -> Array:
    """A label, or several, as numbers of outputs `(count,)`.

    Raises `SpecError` for a label that is missing or that the network has no output for.
    """
    given = [y] if np.ndim(y) == 0 else list(y)
    place = {label: i for i, label in enumerate(model.labels)}
    found = []
    for row, label in enumerate(given):
        plain = label.item() if isinstance(label, np.generic) else label
        if plain is None or (isinstance(plain, float) and math.isnan(plain)):
            raise SpecError(f"the label of sample {row} is missing; leave the sample out, or only predict it")
        if isinstance(plain, bool) or not isinstance(plain, int | str) or plain not in place:
            known = ", ".join(map(str, model.labels[:12])) + (".." if len(model.labels) > 12 else "")
            raise SpecError(
                f"label {plain!r:.40} of sample {row} is no class of the network, which knows {known}; add it with "
                "`classes`"
            )
        found.append(place[plain])
    return np.array(found, np.int64)
