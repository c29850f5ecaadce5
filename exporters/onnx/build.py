"""What all ONNX exporters share: collecting nodes, metadata, checks, and writing the file."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lavaghost.base.errors import ExportError
from lavaghost.base.files import write_atomic
from lavaghost.exporters.base import Carried, ExportReport
from lavaghost.exporters.onnx.origin import state
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

VERSION = "1.0"
"""Of the metadata."""
MAX_PROTOBUF_BYTES = (1 << 31) - (1 << 20)
"""A protobuf message ends at 2 GiB; some is left for what is not weights."""
ONNX_RUNTIMES = ("onnxruntime", "onnx-reference", "openvino", "tract")


@dataclass
class Build:
    """A graph while it is made: nodes in order, constants by name, the value and the matrix that came last."""

    last: str = "input"
    matrix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        """The number k of the layer that `matrix`, such as `weights.k`, leads to."""
        return self.matrix.rpartition(".")[2]

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node with one output, which names it and becomes `last`."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        self.last = output
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """A constant under `name`; the same name is the same constant."""
        # copied: an initializer keeps rows in order, and a transposed view does not
        self.constants.setdefault(name, np.array(value, dtype, order="C"))
        return name


def check_size(trained: Model) -> None:
    """Refuse with `ExportError`, before any work, what a protobuf message cannot hold."""
    n = trained.network.layers
    size = 4 * sum(above * (below + 1) for below, above in pairwise(n))
    if size > MAX_PROTOBUF_BYTES:
        raise ExportError(f"the weights have {size} bytes and an ONNX file ends at 2 GiB; use exporter 'yaml'")


def finish(
    build: Build, trained: Model, opset: int, ir: int, logits: Any = TensorProto.FLOAT, **metadata: str
) -> onnx.ModelProto:
    """The model of a graph whose `last` value is `logits`, with its labels and metadata; unchecked."""
    n = trained.network.layers
    build.nodes.append(helper.make_node("ArgMax", [build.last], ["label"], "label", axis=1, keepdims=0))
    model = helper.make_model(
        helper.make_graph(
            build.nodes,
            "lavaghost",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", n[0]])],
            [
                helper.make_tensor_value_info("logits", logits, ["N", n[-1]]),
                helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            ],
            [numpy_helper.from_array(a, name) for name, a in build.constants.items()],
        ),
        producer_name="lavaghost",
        ir_version=ir,
        opset_imports=[helper.make_opsetid("", opset)],
    )
    props = _metadata(trained) | metadata
    helper.set_model_props(model, {f"lavaghost.{key}": value for key, value in props.items()})
    return model


def _metadata(trained: Model) -> dict[str, str]:
    network = trained.network
    wiring = {key: str(value) for key, value in trained.method.core.settings().items() if key == "mechanism"}
    return {
        "format_version": VERSION,
        "layers": json.dumps(network.layers),
        "activation": network.activation,
        "input_scale": repr(trained.input_scale),
        "labels": json.dumps(trained.labels),
        **wiring,
        "dataset": trained.dataset,
    }


def save(
    model: onnx.ModelProto,
    path: Path,
    exporter: str,
    carries: tuple[Carried, ...],
    settings: dict[str, Any] | None = None,
) -> ExportReport:
    """Check `model` and write it, with `exporter` and `settings` in its metadata (`onnx_origin`).

    Raises `ExportError` or `OutputError`.
    """
    state(model, exporter, settings or {})
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ExportError(f"the ONNX graph for {path} is not valid: {error!s:.200}") from error
    data = model.SerializeToString(deterministic=True)
    return ExportReport(exporter, (write_atomic(path, data),), len(data), carries, settings=settings or {})
