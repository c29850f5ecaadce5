"""Integer ONNX: 8-bit weights and rates, 32-bit sums, and logits that are the same to the bit on every runtime.

    input [N, n_0] -> Mul(f) -> Round -> Add(z) -> Clip -> Cast u8
      -> { MatMulInteger -> Add i32 -> Max 0 -> Div 2^s -> Min top -> Cast u8 } ...
      -> MatMulInteger -> Add i32 -> logits [N, n_L] int32 -> ArgMax -> label [N]

The integers are those of `exporters.integers`. A sum after Max is not negative, so Div truncates as >> does. Weights
are stored as u8 with the zero point 128: products of u8 and s8 may saturate in 16 bits on a CPU without VNNI, those of
u8 and u8 do not (onnxruntime, "Quantize ONNX models", U8S8 and reduce_range).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from lavaghost.arithmetic import Array
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, calibrated
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.graph import Dense, Input, Output, Rates, lower, lowering
from lavaghost.exporters.integers import TOP, Integers, QuantizeOptions, calibrate, infer, integers, widths
from lavaghost.exporters.onnx_file import (
    MEASURED,
    ONNX_RUNTIMES,
    Build,
    check_size,
    feedforward_carries,
    finish,
    save,
)
from lavaghost.spec import Spec
from lavaghost.trained import TrainedNetwork

OPSET, IR = 13, 7
CENTRE = 128
"""Zero point of the stored weights."""


@dataclass(frozen=True)
class IntegerOnnxExporter:
    """Inference only, in integers."""

    name: str = "onnx-int"
    suffix: str = ".onnx"
    summary: str = "integer ONNX (MatMulInteger, opset 13), int32 logits equal on every ONNX runtime"
    needs: str = "a data set to calibrate on"
    runtimes: tuple[str, ...] = ONNX_RUNTIMES
    options: type[Spec] = QuantizeOptions

    def write(
        self, trained: TrainedNetwork, path: Path, options: QuantizeOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        data = calibrated(self, calibration)
        settings = calibrate(trained, data.x_train, options)
        net = integers(trained, settings)
        raw = raw_samples(data.x_train[:MEASURED], trained.input_scale)
        gap = quantization_gap(trained, infer(net, raw) * net.units[-1], raw)
        what = f"{len(raw)} training samples of {data.name}"
        weights = Carried(
            "weights", "approximate", f"{options.weight_bits} bits, {widths(net)}; {gap} on {what}"
        )
        rates = f"rates of 8 bits, Max 0 and Min {max(net.tops)}; {gap} on {what}"
        carries = feedforward_carries(trained, data, weights, Carried("activation", "approximate", rates))
        return save(graph(trained, net), path, self.name, carries, settings)

    def expected(self, trained: TrainedNetwork, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: integers, which must be equal."""
        net = integers(trained, settings)
        logits = infer(net, raw)
        return Expected(logits, np.zeros(()), True, logits.argmax(axis=1), net.units[-1])


def quantization_gap(trained: TrainedNetwork, logits: Array, raw: Array) -> str:
    """How far `logits`, in the network's units, are from the float pass, as text."""
    exact = float_expected(trained, raw)
    gap = np.abs(logits - exact.logits).max()
    same = np.mean(logits.argmax(axis=1) == exact.labels)
    return f"outputs differ by up to {gap:.2g} of {np.abs(exact.logits).max():.2g}, {100 * same:.4g} % equal labels"


translate = lowering("onnx-int")


@dataclass
class IntegerBuild(Build):
    """A graph while it is made, and the integers that go in; `k` counts layers."""

    net: Integers = field(kw_only=True)
    k: int = 0

    def int32(self, name: str, value: Any) -> str:
        """A constant of 32 bits."""
        return self.constant(name, value, np.int32)


@translate.register
def _(node: Input, build: IntegerBuild) -> None:
    net = build.net
    if net.factor != 1.0:
        build.add("Mul", [build.last, build.constant("input_factor", net.factor)], "raw.scaled")
    build.add("Round", [build.last], "raw.rounded")
    if net.zero:
        build.add("Add", [build.last, build.constant("input_zero", net.zero)], "raw.shifted")
    bounds = [build.constant("byte_min", 0.0), build.constant("byte_max", TOP)]
    build.add("Clip", [build.last, *bounds], "raw.clipped")
    build.add("Cast", [build.last], "rate.0", to=TensorProto.UINT8)


@translate.register
def _(node: Dense, build: IntegerBuild) -> None:
    k = build.k = build.k + 1
    stored = build.constant(f"weights.{k}", build.net.weights[k - 1].T + CENTRE, np.uint8)
    zeros = [build.constant("rate_zero", 0, np.uint8), build.constant("weight_zero", CENTRE, np.uint8)]
    build.add("MatMulInteger", [build.last, stored, *zeros], f"product.{k}")


@translate.register
def _(node: Rates, build: IntegerBuild) -> None:
    k, net = build.k, build.net
    build.add("Add", [build.last, build.int32(f"biases.{k}", net.biases[k - 1])], f"sum.{k}")
    build.add("Max", [build.last, build.int32("zero", 0)], f"positive.{k}")
    if net.shifts[k - 1]:
        build.add("Div", [build.last, build.int32(f"divisor.{k}", 2 ** net.shifts[k - 1])], f"shifted.{k}")
    build.add("Min", [build.last, build.int32(f"top.{k}", net.tops[k - 1])], f"bounded.{k}")
    build.add("Cast", [build.last], f"rate.{k}", to=TensorProto.UINT8)


@translate.register
def _(node: Output, build: IntegerBuild) -> None:
    build.add("Add", [build.last, build.int32(f"biases.{build.k}", build.net.biases[build.k - 1])], "logits")


def graph(trained: TrainedNetwork, net: Integers) -> onnx.ModelProto:
    """The model, unchecked."""
    build = IntegerBuild(net=net)
    for node in lower(trained).feedforward:
        translate(node, build)
    return finish(build, trained, OPSET, IR, TensorProto.INT32, logit_unit=repr(net.units[-1]))


exporter = IntegerOnnxExporter()
