"""From a network to the settings of an integrate-and-fire file: options, calibration, and the choice of thresholds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lavaghost.base.errors import ExportError, join_faults
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.engines.forward_integers import forward_integers
from lavaghost.exporters.base import Exporter
from lavaghost.exporters.chain import Chain, chain
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.spiking.neurons import FormatLimits, InputCode, Scales, input_levels, spike_scales
from lavaghost.exporters.spiking.own_integers import own_scales
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

WEIGHT_BITS = 8
CALIBRATION = 10_000
"""Most training samples that a calibration looks at."""
COMPARED = 1000
"""Most training samples on which thresholds are compared."""

Threshold = Literal["measured", "bound", "percentile"]


class SpikingOptions(Spec):
    """Of an integrate-and-fire format. The defaults were measured, see docs/exports.md."""

    steps: Annotated[int, Field(ge=2, le=1024)] = 32
    """Time steps of one sample."""
    threshold: Threshold = "measured"
    """Of a layer whose rates saturate: where they do (`bound`), `percentile`, or what answers more like the network."""
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    """Of the training activations of a layer: its threshold."""
    weight_bits: Annotated[int, Field(ge=2, le=WEIGHT_BITS)] = WEIGHT_BITS
    """With the sign; a network in integers keeps its own."""
    input_bits: Annotated[int, Field(ge=1, le=8)] = 8
    """Of a sample; raw data that are smaller integers are taken as they are."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """One export on its way: what `settings_by` needs."""

    exporter: Exporter
    trained: Model
    net: Chain
    data: Dataset
    options: SpikingOptions
    limits: FormatLimits
    code: InputCode

    def settings_by(self, percentile: float | None) -> dict[str, Any]:
        """Settings with thresholds at a percentile, or, for None, where rates saturate."""
        scales = self._scales(percentile)
        first = {"steps": self.options.steps, "reset": "hard", "factor": self.net.scale / scales.input}
        return first | asdict(scales)

    def _scales(self, percentile: float | None) -> Scales:
        x, bits = self.data.x_train[:CALIBRATION], self.options.input_bits
        if self.trained.integers is not None:
            own = forward_integers(self.trained.graph, self.trained.integers)
            return own_scales(self.exporter.name, self.net, own, x, percentile, self.limits, self.code, bits)
        weight = min(2 ** (self.options.weight_bits - 1) - 1, self.limits.weight)
        levels = input_levels(x, self.net.scale, bits)
        return spike_scales(self.net, x, percentile, replace(self.limits, weight=weight), levels, self.code)

    def nearness(self, settings: Mapping[str, Any]) -> tuple[float, float]:
        """Share of training samples that a file answers as the network does, and minus the mean gap of outputs."""
        x = self.data.x_train[:COMPARED]
        found = self.exporter.expected(self.trained, settings, raw_samples(x, self.trained.input_scale))
        wanted = own_outputs(self.trained, x)
        same = float(np.mean(found.labels == wanted.argmax(axis=1)))
        return same, -float(np.abs(found.logits * (found.scale or 1.0) - wanted).mean())


def convert(
    exporter: Exporter,
    trained: Model,
    data: Dataset,
    options: SpikingOptions,
    limits: FormatLimits,
    code: InputCode = "current",
) -> dict[str, Any]:
    """The settings of an integrate-and-fire file of `trained`, calibrated on the training samples of `data`.

    Where rates saturate, `thresholds_by` says what the thresholds are, and `labels_alike` how often each that was
    tried answers as the network does. Raises `ExportError` for options that say nothing of it, and see `own_scales`.
    """
    net = chain(trained, exporter.name)
    bounded = trained.integers is not None or net.r_max < np.inf
    _check_options(exporter, trained, options, bounded)
    work = Conversion(exporter, trained, net, data, options, limits, code)
    if not bounded:
        return work.settings_by(options.percentile)
    ways = {"bound": None, "percentile": options.percentile}
    tried = [options.threshold] if options.threshold != "measured" else list(ways)
    found = {name: work.settings_by(ways[name]) for name in tried}
    near = {name: work.nearness(settings) for name, settings in found.items()}
    best = max(tried, key=lambda name: near[name])
    alike = {name: round(same, 4) for name, (same, _) in near.items()}
    return found[best] | {"thresholds_by": best, "labels_alike": alike}


def _check_options(exporter: Exporter, trained: Model, options: SpikingOptions, bounded: bool) -> None:
    faults = []
    if options.threshold == "bound" and not bounded:
        faults.append("threshold is bound, and rates of this network have none; use percentile")
    if trained.integers is not None and options.weight_bits != WEIGHT_BITS:
        faults.append(
            f"weight_bits is {options.weight_bits}, and a network in integers keeps its own; leave it out, or use "
            f"lavaghost quantize --weight-bits {options.weight_bits}"
        )
    if faults:
        raise ExportError(join_faults([f"exporter {exporter.name!r}: {faults[0]}", *faults[1:]]))


def own_outputs(trained: Model, x: Array) -> Array:
    """What a file is held against, for rates `x (samples, n_0)`: the network in integers, or the exact forward pass."""
    if trained.integers is not None:
        return trained.outputs(x)
    return float_expected(trained, raw_samples(x, trained.input_scale)).logits


def chosen(settings: Mapping[str, Any]) -> str:
    """What the thresholds of rates that saturate are, as text; nothing where they do not."""
    if "thresholds_by" not in settings:
        return ""
    named = {"bound": "at the largest rate", "percentile": "at the percentile"}
    tried = ", ".join(f"{same:.1%} {named[name]}" for name, same in settings["labels_alike"].items())
    return f", thresholds {named[settings['thresholds_by']]} (labels as the network: {tried})"
