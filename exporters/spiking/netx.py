"""netx, the HDF5 files of lava-dl: sigma-delta or integrate-and-fire networks for Lava's fixed-point processes.

Written with h5py alone, neither lava-dl nor torch is needed. Weights are integers in -127..127: netx doubles a matrix
of both signs and drops the lowest bit, so they are kept whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lavaghost.base.errors import ExportError
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.engines.sigma_delta import reference
from lavaghost.exporters.base import Expected, ExportReport, calibrated
from lavaghost.exporters.chain import chain, chaining
from lavaghost.exporters.spiking import hdf5, spiking_files
from lavaghost.exporters.spiking import netx_sigma_delta as sigma_delta
from lavaghost.exporters.spiking.bounded import bounded, saturating, second, tops_of
from lavaghost.exporters.spiking.conversion import SpikingOptions, convert
from lavaghost.exporters.spiking.netx_own import mantissa_steps, measured_samples, message_levels, own_notes
from lavaghost.exporters.spiking.neurons import FormatLimits, input_levels
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

LARGEST_WEIGHT = 127
ALIGN = 64
"""Lava's state holds weights, biases and thresholds times 2^6."""
LARGEST_VOLTAGE = (1 << 23) - 1
LARGEST_SUM = LARGEST_VOLTAGE // ALIGN
"""An output neuron fires above this, which is the largest threshold of 17 bits; it must not."""
LIMITS = FormatLimits(weight=LARGEST_WEIGHT, bias=4095, threshold=LARGEST_SUM - 1, drive=LARGEST_SUM)
INPUT_BITS = 8

InputBits = Annotated[int, Field(ge=1, le=INPUT_BITS)]
DELTA = {"type": "SDNN", "activation": "relu", "vThMant": 0}
FIRE = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "refDelay": 1, "gradedSpike": False}


class SigmaDeltaOptions(Spec):
    """Of `netx-sdnn`."""

    input_bits: InputBits = 5
    """Of a sample; raw data that are smaller integers are taken as they are."""


@dataclass(frozen=True)
class SigmaDeltaExporter:
    """Sigma-delta neurons, which send changes of their rates."""

    name: str = "netx-sdnn"
    suffix: str = ".net"
    summary: str = "lava-dl netx HDF5, sigma-delta neurons in integers; one sample per time step"
    needs: str = "h5py, a data set to calibrate on"
    runtimes: tuple[str, ...] = ("netx",)
    options: type[Spec] = SigmaDeltaOptions

    def write(
        self, trained: Model, path: Path, options: SigmaDeltaOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        given = chain(trained, self.name)
        data = calibrated(self, calibration)
        tops = tops_of(trained, given)
        held = saturating(given, tops, data.x_train)
        net, own = bounded(given, tops, held), trained.integers
        levels = (
            input_levels(data.x_train, net.scale, options.input_bits)
            if own is None
            else message_levels(data.x_train, own, options.input_bits)
        )
        steps = mantissa_steps(trained)
        found = sigma_delta.delta_scales(net, data.x_train, levels, LARGEST_WEIGHT, steps)
        settings = {
            **({"saturating": held} if held else {}),
            "input": levels[0],
            "top": levels[1],
            "factor": net.scale / levels[0],
            **found,
        }
        whole = sigma_delta.delta_network(net, settings)
        last = {"type": "SDNN", "sigma_output": True, "vThMant": 0, "activation": "relu"}
        layers = [
            _dense(w, b // sigma_delta.BIAS if k < whole.depth else None, DELTA if k < whole.depth else last)
            for k, (w, b) in enumerate(zip(whole.weights, whole.biases, strict=True), start=1)
        ]
        file = _file(whole.weights[0].shape[1], layers, neuron=DELTA)
        packed = hdf5.hdf5_bytes(self.name, file)
        report = spiking_files.written(
            self, trained, path, packed, settings, data, "sigma-delta neurons with a relu" + second(held, data)
        )
        if trained.integers is None:
            return report
        found = self.expected(trained, settings, measured_samples(trained, data))
        notes = own_notes(trained, whole, settings, found, data)
        return replace(report, carries=(*notes, *report.carries[2:]))

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: `lavaghost.engines.sigma_delta.reference`; samples in their order, since states go on."""
        given = chain(trained, self.name)
        given = bounded(given, tops_of(trained, given), settings.get("saturating", []))
        net = sigma_delta.delta_network(given, settings)
        samples = spiking_files.whole_samples(raw, settings)
        sums = reference(net, samples.astype(np.int64) << sigma_delta.SHIFT)
        # a hidden message keeps what it rounds off in the state above, for the samples that follow
        return spiking_files.exactly(sums, net.scales[-1])._replace(independent=net.depth < 3)


@dataclass(frozen=True)
class CubaExporter:
    """Integrate-and-fire neurons: CUBA with an instantaneous synapse and no leak."""

    name: str = "netx-cuba"
    suffix: str = ".net"
    summary: str = "lava-dl netx HDF5, integrate-and-fire neurons in integers; a sample for some time steps"
    needs: str = "h5py, a data set to calibrate on"
    runtimes: tuple[str, ...] = ("netx",)
    options: type[Spec] = SpikingOptions

    def write(
        self, trained: Model, path: Path, options: SpikingOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        net = chain(trained, self.name)
        data = calibrated(self, calibration)
        settings = convert(self, trained, data, options, LIMITS)
        whole = spiking_files.spiking_network(net, settings, LARGEST_WEIGHT)
        thresholds = [*(int(theta) for theta in whole.thresholds), LARGEST_SUM]
        layers = [
            _dense(w, b, {**FIRE, "vThMant": theta})
            for w, b, theta in zip(whole.weights, whole.biases, thresholds, strict=True)
        ]
        file = _file(whole.weights[0].shape[1], layers)
        file |= {"simulation/Ts": 1, "simulation/tSample": options.steps}
        packed = hdf5.hdf5_bytes(self.name, file)
        activation = f"the rate of spikes in {options.steps} steps"
        return spiking_files.written(self, trained, path, packed, settings, data, activation, whole)

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the integrate-and-fire reference in Lava's state of 24 bits."""
        run = spiking_files.spiking_run(
            chain(trained, self.name),
            settings,
            raw,
            LARGEST_VOLTAGE / ALIGN,
            most=LARGEST_SUM,
            largest=LARGEST_WEIGHT,
        )
        return spiking_files.exactly(run.sums, settings["units"][-1] / settings["steps"])


def _file(inputs: int, layers: list[dict[str, Any]], **first: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a file: an input layer, then `layers`."""
    named = [{"type": np.array([b"input"], "S10"), "shape": np.array([inputs]), **first}, *layers]
    return {f"layer/{i}/{key}": value for i, layer in enumerate(named) for key, value in _flat(layer)}


def _flat(layer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in layer.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{inner}", entry) for inner, entry in value.items())
        else:
            yield key, value


def _dense(weights: Array, biases: Array | None, neuron: Mapping[str, Any]) -> dict[str, Any]:
    if not weights.any():
        raise ExportError(
            f"exporter 'netx': a layer of {len(weights)} units has only weights that round to 0, which netx cannot "
            "scale; train longer"
        )
    layer = {
        "type": np.array([b"dense"], "S10"),
        "shape": np.array([len(weights)]),
        "inFeatures": weights.shape[1],
        "outFeatures": len(weights),
        "weight": weights.astype(np.float32),
        "neuron": neuron,
    }
    return layer if biases is None else layer | {"bias": biases.astype(np.float32)}


chaining("netx-sdnn")
chaining("netx-cuba")
sdnn = SigmaDeltaExporter()
cuba = CubaExporter()
