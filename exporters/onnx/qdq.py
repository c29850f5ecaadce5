"""Quantised float ONNX (QDQ): the form that most tools for integer hardware read and fuse.

    input [N, n_0] -> Q(1/f, z) DQ -> { Gemm(DQ V_k, DQ c_k) -> Relu or Clip -> Q(s_k) DQ } ... -> Gemm -> logits

    Q(s, z): q = clip(rint(x / s) + z, 0, 255)     DQ: (q - z) s

Weights and ranges are those of `exporters.onnx.whole_numbers`, but a rate may have any unit s_k, the sums are floats,
and a runtime is free to compute them in integers or not. Near the middle between two integers float rounding decides,
so runtimes agree in the logits only up to such flips; `expected` bounds them by interval arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, calibrated
from lavaghost.exporters.carried import MEASURED, feedforward_carries, quantised_weights, quantization_gap
from lavaghost.exporters.chain import Chain, chain, chaining
from lavaghost.exporters.floats import UNIT, raw_samples
from lavaghost.exporters.onnx.build import ONNX_RUNTIMES, Build, check_size, finish, save
from lavaghost.exporters.onnx.whole_build import CENTRE
from lavaghost.exporters.onnx.whole_numbers import TOP, QuantizeOptions, ranges, weight_unit
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

OPSET, IR = 19, 9
"""The oldest of which onnx.reference runs QuantizeLinear and DequantizeLinear."""


@dataclass(frozen=True)
class QdqOnnxExporter:
    """Inference only, quantised."""

    name: str = "onnx-qdq"
    suffix: str = ".onnx"
    summary: str = (
        "quantised ONNX (QuantizeLinear / DequantizeLinear pairs, opset 19), for tools that fuse them"
    )
    needs: str = "a data set to calibrate on"
    runtimes: tuple[str, ...] = ONNX_RUNTIMES
    options: type[Spec] = QuantizeOptions

    def write(
        self, trained: Model, path: Path, options: QuantizeOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        data = calibrated(self, calibration)
        net = chain(trained, self.name)
        settings, tops = ranges(net, data.x_train, options)
        settings["rate_units"] = [float(np.float32(top / TOP)) for top in tops]
        raw = raw_samples(data.x_train[:MEASURED], trained.input_scale)
        gap = quantization_gap(trained, self.expected(trained, settings, raw).logits, raw)
        what = f"{gap} on {len(raw)} training samples of {data.name}"
        carries = feedforward_carries(
            trained,
            data,
            quantised_weights(trained, data, f"{options.weight_bits} bits; {what}"),
            Carried("activation", "approximate", f"rates of 8 bits; {what}"),
        )
        return save(qdq_graph(trained, net, settings), path, self.name, carries, settings)

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the quantised pass, within rounding and the flips that rounding can cause."""
        logits, tolerance = quantised_pass(chain(trained, self.name), settings, raw)
        return Expected(logits, tolerance, exact=False, labels=logits.argmax(axis=1))


@dataclass(frozen=True, eq=False)
class ScaledLayer:
    """Integers V_k, c_k of one layer and what 1 in them stands for, as float32 numbers."""

    weights: Array
    biases: Array
    weight_unit: float
    bias_unit: float


def scaled_layers(net: Chain, settings: Mapping[str, Any]) -> list[ScaledLayer]:
    """Every layer in integers; a bias has the unit of the products."""
    rate_unit = net.scale / float(settings["input_factor"])
    found = []
    units = [*map(float, settings["rate_units"]), 1.0]
    for (w, b), after in zip(net.layers, units, strict=True):
        unit = float(np.float32(weight_unit(w, int(settings["weight_bits"]))))
        bias_unit = float(np.float32(unit * rate_unit))
        biases = np.clip(np.rint(b.astype(np.float64) / bias_unit), -(2**31), 2**31 - 1)
        found.append(ScaledLayer(np.rint(w.astype(np.float64) / unit), biases, unit, bias_unit))
        rate_unit = after
    return found


