"""Goes through the nodes of a graph once, in order, and finds what each value is of the rates of the layer below."""

from collections import Counter
from typing import Any

import numpy as np

from lavaghost.exporters.onnx_import.constants import CONSTANTS
from lavaghost.exporters.onnx_import.model_graph import ModelGraph, ModelNode
from lavaghost.exporters.onnx_import.moves import MOVES, relocate
from lavaghost.exporters.onnx_import.ops import OPERATORS, Operator
from lavaghost.exporters.onnx_import.refused import why
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tail import OF_ANSWERS, TAIL
from lavaghost.exporters.onnx_import.tensors import RefusedError
from lavaghost.exporters.onnx_import.units import LAZY, UNITS
from lavaghost.exporters.onnx_import.values import Affine, Answer, Clipped, DimSizes

OPERATIONS: dict[tuple[str, str], Operator] = {
    **{("", op): relocate for op in MOVES if op != "ArrayFeatureExtractor"},
    **OPERATORS,
    **UNITS,
    **TAIL,
}
"""What operators mean that take a value of the network."""
UNKNOWN = object()
"""The value of what a refused node gives: what follows from it is no fault of its own."""
TYPED = {"Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min", "Gemm", "MatMul", "Concat", "PRelu", "Pow"}
"""Operators whose inputs all have one element type."""
OLD = {"broadcast", "consumed_inputs", "is_test"}
"""Attributes of operators before opset 7."""


def interpret(graph: ModelGraph, chain: Spine, faults: list[str]) -> list[Any]:
    """The values of the graph's outputs; layers and notes are left in `chain`, refusals in `faults`."""
    shape = graph.shape if chain.lead else (1, *graph.shape)
    start = Affine(0, shape, int(np.prod(shape)), kind=graph.kind)
    tensors = {name: UNKNOWN if given is None else given for name, given in graph.constants.items()}
    values: dict[str, Any] = {**tensors, graph.input: start, "": None}
    left = Counter(name for node in graph.nodes for name in node.inputs)
    left.update(["", *graph.outputs])
    for node in graph.nodes:
        results: tuple[Any, ...] = ()
        try:
            results = _results(node, values, chain)
        except RefusedError as reason:
            fault = f"{reason.node or node} {reason}"
            # what is wrong with one node may show at several behind it
            if fault not in faults:
                faults.append(fault)
        results += (UNKNOWN,) * (len(node.outputs) - len(results))
        values |= {name: value for name, value in zip(node.outputs, results, strict=False) if name}
        # large arrays go as soon as nobody needs them
        for name in node.inputs:
            left[name] -= 1
            if not left[name] and name:
                values[name] = None
    if absent := [name for name in graph.outputs if values.get(name) is None]:
        faults.append(f"output {absent[0]!r:.60} is computed by no node")
    elif not faults and (unknown := [name for name in graph.outputs if values[name] is UNKNOWN]):
        faults.append(f"output {unknown[0]!r:.60} is one that its operator is not imported with")
    return [values.get(name) for name in graph.outputs]


def _results(node: ModelNode, values: dict[str, Any], chain: Spine) -> tuple[Any, ...]:
    """What a node gives; nothing, if it follows from a fault."""
    missing = [name for name in node.inputs if name not in values]
    twice = [name for name in node.outputs if name and name in values]
    if missing or twice:
        raise RefusedError(f"names a value {(missing or twice)[0]!r:.60} that is unknown, or given twice")
    inputs = [values[name] for name in node.inputs]
    if any(value is UNKNOWN for value in inputs):
        return ()
    try:
        return _apply(node, inputs, chain)
    except MemoryError:
        raise RefusedError("needs more memory than there is") from None


def _apply(node: ModelNode, inputs: list[Any], chain: Spine) -> tuple[Any, ...]:
    if not inputs and node.op not in ("Constant", "RandomNormal", "RandomUniform"):
        raise RefusedError("has no input")
    if found := OLD & set(node.attributes):
        raise RefusedError(f"has the attribute {min(found)}, of opsets below 7; convert it to opset 13")
    constant = all(value is None or isinstance(value, np.ndarray | DimSizes) for value in inputs)
    key = (node.domain, node.op)
    if key in CONSTANTS and (constant or node.op in ("Shape", "Size")):
        return _folded(CONSTANTS[key], node, inputs, chain)
    operator = OPERATIONS.get(key)
    if operator is None:
        raise RefusedError(why(node.op))
    if constant and node.op in MOVES:
        return _folded(operator, node, inputs, chain)
    if any(isinstance(value, Answer) for value in inputs):
        operator = OF_ANSWERS.get(key, operator)
    elif node.op not in LAZY and node.op not in MOVES and node.op != "Concat":
        inputs = [chain.layer(value) for value in inputs]
    _types(node, inputs, chain)
    return operator(node, inputs, chain)


def _folded(operator: Operator, node: ModelNode, inputs: list[Any], chain: Spine) -> tuple[Any, ...]:
    """Constants, computed by numpy, whose own objections are faults of the file."""
    _types(node, inputs, chain)
    try:
        return operator(node, inputs, chain)
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        raise RefusedError(f"cannot be computed from its constants ({error!s:.80})") from None


def _types(node: ModelNode, inputs: list[Any], chain: Spine) -> None:
    """Note element types that ONNX does not allow together."""
    if node.op not in TYPED or node.domain:
        return
    kinds = {value.kind for value in inputs if isinstance(value, Affine)}
    kinds |= {value.value.kind for value in inputs if isinstance(value, Clipped)}
    kinds |= {str(value.dtype) for value in inputs if isinstance(value, np.ndarray)}
    # bfloat16 is kept in float32
    kinds = {"float32" if kind == "bfloat16" else kind for kind in kinds}
    if len(kinds) > 1:
        mixed = " and ".join(sorted(kinds))
        chain.note(node, f"takes {mixed} together, which ONNX forbids and onnxruntime refuses; read as if cast")
