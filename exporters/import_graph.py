"""Reads an ONNX graph for the import: nodes, their attributes and constants as plain values, all sizes bounded.

Nothing is run and no size is believed: a tensor is an array only if the file holds as many numbers as it claims.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from lavaghost.arithmetic import Array
from lavaghost.spec import MAX_UNITS

MAX_NODES = 1000
"""A network of at most 63 layers has fewer."""
MIN_OPSET = 9
"""Before it, operators broadcast and normalise by other rules."""
MAX_RANK = 8
DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}

ITEM_TYPES: Mapping[int, tuple[str, int]] = {
    TensorProto.FLOAT: ("float_data", 4),
    TensorProto.DOUBLE: ("double_data", 8),
    TensorProto.FLOAT16: ("int32_data", 2),
    TensorProto.INT8: ("int32_data", 1),
    TensorProto.INT16: ("int32_data", 2),
    TensorProto.INT32: ("int32_data", 4),
    TensorProto.INT64: ("int64_data", 8),
    TensorProto.UINT8: ("int32_data", 1),
    TensorProto.UINT16: ("int32_data", 2),
    TensorProto.BOOL: ("int32_data", 1),
    TensorProto.STRING: ("string_data", 0),
}
"""For each type that is read: the field of its numbers, and its bytes per number in `raw_data`."""
INPUT_TYPES = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
)


class RefusedError(Exception):
    """Why one node, tensor or input cannot be imported; collected, never shown by itself."""


@dataclass(frozen=True)
class Node:
    """One operation: domain "" is ONNX itself. `attributes` holds ints, floats, texts, lists and arrays."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        domain = f" of {self.domain}" if self.domain else ""
        return f"node {(self.name or ''.join(self.outputs[:1]))!r:.60} ({self.op:.40}{domain:.40})"


@dataclass(frozen=True)
class Graph:
    """A model as read: `shape` is that of one sample of its only input, without the batch.

    `nodes` are those that the outputs need, in the file's order, which is one in which they can be computed.
    """

    input: str
    shape: tuple[int, ...]
    batch: int | None
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    nodes: tuple[Node, ...]
    opset: Mapping[str, int]
    metadata: Mapping[str, str]


def read_graph(model: onnx.ModelProto, faults: list[str]) -> Graph | None:
    """`model` as plain values; whatever cannot be read is added to `faults`, and then there may be no graph."""
    opset = {_text(entry.domain): entry.version for entry in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = opset.get("", opset.get("ai.onnx", 0))
    if not MIN_OPSET <= version <= newest:
        faults.append(f"opset {version} is not between {MIN_OPSET} and {newest}; export it with another opset")
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        faults.append(f"it has {len(graph.node)} nodes, more than {MAX_NODES}; a network of layers has fewer")
        return None
    outputs = tuple(_text(value.name) for value in graph.output)
    nodes = needed([_node(node) for node in graph.node], outputs)
    used = {name for node in nodes for name in node.inputs} | set(outputs)
    constants = {}
    for tensor in graph.initializer:
        if (name := _text(tensor.name)) in used:
            try:
                constants[name] = array(tensor)
            except RefusedError as why:
                faults.append(f"tensor {name!r:.60} {why}")
    initialized = {_text(tensor.name) for tensor in graph.initializer}
    inputs = [value for value in graph.input if _text(value.name) not in initialized]
    if len(inputs) != 1 or not outputs:
        names = ", ".join(repr(_text(value.name))[:40] for value in inputs[:5])
        faults.append(f"it has {len(inputs)} inputs ({names}) and {len(outputs)} outputs; give it one input")
        return None
    try:
        batch, shape = _sample_shape(inputs[0])
    except RefusedError as why:
        faults.append(f"input {_text(inputs[0].name)!r:.60} {why}")
        return None
    metadata = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
    name = _text(inputs[0].name)
    return Graph(name, shape, batch, outputs, constants, tuple(nodes), opset, metadata)


def needed(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    """The nodes that `outputs` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


def array(tensor: TensorProto) -> Array:
    """The numbers or texts of `tensor`. Raises `RefusedError`."""
    if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
        raise RefusedError("lies in another file; save the model as one file")
    if tensor.data_type not in ITEM_TYPES or tensor.HasField("segment"):
        raise RefusedError(f"has element type {tensor.data_type}, which is not read; use float32")
    field, width = ITEM_TYPES[tensor.data_type]
    dims = tuple(tensor.dims)
    stored = len(getattr(tensor, field))
    if tensor.HasField("raw_data"):
        if not width or stored or len(tensor.raw_data) % width:
            raise RefusedError(f"has {len(tensor.raw_data)} raw bytes, which are no numbers of its type")
        stored = len(tensor.raw_data) // width
    if len(dims) > MAX_RANK or any(size < 0 for size in dims) or math.prod(dims) != stored:
        raise RefusedError(f"claims the shape {dims!s:.60} and holds {stored} numbers")
    if tensor.data_type == TensorProto.STRING:
        return np.array([_text(entry) for entry in tensor.string_data], object).reshape(dims)
    try:
        return numpy_helper.to_array(tensor)
    # numbers that their type cannot hold
    except (ValueError, OverflowError) as error:
        raise RefusedError(f"cannot be read ({error!s:.80})") from error


def _node(node: onnx.NodeProto) -> Node:
    attributes = {_text(entry.name): _attribute(entry) for entry in node.attribute}
    domain = _text(node.domain)
    return Node(
        op=_text(node.op_type),
        domain=DOMAINS.get(domain, domain or "?"),
        name=_text(node.name),
        inputs=tuple(map(_text, node.input)),
        outputs=tuple(map(_text, node.output)),
        attributes=attributes,
    )


def _attribute(entry: AttributeProto) -> Any:
    """An int, float, str, list of them, or tensor; None for graphs and other kinds, which no known node has."""
    kinds = {
        AttributeProto.INT: lambda: entry.i,
        AttributeProto.FLOAT: lambda: entry.f,
        AttributeProto.STRING: lambda: _text(entry.s),
        AttributeProto.INTS: lambda: list(entry.ints),
        AttributeProto.FLOATS: lambda: list(entry.floats),
        AttributeProto.STRINGS: lambda: [_text(text) for text in entry.strings],
        AttributeProto.TENSOR: lambda: entry.t,
    }
    return kinds[entry.type]() if entry.type in kinds else None


def _sample_shape(value: onnx.ValueInfoProto) -> tuple[int | None, tuple[int, ...]]:
    """The fixed batch, if it is one, and the shape of one sample."""
    if value.type.WhichOneof("value") != "tensor_type":
        raise RefusedError("is not a tensor; give it one tensor [N, n_0]")
    kind = value.type.tensor_type
    if kind.elem_type not in INPUT_TYPES:
        raise RefusedError(f"has element type {kind.elem_type}, which is not read; use float32")
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    sizes = dims[1:]
    if not sizes or len(dims) > MAX_RANK or any(size is None or size < 1 for size in sizes):
        raise RefusedError(f"has the shape {dims!s:.60}; give it a batch and fixed sizes, such as [N, 64]")
    shape = tuple(size for size in sizes if size is not None)
    if math.prod(shape) > MAX_UNITS:
        raise RefusedError(f"has {math.prod(shape)} values, more than {MAX_UNITS}")
    return dims[0] or None, shape


def _text(value: str | bytes) -> str:
    """Names and texts; what is no UTF-8 is shown as Python shows bytes."""
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return repr(value)
