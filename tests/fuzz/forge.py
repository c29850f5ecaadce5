"""Forged ONNX graphs: what is changed in a parsed model before it is written again."""

import random
import struct
from collections.abc import Callable

import onnx
from onnx import AttributeProto, TensorProto, helper

from lavaghost.exporters.onnx_import.constants import CONSTANTS
from lavaghost.exporters.onnx_import.node_reading import OPERATIONS

FOREIGN = (
    "Loop",
    "If",
    "Scan",
    "Expand",
    "Tile",
    "Pad",
    "ConstantOfShape",
    "RandomNormal",
    "Range",
    "Einsum",
    "Conv",
)
"""Operators that run, make or grow something."""
OPERATORS = (*FOREIGN, *(op for _, op in (*OPERATIONS, *CONSTANTS)))
INTEGERS = (0, -1, 1, 2, 7, 63, 65, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"))
PATHS = (
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    "a/../../b",
    "weights.bin",
    "model.onnx",
    "/dev/zero",
    "\x00",
    "~/x",
)


def _tensor(model: onnx.ModelProto, rng: random.Random) -> TensorProto:
    if not model.graph.initializer:
        model.graph.initializer.add(name="x", dims=[1], data_type=1, raw_data=b"\x00" * 4)
    return rng.choice(model.graph.initializer)


def _node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    if not model.graph.node:
        model.graph.node.add(op_type="Identity", input=["input"], output=["x"])
    return rng.choice(model.graph.node)


def _names(model: onnx.ModelProto) -> list[str]:
    return ["", *(n for node in model.graph.node for n in (*node.input, *node.output))]


def shape_of_a_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    """Huge, negative, or too many sizes."""
    dims = _tensor(model, rng).dims
    dims[:] = rng.choice(
        [[rng.choice(INTEGERS) for _ in dims] or [2**40], [1] * 70, [2**32, 2**32], [0, 2**62]]
    )


def numbers_of_a_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    """NaN and infinity, or another element type."""
    tensor = _tensor(model, rng)
    if rng.random() < 0.5:
        tensor.raw_data = struct.pack("<f", rng.choice(FLOATS)) * (len(tensor.raw_data) // 4)
    else:
        tensor.data_type = rng.choice([0, 2, 6, 7, 8, 9, 10, 11, 14, 16, 17, 22, 99])


def external_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    """Numbers in another file."""
    tensor = _tensor(model, rng)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=rng.choice(PATHS))
    tensor.external_data.add(key="length", value=str(rng.choice(INTEGERS)))


def other_operator(model: onnx.ModelProto, rng: random.Random) -> None:
    """An operator that runs, grows or reads something."""
    node = _node(model, rng)
    node.op_type, node.domain = rng.choice(OPERATORS), rng.choice(["", "", "ai.onnx.ml", "com.evil"])


def other_names(model: onnx.ModelProto, rng: random.Random) -> None:
    """Cycles, values that do not exist, or exist twice."""
    node = _node(model, rng)
    names = list(node.output) if rng.random() < 0.5 else list(node.input)
    if names:
        target = node.output if names == list(node.output) else node.input
        target[rng.randrange(len(names))] = rng.choice([*_names(model), "nothing", "x" * 10_000])


def other_order(model: onnx.ModelProto, rng: random.Random) -> None:
    """Nodes doubled, moved, or gone."""
    nodes = list(model.graph.node)
    rng.choice([rng.shuffle, lambda x: x.pop() if x else None, lambda x: x.extend(x * rng.choice([1, 100]))])(
        nodes
    )
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def attribute_of_a_node(model: onnx.ModelProto, rng: random.Random) -> None:
    """Values out of every range, and types that do not belong there."""
    node = _node(model, rng)
    name = rng.choice(
        [
            "alpha",
            "beta",
            "axis",
            "transA",
            "transB",
            "to",
            "value",
            "epsilon",
            "coefficients",
            "perm",
            "axes",
            "keepdims",
            "starts",
            "ends",
            "split",
            "allowzero",
            "min",
            "max",
            "norm",
        ]
    )
    values = [
        rng.choice(INTEGERS),
        rng.choice(FLOATS),
        "text",
        [1.0] * rng.choice([1, 5000]),
        [2**62] * 3,
        b"\xff",
    ]
    old = [a for a in node.attribute if a.name == name]
    for entry in old:
        node.attribute.remove(entry)
    node.attribute.append(helper.make_attribute(name, rng.choice(values)))
    if rng.random() < 0.2:
        kinds = AttributeProto.AttributeType.values()
        node.attribute[-1].type = rng.choice(kinds)  # pyright: ignore[reportAttributeAccessIssue]


def nested_graphs(model: onnx.ModelProto, rng: random.Random) -> None:
    """Subgraphs in subgraphs, deeper than a reader may follow."""
    inner = helper.make_graph([], "inner", [], [])
    for _ in range(rng.choice([1, 10, 25])):
        inner = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=inner)], "inner", [], [])
    _node(model, rng).attribute.append(helper.make_attribute("body", inner))