def quantised_pass(net: Chain, settings: Mapping[str, Any], raw: Array) -> tuple[Array, Array]:
    """Logits `(samples, n_L)` in float64, and how far a float32 evaluation can be from them.

    A sum of n products has an error of at most gamma_n |W| |r| (`floats.rounding`). Where an interval of that
    radius around a drive holds the middle between two integers, the rate may be either, and the layers above see
    a rate that is off by a whole unit.
    """
    zero = int(settings["input_zero"])
    q = np.clip(np.rint(raw * np.float32(settings["input_factor"])) + zero, 0, TOP).astype(np.float64)
    rate = (q - zero) * (net.scale / float(settings["input_factor"]))
    off = np.zeros_like(rate)
    drive = radius = rate
    for scaled, unit in zip(scaled_layers(net, settings), [*settings["rate_units"], None], strict=True):
        weights = scaled.weights * scaled.weight_unit
        biases = scaled.biases * scaled.bias_unit
        # the products' factors and the unit of the sum are rounded too
        n_u = (weights.shape[1] + 6) * UNIT
        gamma = n_u / (1 - n_u)
        drive = rate @ weights.T + biases
        size = np.abs(weights).T
        radius = off @ size + gamma * ((np.abs(rate) + off) @ size + np.abs(biases))
        if unit is not None:
            low, rate, high = (_rate(a, unit, net.r_max) for a in (drive - radius, drive, drive + radius))
            off = np.maximum(high - rate, rate - low)
    return drive, radius


def _rate(drive: Array, unit: float, r_max: float) -> Array:
    """The quantised rate of a drive."""
    return np.minimum(np.rint(np.clip(drive, 0.0, r_max) / unit), TOP) * unit


@dataclass
class QdqBuild(Build):
    """A graph of quantised floats while it is made."""

    def quantised(self, into: str, before: float, after: float, zero: int) -> None:
        """Q with the unit `before`, DQ with the unit `after`."""
        to, back = self.constant(f"{into}.from", before), self.constant(f"{into}.unit", after)
        middle = self.constant(f"{into}.zero", zero, np.uint8)
        self.add("QuantizeLinear", [self.last, to, middle], f"{into}.bytes")
        self.add("DequantizeLinear", [self.last, back, middle], into)

    def gemm(self, k: int, scaled: ScaledLayer, output: str) -> None:
        """The drive of layer k, its constants as integers."""
        rate = self.last
        w = [
            self.constant(f"weights.{k}.bytes", scaled.weights + CENTRE, np.uint8),
            self.constant(f"weights.{k}.unit", scaled.weight_unit),
            self.constant("weights.zero", CENTRE, np.uint8),
        ]
        b = [
            self.constant(f"biases.{k}.integers", scaled.biases, np.int32),
            self.constant(f"biases.{k}.unit", scaled.bias_unit),
        ]
        self.add("DequantizeLinear", w, f"weights.{k}")
        self.add("DequantizeLinear", b, f"biases.{k}")
        self.add("Gemm", [rate, f"weights.{k}", f"biases.{k}"], output, transB=1)

    def bounded(self, k: int, r_max: float) -> None:
        """The rate of layer k before it is quantised."""
        if r_max < np.inf:
            bounds = [self.constant("rate_min", 0.0), self.constant("rate_max", r_max)]
            self.add("Clip", [self.last, *bounds], f"bounded.{k}")
        else:
            self.add("Relu", [self.last], f"bounded.{k}")


def qdq_graph(trained: Model, net: Chain, settings: Mapping[str, Any]) -> onnx.ModelProto:
    """The model, unchecked."""
    build = QdqBuild()
    per_byte = 1.0 / float(settings["input_factor"])
    build.quantised("rate.0", per_byte, per_byte * net.scale, int(settings["input_zero"]))
    *hidden, last = scaled_layers(net, settings)
    for k, (scaled, unit) in enumerate(zip(hidden, settings["rate_units"], strict=True), start=1):
        build.gemm(k, scaled, f"drive.{k}")
        build.bounded(k, net.r_max)
        build.quantised(f"rate.{k}", float(unit), float(unit), 0)
    build.gemm(len(net.layers), last, "logits")
    return finish(build, trained, OPSET, IR)


chaining("onnx-qdq")
exporter = QdqOnnxExporter()
