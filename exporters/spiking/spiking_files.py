"""What the exporters of integrate-and-fire formats share: options, settings, the reference, and the report."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lavaghost.base.errors import ExportError
from lavaghost.base.files import write_atomic
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, Exporter, ExportReport
from lavaghost.exporters.carried import left_out, measured_on, quantised_weights
from lavaghost.exporters.chain import Chain
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.spiking.neurons import (
    FormatLimits,
    InputCode,
    Run,
    Scales,
    Spiking,
    input_levels,
    regular_spikes,
    simulate,
    spike_scales,
    spiking_integers,
)
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

WEIGHT_BITS = 8
CALIBRATION = 10_000
"""Most training samples that a calibration looks at."""


class SpikingOptions(Spec):
    """Of an integrate-and-fire format. The defaults were measured, see docs/exports.md."""

    steps: Annotated[int, Field(ge=2, le=1024)] = 32
    """Time steps of one sample."""
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    """Of the training activations of a layer: its threshold."""
    weight_bits: Annotated[int, Field(ge=2, le=WEIGHT_BITS)] = WEIGHT_BITS
    """With the sign."""
    input_bits: Annotated[int, Field(ge=1, le=8)] = 8
    """Of a sample; raw data that are smaller integers are taken as they are."""


def convert(
    net: Chain, data: Dataset, options: SpikingOptions, limits: FormatLimits, code: InputCode = "current"
) -> dict[str, Any]:
    """The settings of an integrate-and-fire file of `net`, calibrated on the training samples of `data`."""
    x = data.x_train[:CALIBRATION]
    limits = FormatLimits(2 ** (options.weight_bits - 1) - 1, limits.bias, limits.threshold, limits.drive)
    levels = input_levels(x, net.scale, options.input_bits)
    scales = spike_scales(net, x, options.percentile, limits, levels, code)
    first = {"steps": options.steps, "reset": "hard", "factor": net.scale / scales.input}
    return first | asdict(scales)


def spiking_network(net: Chain, settings: Mapping[str, Any]) -> Spiking:
    """The integers of a file with these settings."""
    names = Scales.__dataclass_fields__
    return spiking_integers(net, Scales(**{name: settings[name] for name in names}))


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
) -> Run:
    """The reference for raw samples `(samples, n_0)`, see `simulate`.

    Raises `ExportError` if a sum of the readout gets larger than `most`, at which an output neuron would fire.
    """
    held = whole_samples(raw, settings)
    inputs: Iterable[Array] = repeat(held, settings["steps"])
    if settings["code"] == "spikes":
        inputs = regular_spikes(held, settings["top"], settings["steps"])
    found = simulate(spiking_network(net, settings), inputs, settings["reset"], limit, delayed=delayed)
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
) -> ExportReport:
    """Measure what was lost, then write `data` to `path`. Raises `OutputError`."""
    x, what = measured_on(trained, calibration)
    raw = raw_samples(x, trained.input_scale)
    found, exact = exporter.expected(trained, settings, raw), float_expected(trained, raw)
    lost = float(np.abs(found.logits * (found.scale or 1.0) - exact.logits).max())
    same = float(np.mean(found.labels == exact.labels))
    weights = quantised_weights(
        trained,
        calibration,
        f"integers in a unit of each layer; with the activation, logits differ from the float ones by up to "
        f"{lost:.2g} and {same:.1%} of the labels are the same, on {what}",
    )
    carries = (
        weights,
        Carried("activation", "approximate", f"{activation}; measured with the weights: {lost:.2g}"),
        *left_out(trained, calibration),
        Carried("learning rule", "unsupported", "the file holds inference; exporter 'yaml' keeps the rule"),
        Carried(
            "input scaling",
            "faithful",
            f"in the first weights; the file takes the integers round(raw x {settings['factor']:g})",
        ),
    )
    return ExportReport(exporter.name, (write_atomic(path, data),), len(data), carries, settings=dict(settings))
