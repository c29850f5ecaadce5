"""What the exporters of integrate-and-fire formats share: the reference, and the report."""

from collections.abc import Iterable, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.base.files import write_atomic
from lavaghost.datasets import Dataset
from lavaghost.engines.forward_integers import forward_integers
from lavaghost.exporters.base import Carried, Expected, Exporter, ExportReport
from lavaghost.exporters.carried import left_out, measured_on, quantised_weights
from lavaghost.exporters.chain import Chain
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.spiking.conversion import chosen, own_outputs
from lavaghost.exporters.spiking.neurons import (
    Run,
    Scales,
    Spiking,
    regular_spikes,
    simulate,
    spiking_integers,
)
from lavaghost.exporters.spiking.own_integers import own_input, own_weights
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


def spiking_network(net: Chain, settings: Mapping[str, Any], largest: float = np.inf) -> Spiking:
    """The integers of a file with these settings, whose weights are at most `largest`."""
    names = Scales.__dataclass_fields__
    return spiking_integers(net, Scales(**{name: settings[name] for name in names}), largest)


def whole_samples(raw: Array, settings: Mapping[str, Any]) -> Array:
    """The integers that a runtime is to make of raw samples, `(samples, n_0)`; half is rounded to even."""
    return np.rint(raw.astype(np.float64) * settings["factor"])


def spiking_run(
    net: Chain,
    settings: Mapping[str, Any],
    raw: Array,
    limit: float = np.inf,
    *,
    delayed: bool = False,
    most: float = np.inf,
    largest: float = np.inf,
) -> Run:
    """The reference for raw samples `(samples, n_0)`, see `simulate`; weights are at most `largest`.

    Raises `ExportError` if a sum of the readout gets larger than `most`, at which an output neuron would fire.
    """
    held = whole_samples(raw, settings)
    inputs: Iterable[Array] = repeat(held, settings["steps"])
    if settings["code"] == "spikes":
        inputs = regular_spikes(held, settings["top"], settings["steps"])
    whole = spiking_network(net, settings, largest)
    found = simulate(whole, inputs, settings["reset"], limit, delayed=delayed)
    if found.largest > most:
        raise ExportError(
            f"the readout reaches {found.largest:.0f}, and the voltage of an output holds {most:.0f}; export with "
            "fewer steps or weight_bits"
        )
    return found


def exactly(sums: Array, scale: float) -> Expected:
    """Integers `(samples, n_L)` that must come out; times `scale` they are logits of the network."""
    logits = np.rint(sums).astype(np.int64)
    return Expected(logits, np.zeros_like(sums), exact=True, labels=logits.argmax(axis=1), scale=scale)


def written(
    exporter: Exporter,
    trained: Model,
    path: Path,
    data: bytes,
    settings: Mapping[str, Any],
    calibration: Dataset,
    activation: str,
    whole: Spiking | None = None,
    remark: str = "",
) -> ExportReport:
    """Measure what was lost, then write `data` to `path`. Raises `OutputError`.

    whole   the integers of an integrate-and-fire file, which keep those of a network in integers
    remark  on these integers
    """
    x, what = measured_on(trained, calibration)
    raw = raw_samples(x, trained.input_scale)
    found = exporter.expected(trained, settings, raw)
    exact = float_expected(trained, raw).logits if whole is None else own_outputs(trained, x)
    lost = float(np.abs(found.logits * (found.scale or 1.0) - exact).max())
    same = float(np.mean(found.labels == exact.argmax(axis=1)))
    scaling = f"in the first weights; the file takes the integers round(raw x {settings['factor']:g})"
    if whole is None or trained.integers is None:
        weights = quantised_weights(
            trained,
            calibration,
            f"integers in a unit of each layer; with the activation, logits differ from the float ones by up to "
            f"{lost:.2g} and {same:.1%} of the labels are the same, on {what}",
        )
        gap = f"measured with the weights: {lost:.2g}"
    else:
        own = forward_integers(trained.graph, trained.integers)
        weights, scaling = own_weights(own, whole, settings), own_input(own, settings)
        weights = weights._replace(note=weights.note + remark)
        gap = (
            f"with the weights, outputs differ from those of the network in integers by up to {lost:.2g} of "
            f"{np.abs(exact).max():.2g}, and {same:.1%} of the labels are the same, on {what}"
        )
    carries = (
        weights,
        Carried("activation", "approximate", f"{activation}{chosen(settings)}; {gap}"),
        *left_out(trained, calibration),
        Carried("learning rule", "unsupported", "the file holds inference; exporter 'yaml' keeps the rule"),
        Carried("input scaling", "faithful", scaling),
    )
    return ExportReport(exporter.name, (write_atomic(path, data),), len(data), carries, settings=dict(settings))
