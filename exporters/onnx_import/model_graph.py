"""Reads an ONNX graph for the import: nodes, their attributes and constants as plain values, all sizes bounded.

Nothing is run and no size is believed: a tensor is an array only if the file holds as many numbers as it claims.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto

from lavaghost.base.spec import MAX_UNITS
from lavaghost.exporters.onnx_import.tensors import MAX_RANK, Beside, RefusedError, array, text, type_name
from lavaghost.numbers.arithmetic import Array

MAX_NODES = 1000
"""A network of at most 63 layers has fewer."""
MIN_OPSET = 7
"""Before it, operators broadcast by attributes and normalise by other rules."""
DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}

INPUT_TYPES = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
)


@dataclass(frozen=True)
class ModelNode:
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
class ModelGraph:
    """A model as read.

    shape      of one sample of its only input, without the batch
    batch      the number of samples, if the file fixes it
    kind       element type of the input
    constants  its tensors; None stands for one that cannot be read, which is a fault already
    nodes      those that the outputs need, in the file's order, which is one in which they can be computed
    """

    input: str
    shape: tuple[int, ...]
    batch: int | None
    kind: str
    outputs: tuple[str, ...]
    constants: Mapping[str, Array | None]
    nodes: tuple[ModelNode, ...]
    opset: Mapping[str, int]
    metadata: Mapping[str, str]

    @property
    def version(self) -> int:
        """Opset of ONNX's own operators."""
        return self.opset.get("", self.opset.get("ai.onnx", 0))


def read_graph(model: onnx.ModelProto, beside: Beside, faults: list[str]) -> ModelGraph | None:
    """`model` as plain values; whatever cannot be read is added to `faults`, and then there may be no graph."""
    opset = {text(entry.domain): entry.version for entry in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = opset.get("", opset.get("ai.onnx", 0))
    if not MIN_OPSET <= version <= newest:
        faults.append(f"opset {version} is not between {MIN_OPSET} and {newest}; export it with another opset")
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        faults.append(f"it has {len(graph.node)} nodes, more than {MAX_NODES}; a network of layers has fewer")
        return None
    outputs = tuple(text(value.name) for value in graph.output)
    nodes = needed([_node(node) for node in graph.node], outputs)
    used = {name for node in nodes for name in node.inputs} | set(outputs)
    constants = _constants(graph, used, beside, faults)
    initialized = {text(tensor.name) for tensor in graph.initializer}
    inputs = [value for value in graph.input if text(value.name) not in initialized]
    if len(inputs) != 1 or not outputs:
        names = ", ".join(repr(text(value.name))[:40] for value in inputs[:5])
        faults.append(f"it has {len(inputs)} inputs ({names}) and {len(outputs)} outputs; give it one input")
        return None
    name = text(inputs[0].name)
    try:
        batch, shape = _sample_shape(inputs[0])
    except RefusedError as why:
        faults.append(f"input {name!r:.60} {why}")
        return None
    kind = type_name(inputs[0].type.tensor_type.elem_type)
    metadata = {text(entry.key): text(entry.value) for entry in model.metadata_props}
    return ModelGraph(name, shape, batch, kind, outputs, constants, tuple(nodes), opset, metadata)


def _constants(
    graph: onnx.GraphProto, used: set[str], beside: Beside, faults: list[str]
) -> dict[str, Array | None]:
    """The tensors that are `used`; those that cannot be read for the same reason are one fault."""
    constants: dict[str, Array | None] = {}
    refused: dict[str, list[str]] = {}
    for tensor in graph.initializer:
        name = text(tensor.name)
        if name not in used:
            continue
        try:
            if name in constants:
                raise RefusedError("is given twice")
            constants[name] = array(tensor, beside)
        except RefusedError as why:
            constants[name] = None
            refused.setdefault(str(why), []).append(f"{name!r:.60}")
    for why, names in refused.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        faults.append(f"tensor {names[0]}{more} {why}")
    return constants


def needed(nodes: list[ModelNode], outputs: tuple[str, ...]) -> list[ModelNode]:
    """The nodes that `outputs` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(name for name in node.inputs if name)
    return kept[::-1]


def _node(node: onnx.NodeProto) -> ModelNode:
    attributes = {text(entry.name): _attribute(entry) for entry in node.attribute}
    domain = text(node.domain)
    return ModelNode(
        op=text(node.op_type),
        domain=DOMAINS.get(domain, domain or "?"),
        name=text(node.name),
        inputs=tuple(map(text, node.input)),
        outputs=tuple(map(text, node.output)),
        attributes=attributes,
    )


def _attribute(entry: AttributeProto) -> Any:
    """An int, float, str, list of them, or tensor; None for graphs and other kinds, which no known node has."""
    kinds = {
        AttributeProto.INT: lambda: entry.i,
        AttributeProto.FLOAT: lambda: entry.f,
        AttributeProto.STRING: lambda: text(entry.s),
        AttributeProto.INTS: lambda: list(entry.ints),
        AttributeProto.FLOATS: lambda: list(entry.floats),
        AttributeProto.STRINGS: lambda: list(map(text, entry.strings)),
        AttributeProto.TENSOR: lambda: entry.t,
    }
    return kinds[entry.type]() if entry.type in kinds else None


def _sample_shape(value: onnx.ValueInfoProto) -> tuple[int | None, tuple[int, ...]]:
    """The fixed batch, if it is one, and the shape of one sample."""
    if not value.name:
        raise RefusedError("has no name")
    if value.type.WhichOneof("value") != "tensor_type":
        raise RefusedError("is not a tensor; give it one tensor [N, n_0]")
    kind = value.type.tensor_type
    if kind.elem_type not in INPUT_TYPES:
        raise RefusedError(f"has element type {type_name(kind.elem_type)}, which is not read; use float32")
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    sizes = dims[1:]
    if not sizes or len(dims) > MAX_RANK or any(size is None or size < 1 for size in sizes):
        raise RefusedError(f"has the shape {dims!s:.60}; give it a batch and fixed sizes, such as [N, 64]")
    shape = tuple(size for size in sizes if size is not None)
    if math.prod(shape) > MAX_UNITS:
        raise RefusedError(f"has {math.prod(shape)} values, more than {MAX_UNITS}")
    return dims[0] or None, shape
