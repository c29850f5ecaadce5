"""What a saved network was trained on, and a data set brought to it: compared before anything is computed.

A network takes rates r_0. Samples of another scale are those rates already (the same images as floats in 0..1), or the
same raw numbers in need of the network's own factor (floats of 0..255 for a network of bytes). Which of the two holds
is seen from the range of the rates that it was trained on, in its record under `inputs`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError, join_faults, warn
from lavaghost.datasets import Dataset, Range, range_of, scaled_to, two_channels, unsigned
from lavaghost.datasets.channels import split as in_two_channels
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array

UNIT_RANGE = Range(0.0, 1.0, 0.5)
"""Of a network whose record does not say it, and which scales its raw samples: bytes and ink fill 0..1."""


def check_data(network: Network, data: Dataset, fewer_classes: bool = False) -> None:
    """Refuse a network whose input or output does not fit the data set, which may have `fewer_classes` if wanted."""
    faults = []
    if network.layers[0] != data.n_inputs:
        faults.append(f"layers[0] is {network.layers[0]}, but {data.name} has {data.n_inputs} inputs")
    if network.layers[-1] != data.n_classes and not (fewer_classes and data.n_classes < network.layers[-1]):
        faults.append(f"layers[-1] is {network.layers[-1]}, but {data.name} has {data.n_classes} classes")
    if faults:
        raise SpecError(join_faults(faults) + "; give the sizes of the data set")


def rates_of(trained: Model, samples: Array) -> Array:
    """Raw samples `(samples, n)` as the rates r_0 of a network, in its scale and its channels. Raises `SpecError`."""
    raw, n = np.asarray(samples, np.float32), trained.network.layers[0]
    if raw.ndim == 2 and _seen(trained)[1] == 2 and 2 * raw.shape[1] == n:
        raw = in_two_channels(raw)
    if raw.ndim != 2 or raw.shape[1] != n:
        raise SpecError(f"samples have the shape {raw.shape}; give (samples, {n})")
    return raw if trained.input_scale == 1.0 else raw * np.float32(trained.input_scale)


def inputs_record(data: Dataset) -> dict[str, Any]:
    """What a record keeps of the training inputs under `inputs`."""
    return {**range_of(data.x_train, data.channels)._asdict(), "channels": data.channels}


def scaled_for(trained: Model, data: Dataset, fewer_classes: bool = False) -> Dataset:
    """`data` as rates of `trained`, in its scale and its channels; see `check_data`.

    Raises `SpecError` for other sizes, and, with both ranges and scales, for samples of another kind than those that
    the network was trained on.
    """
    seen, channels = _seen(trained)
    if channels == 2 and data.channels == 1 and 2 * data.n_inputs == trained.network.layers[0]:
        data = two_channels(data)
    check_data(trained.network, data, fewer_classes)
    return _scaled(trained, data, seen)


def _scaled(trained: Model, data: Dataset, seen: Range | None) -> Dataset:
    found, scale = range_of(data.x_train, data.channels), trained.input_scale
    same = np.float32(data.scale) == np.float32(scale)
    if seen is None and not same:
        if "imported" not in trained.record:
            raise SpecError(_unlike(trained, data, found, "a range that its record does not name"))
        if scale < 1 and found.like(UNIT_RANGE) and not found.times(scale / data.scale).like(UNIT_RANGE):
            return replace(data, scale=scale)
        warn(
            f"the network was imported without a data set, so it gets raw samples of {data.name}, "
            f"{found.times(1 / data.scale)}; if it was trained on scaled ones, {found}, import it with --dataset "
            "and --scaled"
        )
        return scaled_to(data, scale)
    as_rates = seen is None or found.like(seen)
    as_raw = seen is None or found.times(scale / data.scale).like(seen)
    if not (as_rates or as_raw):
        raise SpecError(_unlike(trained, data, found, str(seen)))
    if same or not as_raw:
        return data if same else replace(data, scale=scale)
    if as_rates and found.largest > 0:
        raise SpecError(_unlike(trained, data, found, f"{seen}, which fits both x and x / scale"))
    return scaled_to(data, scale)


def _unlike(trained: Model, data: Dataset, found: Range, seen: str) -> str:
    return (
        f"data set {data.name} has inputs of {found} (scale {data.scale:.6g}), and the network was trained on {seen} "
        f"(scale {trained.input_scale:.6g}); store the samples as those of {trained.dataset:.60} are, or train on these"
    )


def _seen(trained: Model) -> tuple[Range | None, int]:
    """The range of the rates that a network was trained on, as far as is known, and its channels."""
    kept = trained.record.get("inputs")
    usual = None if trained.input_scale == 1.0 or "imported" in trained.record else UNIT_RANGE
    try:
        if not isinstance(kept, Mapping):
            return usual, 1
        found = Range(*(float(kept[name]) for name in Range._fields))
        return found if found.low <= found.high else usual, int(kept["channels"])
    except (KeyError, TypeError, ValueError):
        return usual, 1


def range_seen(trained: Model) -> Range | None:
    """The range of the rates that a network was trained on, if its record says it."""
    return _seen(trained)[0] if "inputs" in trained.record else None


def unsigned_for(trained: Model, data: Dataset) -> tuple[Model, Dataset]:
    """Network and data for spikes that have no sign: both in two channels if the data go below 0, with a warning.

    W_1 r_0 = [W_1, -W_1] [max(r_0, 0), max(-r_0, 0)]: the network computes the same.
    """
    split = unsigned(data)
    if split is data:
        return trained, data
    if not trained.graph.all_dense:
        raise SpecError("two channels need dense projections; use data of 0 and above")
    params, network = trained.params, trained.network
    weights = (np.concatenate([params.weights[0], -params.weights[0]], axis=1), *params.weights[1:])
    layers = (split.n_inputs, *network.layers[1:])
    return (
        replace(
            trained,
            network=network.model_copy(update={"layers": layers}),
            tensors=params._replace(weights=weights),
            record={**trained.record, "inputs": inputs_record(split)},
        ),
        split,
    )
