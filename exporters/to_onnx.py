"""Float ONNX: the feedforward pass, with the input scaling in it, for any ONNX runtime.

Where the ghosts cancel the feedback, the fixed point of the free phase is the feedforward pass
(docs/theory.md, guarantee 1), so the file needs neither. `learned` ghosts cancel only nearly.

    input [N, n_0] -> Mul(input_scale) -> { Gemm -> Relu or Clip } ... -> Gemm -> logits [N, n_L]
                                                                              -> ArgMax -> label [N]
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lavaghost.errors import ExportError
from lavaghost.exporters.base import Carried, ExportReport
from lavaghost.files import write_atomic
from lavaghost.manifest import VERSION
from lavaghost.spec import Network
from lavaghost.trained import TrainedNetwork

OPSET, IR = 13, 7
"""Old enough for every runtime that was tried: onnxruntime, OpenVINO, tract, onnx.reference."""
MAX_PROTOBUF_BYTES = (1 << 31) - (1 << 20)
"""A protobuf message ends at 2 GiB; some is left for what is not weights."""


@dataclass(frozen=True)
class OnnxExporter:
    """Inference only: ONNX has no plasticity."""

    name: str = "onnx"
    suffix: str = ".onnx"
    summary: str = "float32 ONNX (opset 13), raw samples in, logits and label out; any ONNX runtime"

    def write(self, trained: TrainedNetwork, path: Path) -> ExportReport:
        """See `Exporter`."""
        params = trained.params
        size = sum(a.nbytes for a in (*params.weights, *params.biases))
        if size > MAX_PROTOBUF_BYTES:
            raise ExportError(
                f"the weights have {size} bytes and an ONNX file ends at 2 GiB; use exporter 'yaml'"
            )
        model = graph(trained)
        try:
            onnx.checker.check_model(model, full_check=True)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        except Exception as error:
            raise ExportError(f"the ONNX graph for {path} is not valid: {error!s:.200}") from error
        data = model.SerializeToString(deterministic=True)
        return ExportReport(self.name, (write_atomic(path, data),), len(data), carries(trained))


def graph(trained: TrainedNetwork) -> onnx.ModelProto:
    """The model, unchecked. Tensors have the names that they have in a saved network."""
    network, params = trained.network, trained.params
    n, depth = network.layers, network.depth
    constants: dict[str, np.ndarray] = {}
    nodes = []
    rate = "input"
    if trained.input_scale != 1.0:
        constants["input_scale"] = np.array(trained.input_scale, np.float32)
        nodes.append(helper.make_node("Mul", [rate, "input_scale"], ["rate.0"]))
        rate = "rate.0"
    if depth > 1 and network.r_max < np.inf:
        constants["rate_min"] = np.array(0.0, np.float32)
        constants["rate_max"] = np.array(network.r_max, np.float32)
    for k in range(1, depth + 1):
        weights, biases = f"weights.{k}", f"biases.{k}"
        constants[weights], constants[biases] = params.weights[k - 1], params.biases[k - 1]
        drive = "logits" if k == depth else f"drive.{k}"
        nodes.append(helper.make_node("Gemm", [rate, weights, biases], [drive], transB=1))
        if k < depth:
            rate = f"rate.{k}"
            if "rate_max" in constants:
                nodes.append(helper.make_node("Clip", [drive, "rate_min", "rate_max"], [rate]))
            else:
                nodes.append(helper.make_node("Relu", [drive], [rate]))
    nodes.append(helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "lavaghost",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", n[0]])],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", n[depth]]),
                helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            ],
            [numpy_helper.from_array(a, name) for name, a in constants.items()],
        ),
        producer_name="lavaghost",
        ir_version=IR,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, _metadata(trained, network))
    return model


def _metadata(trained: TrainedNetwork, network: Network) -> dict[str, str]:
    return {
        "lavaghost.format_version": VERSION,
        "lavaghost.layers": json.dumps(network.layers),
        "lavaghost.activation": network.activation,
        "lavaghost.input_scale": repr(trained.input_scale),
        "lavaghost.labels": json.dumps(trained.labels),
        "lavaghost.mechanism": network.mechanism,
        "lavaghost.dataset": trained.dataset,
    }


def carries(trained: TrainedNetwork) -> tuple[Carried, ...]:
    """What an ONNX file of `trained` carries."""
    if trained.network.mechanism == "learned":
        ghosts = "left out; learned ghosts cancel the feedback nearly, and verify measures the difference"
        feedback = "left out; what learned ghosts do not cancel of it is missing"
        effect = "approximate"
    else:
        ghosts = "left out; they cancel the feedback exactly, so the free phase is the feedforward pass"
        feedback = "left out; its effect in the free phase is zero"
        effect = "faithful"
    return (
        Carried("weights", "faithful", "float32, as trained"),
        Carried("activation", "faithful", "Relu, or Clip where rates saturate"),
        Carried("ghosts", effect, ghosts),
        Carried("feedback", effect, feedback),
        Carried("learning rule", "unsupported", "ONNX has no plasticity; exporter 'yaml' keeps the rule"),
        Carried("input scaling", "faithful", f"inside the graph; raw samples x {trained.input_scale:g}"),
    )


exporter = OnnxExporter()