def broadcast(model: onnx.ModelProto, rng: random.Random) -> None:
    """A tall and a wide constant meet in the middle of the network."""
    n = rng.choice([2, 1000, 60_000])
    for name, shape in (("tall", [n, 1]), ("wide", [1, n])):
        model.graph.initializer.append(TensorProto(name=name, dims=shape, data_type=1, raw_data=bytes(4 * n)))
    first = _node(model, rng)
    op = rng.choice(["Add", "Mul", "MatMul", "Gemm", "Sub"])
    model.graph.node.insert(0, helper.make_node(op, ["tall", "wide"], ["square"]))
    if first.input:
        first.input[rng.randrange(len(first.input))] = rng.choice(["square", "tall", "wide"])


def many_nodes(model: onnx.ModelProto, rng: random.Random) -> None:
    """A long chain before the output."""
    last = model.graph.output[0].name if model.graph.output else "x"
    for i in range(rng.choice([10, 500, 3000])):
        model.graph.node.add(
            op_type=rng.choice(["Identity", "Relu", "Mul", "Cast"]), input=[last], output=[f"c{i}"]
        )
        last = f"c{i}"
    if model.graph.output:
        model.graph.output[0].name = last


def input_of_the_graph(model: onnx.ModelProto, rng: random.Random) -> None:
    """Other sizes and types, a second input, or none."""
    if not model.graph.input or rng.random() < 0.1:
        model.graph.input.append(helper.make_tensor_value_info("more", rng.choice([1, 7, 8]), [1, 2]))
        return
    kind = model.graph.input[0].type.tensor_type
    if rng.random() < 0.3:
        kind.elem_type = rng.choice([0, 2, 8, 9, 16, 99])
    for dim in kind.shape.dim:
        if rng.random() < 0.5:
            dim.dim_value = rng.choice(INTEGERS)
    if rng.random() < 0.2:
        kind.shape.dim.add(dim_value=rng.choice(INTEGERS))


def text_beside_the_graph(model: onnx.ModelProto, rng: random.Random) -> None:
    """Labels that are no labels, versions that do not exist, functions."""
    labels = [
        "[" * 100_000,
        "9" * 5000,
        "[1,1,1]",
        '{"a":1}',
        "[1e999, null, []]",
        '["\\ud800",1,2]',
        "3",
        "x" * 10_000,
    ]
    key = f"lavaghost.{rng.choice(['labels', 'dataset', 'exporter', 'settings'])}"
    model.metadata_props.add(key=key, value=rng.choice(labels))
    if rng.random() < 0.3:
        model.opset_import.add(domain=rng.choice(["", "ai.onnx.ml", "x"]), version=rng.choice(INTEGERS))
    if rng.random() < 0.1:
        model.functions.add(name="f", domain="d")
    if rng.random() < 0.2:
        model.producer_name = "x" * rng.choice([10, 10_000])


def hidden_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    """A constant in an attribute, in another file or too large."""
    tensor = TensorProto(dims=[rng.choice(INTEGERS)], data_type=rng.choice([1, 7, 8]))
    if rng.random() < 0.5:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice(PATHS))
    node = _node(model, rng)
    node.op_type = "Constant"
    node.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor))


FORGERIES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    shape_of_a_tensor,
    numbers_of_a_tensor,
    external_tensor,
    other_operator,
    other_names,
    other_order,
    attribute_of_a_node,
    nested_graphs,
    broadcast,
    many_nodes,
    input_of_the_graph,
    text_beside_the_graph,
    hidden_tensor,
)
