"""Hostile inputs: seeds of every kind of file that is read, and what is done to them. All a function of (seed, i)."""

import json
import random
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import available, export, find
from lavaghost.exporters.from_onnx import OPERATIONS
from lavaghost.exporters.to_onnx import graph
from lavaghost.files import sha256
from lavaghost.manifest import MAX_BYTES
from lavaghost.spec import Learning, Network, parse
from lavaghost.trained import TrainedNetwork

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
SEAL = b"# SHA-256"

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
OPERATORS = (*FOREIGN, *(op for _, op in OPERATIONS))
INTEGERS = (0, -1, 1, 2, 7, 63, 65, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"))
PATHS = ("../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "weights.bin", "/dev/zero", "\x00", "~/x")
NUMBERS = (
    "1e999",
    "-1",
    "0",
    "1e-320",
    ".nan",
    ".inf",
    "9" * 400,
    "0x" + "f" * 300,
    "1_0",
    "true",
    "null",
    "''",
    "~",
)


def trained_network(**physics: Any) -> TrainedNetwork:
    """A small network as it is saved and exported."""
    network = parse(Network, {"layers": (8, 6, 4, 3), **physics})
    record = {"accuracy": 0.9, "rows": [1, 2, {"a": None}]}
    learning = Learning(epochs=1, rule="temporal")
    return TrainedNetwork(
        network, learning, initial_parameters(network, 0), 1 / 16, ("a", 1, "c"), "digits", record
    )


OURS = trained_network()
MANIFEST, WEIGHTS = trained_network(mechanism="learned", feedback="random")._files()


@cache
def own_seeds() -> tuple[bytes, ...]:
    """Our own exports, of every kind that is an ONNX file."""
    rng = np.random.default_rng(0)
    x, y = rng.random((30, OURS.network.layers[0])).astype(np.float32), np.arange(30) % OURS.network.layers[-1]
    data = Dataset("digits", x, y, x, y, OURS.network.layers[-1], OURS.input_scale)
    made = [graph(trained_network(saturation=0.5)), graph(trained_network(activation="hard_sigmoid"))]
    found = [model.SerializeToString() for model in made]
    with tempfile.TemporaryDirectory() as folder:
        for name in available():
            if find(name).suffix == ".onnx":
                path = export(OURS, name, Path(folder) / f"{name}.onnx", calibration=data).paths[0]
                found.append(path.read_bytes())
    return tuple(found)


@cache
def onnx_seeds() -> tuple[bytes, ...]:
    """Our own exports and the small golden files of other tools."""
    return (*own_seeds(), *(path.read_bytes() for path in sorted(GOLDEN.glob("*.onnx"))))


def onnx_input(rng: random.Random, own: bool) -> bytes:
    """A damaged or forged ONNX file; `own` starts from our own exports only."""
    data = rng.choice(own_seeds() if own else onnx_seeds())
    if rng.random() < 0.65:
        model = onnx.load_model_from_string(data)
        for _ in range(rng.randint(1, 3)):
            rng.choice(FORGERIES)(model, rng)
        data = model.SerializeToString()
    if rng.random() < 0.03:
        data += bottomless(rng.choice([40, 2000]))
    if rng.random() < 0.1:
        data = data.replace(rng.choice([b"input", b"Gemm", b"logits", b"weights"]), b"\xff\xfe\xfd\xfc", 1)
    return damaged(data, rng, rng.choice(onnx_seeds())) if rng.random() < 0.4 else data


def bottomless(depth: int) -> bytes:
    """Subgraphs in subgraphs, deeper than protobuf reads, as bytes that a message is continued with."""

    def field(number: int, content: bytes) -> bytes:
        length, left = b"", len(content)
        while left > 127:
            length, left = length + bytes([left % 128 + 128]), left // 128
        return bytes([number * 8 + 2]) + length + bytes([left]) + content

    inner = b""
    for _ in range(depth):
        inner = field(1, field(5, field(1, b"body") + field(6, inner)))
    return field(7, inner)


def damaged(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A few flips, cuts, splices and bombs of bytes."""
    for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
        at, n = rng.randrange(len(data) + 1), rng.choice([1, 2, 8, 40, 400])
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at + n :]
        elif kind == 3:
            start = rng.randrange(len(other))
            data = data[:at] + other[start : start + n] + data[at:]
        elif kind == 4:
            data = data[:at] + data[at : at + n] * rng.choice([2, 10, 100]) + data[at + n :]
        elif kind == 5:  # the length of a field of protobuf or safetensors, or what is not text
            bomb = rng.choice(
                [b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x7f" * 8, b"\x00" * 8, b"\xed\xa0\x80"]
            )
            data = data[:at] + bomb + data[at + len(bomb) :]
        else:
            data = data[:at] + rng.randbytes(n) + data[at + n :]
    return data


# ---- forged graphs


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
        ["alpha", "beta", "axis", "transA", "transB", "to", "value", "epsilon", "coefficients", "perm"]
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
    model.metadata_props.add(
        key=rng.choice(["lavaghost.labels", "lavaghost.dataset"]), value=rng.choice(labels)
    )
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


# ---- manifests and weights


def manifest_input(rng: random.Random) -> tuple[bytes, bytes]:
    """A damaged or forged model.yaml, beside good weights."""
    if rng.random() < 0.005:
        unit = rng.choice(YAML_UNITS)
        return b"format: lavaghost.network\nversion: '1.0'\nx: " + unit * (MAX_BYTES // len(unit) - 9), WEIGHTS
    text = MANIFEST[: MANIFEST.index(SEAL)] if rng.random() < 0.9 else MANIFEST
    lines = text.splitlines(keepends=True)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(b":")
        value = rng.choice([*NUMBERS, *PATHS, *YAML_BOMBS]).encode()
        kind = rng.randrange(5)
        if kind == 0 and colon:
            lines[at] = key + b": " + value + b"\n"
        elif kind == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 2:
            lines[at] = b""
        elif kind == 3:
            lines.insert(0, b"extra: " + value + b"\n")
        else:
            lines[at] = lines[at].replace(b"[", b"[" + value + b", ", 1)
    data = b"".join(lines)
    return (damaged(data or b"x", rng, MANIFEST) if rng.random() < 0.5 else data), WEIGHTS


YAML_UNITS = (
    b"[",
    b"{a: ",
    b"[1, ",
    b"1,",
    b"\na: 1",
    b"- ",
    b"? ",
    b" ",
    b"\n",
    b"[a: 1,",
    b"{a, ",
    b"&a ",
    b"'",
    b"!x ",
)
"""What a file of the largest size repeats."""
CANARY = "lavaghost-fuzz-canary"
"""A file that nothing may make: what a tag that runs code would leave."""
YAML_BOMBS = (
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/object/new:os.system ['touch {CANARY}']",
    "!!python/name:os.system",
    "&a [*a, *a]",
    "{a: &a [x, x, x], b: &b [*a, *a, *a], c: [*b, *b, *b, *b]}",
    "{a: 1, a: 2}",
    "[" * 5000,
    "{a: " * 3000,
    "- " * 3000,
    '"' + "x" * 5000 + '"',
    "!!binary eA==",
    "!!timestamp 2001-01-01",
    "2001-01-01",
    "!!set {a, b}",
    "1:30:00",
    "? [a, b]\n: c",
    "---\na: 1",
    "{<<: {a: 1}}",
)


def weights_input(rng: random.Random) -> tuple[bytes, bytes]:
    """Damaged or forged weights, most of them under a manifest that agrees with their hash and size."""
    size = int.from_bytes(WEIGHTS[:8], "little")
    header, body = json.loads(WEIGHTS[8 : 8 + size]), WEIGHTS[8 + size :]
    for _ in range(rng.choice([0, 1, 1, 2])):
        entry = header[rng.choice(list(header))]
        if not isinstance(entry, dict):
            continue
        kind = rng.randrange(6)
        if kind == 0:
            entry["data_offsets"] = [rng.choice(INTEGERS), rng.choice([*INTEGERS, len(body)])]
        elif kind == 1:
            entry["shape"] = [rng.choice(INTEGERS) for _ in range(rng.choice([0, 1, 2, 40]))]
        elif kind == 2:
            entry["dtype"] = rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "X", 3, None])
        elif kind == 3:
            header[rng.choice(["../x", "x" * 5000, "weights.1", ""])] = dict(entry)
        elif kind == 4:
            header["__metadata__"] = rng.choice([{"a": 1}, {"a": "b"}, [], "x" * 100])
        else:
            body = struct.pack("<f", rng.choice(FLOATS)) * (len(body) // 4)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = rng.choice([b"[" * 20_000, b"{" * 20_000, b'{"a":' * 5000, text[:-1], b"", text + b" " * 500])
    length = len(text) if rng.random() < 0.9 else rng.choice([0, 2**31, 2**63, 2**64 - 1, len(text) + 1])
    data = length.to_bytes(8, "little") + text + body
    data = damaged(data, rng, WEIGHTS) if rng.random() < 0.4 else data
    if rng.random() < 0.1:
        return MANIFEST, data
    stated = MANIFEST[: MANIFEST.index(SEAL)].replace(sha256(WEIGHTS).encode(), sha256(data).encode())
    return stated.replace(b"bytes: %d" % len(WEIGHTS), b"bytes: %d" % len(data)), data
