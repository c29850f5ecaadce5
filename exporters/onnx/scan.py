"""The one subgraph that is run here: a Scan whose step is as plain as the graph around it.

A step must end and must not grow: how often it runs is the length of a constant, and every state leaves it in the
shape in which it came. Its body is then a graph of vectors per sample like any other, and is checked as one.
"""

from typing import Any

import onnx
from onnx import helper

from lavaghost.base.errors import ExportError, join_faults

MAX_STEPS = 10**6
"""As many as a schedule may have."""


def scan_faults(node: onnx.NodeProto, graph: onnx.GraphProto) -> list[str]:
    """Why a Scan is not of this kind, if so."""
    name, faults = f"Scan {node.name or node.output[:1]!s:.60}", []
    kinds = {attribute.name: attribute.type for attribute in node.attribute}
    if kinds != {"body": onnx.AttributeProto.GRAPH, "num_scan_inputs": onnx.AttributeProto.INT}:
        return [f"{name} has attributes other than body and num_scan_inputs"]
    step, scanned = body(node), node.input[-1] if node.input else ""
    lengths = {tensor.name: tensor.dims[:1] for tensor in graph.initializer}
    if _count(node) != 1 or scanned not in lengths:
        faults.append(f"{name} scans something else than one constant")
    elif not lengths[scanned] or not 1 <= lengths[scanned][0] <= MAX_STEPS:
        faults.append(f"{name} has {list(lengths[scanned])} steps, not 1 to {MAX_STEPS}")
    if len(step.output) != len(node.input) - 1 or len(step.input) != len(node.input):
        faults.append(f"{name} has {len(step.output)} states in its step and {len(node.input) - 1} outside")
    if len(step.sparse_initializer) or len(step.initializer):
        faults.append(f"{name} has tensors inside its step")
    return faults


def body(node: onnx.NodeProto) -> onnx.GraphProto:
    """The step of a Scan."""
    return next(attribute.g for attribute in node.attribute if attribute.name == "body")


def _count(node: onnx.NodeProto) -> int:
    return next(attribute.i for attribute in node.attribute if attribute.name == "num_scan_inputs")


def body_model(node: onnx.NodeProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """The step as a model, its constants as inputs, with the sizes of all its values.

    `model` has the sizes of its own values. Raises `ExportError` if a state changes its shape on the way.
    """
    step = body(node)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    own = {value.name for value in step.input} | {name for inner in step.node for name in inner.output}
    taken = sorted({name for inner in step.node for name in inner.input if name} - own)
    if missing := [name for name in taken if name not in constants]:
        raise ExportError(f"the step of a Scan takes {missing[0]!r:.60} from outside, which is no constant")
    typed = [helper.make_tensor_value_info(n, constants[n].data_type, list(constants[n].dims)) for n in taken]
    outside = {v.name: v for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    for value, inside, after in zip(node.input, step.input, step.output, strict=False):
        before = outside.get(value)
        if before is None or not shape(before) == shape(inside) == shape(after):
            raise ExportError(f"state {inside.name!r:.60} of a Scan changes its shape")
    standalone = helper.make_model(
        helper.make_graph(list(step.node), "step", [*step.input, *typed], list(step.output)),
        ir_version=model.ir_version,
        opset_imports=list(model.opset_import),
    )
    try:
        onnx.checker.check_model(standalone, full_check=True)
        return onnx.shape_inference.infer_shapes(standalone, check_type=True, strict_mode=True)
    except Exception as error:
        raise ExportError(join_faults([f"the step of a Scan is not valid ({error!s:.200})"])) from error


def shape(value: Any) -> tuple[int | str, ...]:
    """Sizes of a value: numbers, names, and `?`."""
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims)
