"""What an import of ONNX files refuses, by the node that is to blame, with the reason that is true of it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lavaghost.errors import ExportError
from lavaghost.exporters import import_graph
from tests.unit.onnx_graphs import FIRST, LAST, RELU, first, imported, model, node

# ---- what is refused

REFUSED = {
    "LeakyRelu": [FIRST, node("LeakyRelu", "a", out="r"), LAST],
    "Tanh": [FIRST, node("Tanh", "a", out="r"), LAST],
    "mixes layers with and without": [
        FIRST,
        RELU,
        node("Gemm", "r", "W2", "B2", out="b", transB=1),
        node("HardSigmoid", "b", out="s"),
        node("Gemm", "s", "W3", out="y"),
    ],
    "transA": [node("Gemm", "x", "W1", out="a", transA=1, transB=1), RELU, LAST],
    "not combine a value": [FIRST, node("Relu", "a", out="q"), node("Add", "q", "a", out="r"), LAST],
    "divides by": [FIRST, node("Div", "a", "nought", out="r"), node("Relu", "r", out="s"), LAST],
    "training mode": [
        FIRST,
        node("BatchNormalization", "a", "B1", "B1", "B1", "B1", out="n", training_mode=1),
        node("Relu", "n", out="r"),
        LAST,
    ],
    "joins branches": [FIRST, RELU, node("Concat", "a", "r", out="y", axis=1)],
    "does not end in weights": [node("Identity", "x", out="y")],
    "makes the shape": [node("Reshape", "x", "wrong", out="f"), first("f"), RELU, LAST],
    "changes numbers": [node("Cast", "x", out="c", to=TensorProto.INT8), first("c"), RELU, LAST],
    "not a constant": [FIRST, RELU, node("Gemm", "r", "a", out="y", transB=1)],
    "multiplies weights": [node("Gemm", "x", "W2", out="a", transB=1), node("Relu", "a", out="y")],
    "unknown, or given twice": [FIRST, node("Relu", "nothing", out="r"), LAST],
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_imported_is_refused(why: str, tmp_path: Path) -> None:
    constants = {
        "W3": np.ones((3, 2), np.float32),
        "nought": np.float32(0),
        "one": np.float32(1),
        "wrong": np.array([-1, 2]),
    }
    with pytest.raises(ExportError, match=why) as caught:
        imported(tmp_path, model(*REFUSED[why], **constants))
    assert "\n" not in str(caught.value)
    assert "node 'the " in str(caught.value) or "the graph" in str(caught.value)


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    nodes = [
        node("Erf", "x", out="e"),
        first("e"),
        node("Tanh", "a", out="r"),
        LAST,
        node("Gemm", "x", "W1", "B1", out="c", transA=1),
        node("Sin", "c", out="z"),
    ]
    with pytest.raises(ExportError) as caught:
        imported(tmp_path, model(*nodes, outputs=("y", "z")))
    text = str(caught.value)
    assert "'the Erf of e' (Erf)" in text
    assert "'the Gemm of c' (Gemm) has transA" in text
    # what follows from a fault is none of its own
    assert "Tanh" not in text
    assert "Sin" not in text


def test_outputs_of_several_layers_are_refused(tmp_path: Path) -> None:
    nodes = [FIRST, RELU, LAST, node("Gemm", "r", "W2", out="z", transB=1)]
    with pytest.raises(ExportError, match="outputs of several layers"):
        imported(tmp_path, model(*nodes, outputs=("y", "z")))
    # one that nothing needs is no fault
    assert imported(tmp_path, model(*nodes)).network.layers == (4, 5, 3)


def external(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


def huge(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [2**40, 2**40]


def huge_input(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40


def no_numbers(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].raw_data = np.full(20, np.nan, np.float32).tobytes()


def two_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 2]))


def old(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 6


def long(made: onnx.ModelProto) -> None:
    for i in range(import_graph.MAX_NODES):
        made.graph.node.append(node("Identity", "y", out=f"y{i}"))


def labels(made: onnx.ModelProto) -> None:
    helper.set_model_props(made, {"lavaghost.labels": "[" * 100_000})


def external_constant(made: onnx.ModelProto) -> None:
    tensor = TensorProto(dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    made.graph.node.insert(0, node("Constant", out="W3", value=tensor))
    made.graph.node[1].input[1] = "W3"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (external, "lies in another file"),
        (external_constant, "lies in another file"),
        (huge, "claims the shape"),
        (huge_input, "more than 1000000"),
        (no_numbers, "NaN or infinite"),
        (two_inputs, "2 inputs"),
        (old, "opset 6"),
        (long, "nodes, more than"),
        (labels, "no JSON list"),
    ],
)
def test_forged_files_are_refused(change: Any, why: str, tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    change(made)
    with pytest.raises(ExportError, match=why):
        imported(tmp_path, made)
