"""Integer ONNX: 8-bit weights and rates, 32-bit sums, and logits that are the same to the bit on every runtime.

    input [N, n_0] -> Mul(f) -> Round -> Add(z) -> Clip -> Cast u8
      -> { MatMulInteger -> Add i32 -> Max 0 -> Div 2^s -> Min top -> Cast u8 } ...
      -> MatMulInteger -> Add i32 -> logits [N, n_L] int32 -> ArgMax -> label [N]

The integers are those of `onnx.whole_numbers`, the nodes those of `onnx.whole_build`. A network in integers has its own
(`onnx.own_integers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, calibrated
from lavaghost.exporters.carried import MEASURED, feedforward_carries, quantised_weights, quantization_gap
from lavaghost.exporters.chain import chain, chaining
from lavaghost.exporters.floats import raw_samples
from lavaghost.exporters.onnx.build import ONNX_RUNTIMES, check_size, finish, save
from lavaghost.exporters.onnx.own_integers import expected_own, is_own, write_own
from lavaghost.exporters.onnx.whole_build import IR, OPSET, IntegerBuild
from lavaghost.exporters.onnx.whole_numbers import (
    ByteNetwork,
    QuantizeOptions,
    byte_logits,
    byte_network,
    byte_scales,
    sums_note,
)
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


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
        self, trained: Model, path: Path, options: QuantizeOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        if trained.integers is not None:
            return write_own(self.name, trained, path, options, calibration)
        data = calibrated(self, calibration)
        net = chain(trained, self.name)
        settings = byte_scales(net, data.x_train, options)
        whole = byte_network(net, settings)
        raw = raw_samples(data.x_train[:MEASURED], trained.input_scale)
        gap = quantization_gap(trained, byte_logits(whole, raw) * whole.units[-1], raw)
        what = f"{len(raw)} training samples of {data.name}"
        note = f"{options.weight_bits} bits, {sums_note(whole)}; {gap} on {what}"
        weights = quantised_weights(trained, data, note)
        rates = f"rates of 8 bits, Max 0 and Min {max(whole.tops)}; {gap} on {what}"
        carries = feedforward_carries(trained, data, weights, Carried("activation", "approximate", rates))
        return save(byte_graph(trained, whole), path, self.name, carries, settings)

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: integers, which must be equal."""
        if is_own(trained, settings):
            return expected_own(trained, raw)
        whole = byte_network(chain(trained, self.name), settings)
        logits = byte_logits(whole, raw)
        return Expected(logits, np.zeros(()), True, logits.argmax(axis=1), whole.units[-1])


def byte_graph(trained: Model, whole: ByteNetwork) -> onnx.ModelProto:
    """The model, unchecked."""
    build = IntegerBuild()
    build.bytes(whole.factor, whole.zero)
    layers = zip(whole.weights, whole.biases, whole.shifts, whole.tops, strict=False)
    for k, (weights, biases, shift, top) in enumerate(layers, start=1):
        build.sum(k, weights, biases, f"sum.{k}")
        build.rate(k, shift, top)
    build.sum(len(whole.weights), whole.weights[-1], whole.biases[-1], "logits")
    return finish(build, trained, OPSET, IR, TensorProto.INT32, logit_unit=repr(whole.units[-1]))


chaining("onnx-int")
exporter = IntegerOnnxExporter()
