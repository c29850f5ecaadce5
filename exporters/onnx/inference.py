"""Float ONNX: the feedforward pass, with the input scaling in it, for any ONNX runtime.

Where the ghosts cancel the feedback, the fixed point of the free phase is the feedforward pass
(docs/theory.md, guarantee 1), so the file needs neither. `learned` ghosts cancel only nearly.

    input [N, n_0] -> Mul(input_scale) -> { Gemm -> Relu or Clip } ... -> Gemm -> logits [N, n_L]
                                                                              -> ArgMax -> label [N]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, NoOptions
from lavaghost.exporters.carried import feedforward_carries
from lavaghost.exporters.floats import float_expected
from lavaghost.exporters.graph import Dense, Input, Output, Rates, lower, lowering
from lavaghost.exporters.onnx.build import ONNX_RUNTIMES, Build, check_size, finish, save
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

OPSET, IR = 13, 7
"""Old enough for every runtime that was tried: onnxruntime, OpenVINO, tract, onnx.reference."""


@dataclass(frozen=True)
class OnnxExporter:
    """Inference only: ONNX has no plasticity."""

    name: str = "onnx"
    suffix: str = ".onnx"
    summary: str = "float32 ONNX (opset 13), raw samples in, logits and label out; any ONNX runtime"
    needs: str = "nothing"
    runtimes: tuple[str, ...] = ONNX_RUNTIMES
    options: type[Spec] = NoOptions

    def write(
        self, trained: Model, path: Path, options: NoOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        weights = Carried("weights", "faithful", "float32, as trained")
        return save(graph(trained), path, self.name, feedforward_carries(trained, calibration, weights))

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the feedforward pass, within rounding."""
        return float_expected(trained, raw)


translate = lowering("onnx")


@translate.register
def _(node: Input, build: Build) -> None:
    if node.scale != 1.0:
        build.add("Mul", [build.last, build.constant("input_scale", node.scale)], "rate.0")


@translate.register
def _(node: Dense, build: Build) -> None:
    build.matrix = build.constant(node.tensor, node.matrix)


@translate.register
def _(node: Rates, build: Build) -> None:
    drive = gemm(build, node.bias, f"drive.{build.layer}")
    if node.r_max < np.inf:
        bounds = [build.constant("rate_min", 0.0), build.constant("rate_max", node.r_max)]
        build.add("Clip", [drive, *bounds], f"rate.{build.layer}")
    else:
        build.add("Relu", [drive], f"rate.{build.layer}")


@translate.register
def _(node: Output, build: Build) -> None:
    gemm(build, node.bias, "logits")


def gemm(build: Build, bias: Array, output: str) -> str:
    """W_k r_{k-1} + b_k with the matrix that came last."""
    names = [build.last, build.matrix, build.constant(f"biases.{build.layer}", bias)]
    return build.add("Gemm", names, output, transB=1)


def graph(trained: Model) -> onnx.ModelProto:
    """The model, unchecked. Tensors have the names that they have in a saved network."""
    build = Build()
    for node in lower(trained).feedforward:
        translate(node, build)
    return finish(build, trained, OPSET, IR)


exporter = OnnxExporter()
