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
from lavaghost.exporters.base import Expected, ExportReport, NoOptions
from lavaghost.exporters.carried import feedforward_carries, float_weights
from lavaghost.exporters.floats import float_expected
from lavaghost.exporters.lowering import Link, Units, forward_nodes, lowering
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
        carries = feedforward_carries(trained, calibration, float_weights(trained, calibration))
        return save(onnx_graph(trained), path, self.name, carries)

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the feedforward pass, within rounding."""
        return float_expected(trained, raw)


writes = lowering("onnx")


@writes.population("input")
def _(units: Units, build: Build) -> None:
    if units.scale != 1.0:
        build.add("Mul", [build.last, build.constant("input_scale", units.scale)], "rate.0")


@writes.projection("dense")
def _(link: Link, build: Build) -> None:
    build.matrix = build.constant(link.tensor, link.matrix)


@writes.population("hidden")
def _(units: Units, build: Build) -> None:
    drive = gemm_node(build, units.biases, f"drive.{build.layer}")
    if units.r_max < np.inf:
        bounds = [build.constant("rate_min", 0.0), build.constant("rate_max", units.r_max)]
        build.add("Clip", [drive, *bounds], f"rate.{build.layer}")
    else:
        build.add("Relu", [drive], f"rate.{build.layer}")


@writes.population("output")
def _(units: Units, build: Build) -> None:
    gemm_node(build, units.biases, "logits")


def gemm_node(build: Build, bias: Array, output: str) -> str:
    """W_k r_{k-1} + b_k with the matrix that came last."""
    names = [build.last, build.matrix, build.constant(f"biases.{build.layer}", bias)]
    return build.add("Gemm", names, output, transB=1)


def onnx_graph(trained: Model) -> onnx.ModelProto:
    """The model, unchecked. Tensors have the names that they have in a saved network."""
    build = Build()
    for node in forward_nodes(trained):
        writes(node, build)
    return finish(build, trained, OPSET, IR)


exporter = OnnxExporter()
