"""Quantised float ONNX (QDQ): the form that most tools for integer hardware read and fuse.

    input [N, n_0] -> Q(1/f, z) DQ -> { Gemm(DQ V_k, DQ c_k) -> Relu or Clip -> Q(s_k) DQ } ... -> Gemm -> logits

    Q(s, z): q = clip(rint(x / s) + z, 0, 255)     DQ: (q - z) s

Weights and ranges are those of `exporters.integers`, but a rate may have any unit s_k, the sums are floats, and a
runtime is free to compute them in integers or not. Near the middle between two integers float rounding decides, so
runtimes agree in the logits only up to such flips; `expected` bounds them by interval arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lavaghost.arithmetic import Array
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, calibrated
from lavaghost.exporters.floats import UNIT, raw_samples
from lavaghost.exporters.graph import Dense, Input, Output, Rates, lower, lowering
from lavaghost.exporters.integers import TOP, QuantizeOptions, input_range, rate_tops, weight_unit
from lavaghost.exporters.onnx_file import (
    MEASURED,
    ONNX_RUNTIMES,
    Build,
    check_size,
    feedforward_carries,
    finish,
    save,
)
from lavaghost.exporters.to_onnx_int import CENTRE, quantization_gap
from lavaghost.spec import Spec
from lavaghost.trained import TrainedNetwork

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
        self, trained: TrainedNetwork, path: Path, options: QuantizeOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        data = calibrated(self, calibration)
        factor, zero = input_range(np.asarray(data.x_train, np.float64) / trained.input_scale)
        tops = rate_tops(trained, data.x_train, options.percentile)
        settings = {
            "weight_bits": options.weight_bits,
            "input_factor": factor,
            "input_zero": zero,
            "rate_units": [float(np.float32(top / TOP)) for top in tops],
        }
        raw = raw_samples(data.x_train[:MEASURED], trained.input_scale)
        gap = quantization_gap(trained, self.expected(trained, settings, raw).logits, raw)
        what = f"{gap} on {len(raw)} training samples of {data.name}"
        carries = feedforward_carries(
            trained,
            data,
            Carried("weights", "approximate", f"{options.weight_bits} bits; {what}"),
            Carried("activation", "approximate", f"rates of 8 bits; {what}"),
        )
        return save(graph(trained, settings), path, self.name, carries, settings)

    def expected(self, trained: TrainedNetwork, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the quantised pass, within rounding and the flips that rounding can cause."""
        logits, tolerance = quantised_pass(trained, settings, raw)
        return Expected(logits, tolerance, exact=False, labels=logits.argmax(axis=1))


@dataclass(frozen=True, eq=False)
class Scaled:
    """Integers V_k, c_k of one layer and what 1 in them stands for, as float32 numbers."""

    weights: Array
    biases: Array
    weight_unit: float
    bias_unit: float


def layers(trained: TrainedNetwork, settings: Mapping[str, Any]) -> list[Scaled]:
    """Every layer in integers; a bias has the unit of the products."""
    rate_unit = trained.input_scale / float(settings["input_factor"])
    found = []
    units = [*map(float, settings["rate_units"]), 1.0]
    for w, b, after in zip(trained.params.weights, trained.params.biases, units, strict=True):
        unit = float(np.float32(weight_unit(w, int(settings["weight_bits"]))))
        bias_unit = float(np.float32(unit * rate_unit))
        biases = np.clip(np.rint(b.astype(np.float64) / bias_unit), -(2**31), 2**31 - 1)
        found.append(Scaled(np.rint(w.astype(np.float64) / unit), biases, unit, bias_unit))
        rate_unit = after
    return found


def quantised_pass(trained: TrainedNetwork, settings: Mapping[str, Any], raw: Array) -> tuple[Array, Array]:
    """Logits `(samples, n_L)` in float64, and how far a float32 evaluation can be from them.

    A sum of n products has an error of at most gamma_n |W| |r| (`floats.rounding`). Where an interval of that
    radius around a drive holds the middle between two integers, the rate may be either, and the layers above see
    a rate that is off by a whole unit.
    """
    zero = int(settings["input_zero"])
    q = np.clip(np.rint(raw * np.float32(settings["input_factor"])) + zero, 0, TOP).astype(np.float64)
    rate = (q - zero) * (trained.input_scale / float(settings["input_factor"]))
    off = np.zeros_like(rate)
    drive = radius = rate
    for scaled, unit in zip(layers(trained, settings), [*settings["rate_units"], None], strict=True):
        weights = scaled.weights * scaled.weight_unit
        biases = scaled.biases * scaled.bias_unit
        # the products' factors and the unit of the sum are rounded too
        n_u = (weights.shape[1] + 6) * UNIT
        gamma = n_u / (1 - n_u)
        drive = rate @ weights.T + biases
        size = np.abs(weights).T
        radius = off @ size + gamma * ((np.abs(rate) + off) @ size + np.abs(biases))
        if unit is not None:
            low, rate, high = (
                _rate(a, unit, trained.network.r_max) for a in (drive - radius, drive, drive + radius)
            )
            off = np.maximum(high - rate, rate - low)
    return drive, radius


def _rate(drive: Array, unit: float, r_max: float) -> Array:
    """The quantised rate of a drive."""
    return np.minimum(np.rint(np.clip(drive, 0.0, r_max) / unit), TOP) * unit


translate = lowering("onnx-qdq")


@dataclass
class QdqBuild(Build):
    """A graph while it is made, its layers in integers, and the units of the rates; `k` counts layers."""

    layers: list[Scaled] = field(kw_only=True)
    settings: Mapping[str, Any] = field(kw_only=True)
    k: int = 0

    def quantised(self, into: str, before: float, after: float, zero: int) -> None:
        """Q with the unit `before`, DQ with the unit `after`."""
        to, back = self.constant(f"{into}.from", before), self.constant(f"{into}.unit", after)
        middle = self.constant(f"{into}.zero", zero, np.uint8)
        self.add("QuantizeLinear", [self.last, to, middle], f"{into}.bytes")
        self.add("DequantizeLinear", [self.last, back, middle], into)

    def gemm(self, output: str) -> None:
        """The drive of layer k, its constants as integers."""
        k, scaled, rate = self.k, self.layers[self.k - 1], self.last
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


@translate.register
def _(node: Input, build: QdqBuild) -> None:
    per_byte = 1.0 / float(build.settings["input_factor"])
    build.quantised("rate.0", per_byte, per_byte * node.scale, int(build.settings["input_zero"]))


@translate.register
def _(node: Dense, build: QdqBuild) -> None:
    build.k += 1  # the target wants weights and biases at once


@translate.register
def _(node: Rates, build: QdqBuild) -> None:
    k = build.k
    build.gemm(f"drive.{k}")
    if node.r_max < np.inf:
        bounds = [build.constant("rate_min", 0.0), build.constant("rate_max", node.r_max)]
        build.add("Clip", [build.last, *bounds], f"bounded.{k}")
    else:
        build.add("Relu", [build.last], f"bounded.{k}")
    unit = float(build.settings["rate_units"][k - 1])
    build.quantised(f"rate.{k}", unit, unit, 0)


@translate.register
def _(node: Output, build: QdqBuild) -> None:
    build.gemm("logits")


def graph(trained: TrainedNetwork, settings: Mapping[str, Any]) -> onnx.ModelProto:
    """The model, unchecked."""
    build = QdqBuild(layers=layers(trained, settings), settings=settings)
    for node in lower(trained).feedforward:
        translate(node, build)
    return finish(build, trained, OPSET, IR)


exporter = QdqOnnxExporter()
