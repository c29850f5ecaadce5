"""Runs an ONNX file in onnxruntime, after making sure that it is one of the plain files exported here.

A file may come from anywhere. What could read other files, run without end or take memory without bound is
refused before the runtime sees it: external tensors, subgraphs other than a plain Scan, foreign operators,
and intermediate values that are not one vector or number per sample.
"""

import math
from pathlib import Path

import numpy as np
import onnx

from lavaghost.base.errors import ExportError, MissingError, join_faults
from lavaghost.base.files import read_regular
from lavaghost.base.spec import MAX_UNITS
from lavaghost.exporters.base import Outputs
from lavaghost.exporters.onnx.scan import body, body_model, scan_faults, shape
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array

MAX_BYTES = 1 << 31
MAX_NODES = 10_000
"""Far above what 63 layers need; a runtime takes some kilobytes for each."""
OPERATORS = frozenset(
    [
        "Gemm",
        "MatMul",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Max",
        "Min",
        "Relu",
        "Clip",
        "HardSigmoid",
        "Identity",
        "ArgMax",
        "Round",
        "Cast",
        "MatMulInteger",
        "QuantizeLinear",
        "DequantizeLinear",
    ]
)
"""What the exported graphs are made of, and close relatives; none takes a subgraph or makes a new shape.

A Scan is made of the same (see `onnx_scan`)."""
DOMAIN = ("", "ai.onnx")
VALUES = 1 << 26
"""Most values of one layer that a batch may have."""


def run_onnx(file: Path, raw: Array, network: Network) -> Outputs:
    """Raw samples `(samples, n_0)` through `file`.

    Raises `ExportError` if the file is damaged, not plain, or of other sizes than `network`, and
    `MissingError` if onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError(
            "onnxruntime is not installed; pip install onnxruntime, or lavaghost[verify]"
        ) from error
    data = read_checked(file, network)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised, and said once
    try:
        # the bytes that were checked, not the path: the file cannot change in between
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        logits, labels = [], []
        batch = max(1, min(1000, VALUES // max(network.layers)))
        for start in range(0, len(raw), batch):
            feed = {"input": raw[start : start + batch]}
            found = session.run(["logits", "label"], feed)
            logits.append(np.asarray(found[0]))
            labels.append(np.asarray(found[1]))
    # onnxruntime's exceptions have no public base
    except Exception as error:
        raise ExportError(join_faults([f"{file}: onnxruntime cannot run it: {error!s:.300}"])) from error
    version = f"onnxruntime {onnxruntime.__version__}"
    outputs = Outputs(np.concatenate(logits), np.concatenate(labels), version=version)
    wanted = (len(raw), network.layers[-1])
    if outputs.logits.shape != wanted or outputs.labels.shape != wanted[:1]:
        raise ExportError(f"{file}: it gives logits {outputs.logits.shape}, not {wanted}")
    return outputs


def read_model(file: Path) -> tuple[bytes, onnx.ModelProto]:
    """The bytes of an ONNX file, and what they say; nothing outside the file is read. Raises `ExportError`."""
    try:
        data = read_regular(file, MAX_BYTES)
    except OSError as error:
        raise ExportError(f"cannot read {file}: {error.strerror or error}; name an .onnx file") from error
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise ExportError(f"{file} is not an ONNX file, or it is cut off; export it again") from error
    if not model.HasField("graph"):
        raise ExportError(f"{file} is not an ONNX file: it has {len(data)} bytes and no graph; export it again")
    return data, model


def read_checked(file: Path, network: Network) -> bytes:
    """The bytes of a plain ONNX file that takes and gives what `network` does. Raises `ExportError`."""
    data, model = read_model(file)
    if faults := _not_plain(model):
        raise ExportError(f"{file}: {join_faults(faults)}; only plain exported graphs are run")
    try:
        onnx.checker.check_model(model, full_check=True)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception as error:
        raise ExportError(
            join_faults([f"{file} is not valid ONNX ({error!s:.200}); export it again"])
        ) from error
    if faults := _other_sizes(model, network):
        raise ExportError(f"{file}: {join_faults(faults)}")
    return data


def foreign(model: onnx.ModelProto) -> list[str]:
    """What of a model lies outside its own nodes and tensors, and is never read."""
    faults = []
    if len(model.graph.node) > MAX_NODES:
        return [f"it has {len(model.graph.node)} nodes, more than {MAX_NODES}"]
    if len(model.functions) or len(model.graph.sparse_initializer):
        faults.append("it has functions or sparse tensors")
    return faults


def _not_plain(model: onnx.ModelProto) -> list[str]:
    faults = foreign(model)  # names are shown as !r: text that is no UTF-8 comes as bytes
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            faults.append(f"tensor {tensor.name!r:.60} lies in another file")
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Scan":
            nodes.append(node)
        elif scan := scan_faults(node, model.graph):
            faults += scan
        else:
            nodes += body(node).node
    for node in nodes:
        if node.op_type not in OPERATORS or node.domain not in DOMAIN:
            faults.append(f"operator {node.op_type!r:.60} of domain {node.domain!r:.60}")
        for attribute in node.attribute:
            scalar = (onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT)
            if attribute.type not in scalar:
                faults.append(f"attribute {attribute.name!r:.60} of {node.op_type!r:.60}")
    return faults[:5]


def _other_sizes(model: onnx.ModelProto, network: Network) -> list[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {v.name: shape(v) for v in model.graph.input if v.name not in constants}
    outputs = {v.name: shape(v) for v in model.graph.output}
    faults = []
    if list(inputs) != ["input"] or len(inputs["input"]) != 2:
        faults.append(f"its inputs are {inputs!s:.100}, not 'input' of [N, {network.layers[0]}]")
    elif inputs["input"][1] != network.layers[0]:
        faults.append(f"it takes {inputs['input'][1]} numbers, the model has {network.layers[0]} inputs")
    logits = outputs.get("logits", ())
    if len(logits) != 2 or len(outputs.get("label", ())) != 1:
        faults.append(f"its outputs are {outputs!s:.100}, not 'logits' of [N, n] and 'label' of [N]")
    elif logits[1] != network.layers[-1]:
        faults.append(f"it gives {logits[1]} logits, the model has {network.layers[-1]} outputs")
    batch = inputs["input"][0] if inputs.get("input") else "N"
    faults += _size_faults(model, batch, constants)
    for node in model.graph.node:
        if node.op_type == "Scan":
            faults += _size_faults(body_model(node, model), batch, constants)
    return faults[:5]


def _size_faults(model: onnx.ModelProto, batch: int | str, constants: set[str]) -> list[str]:
    """What is no vector per sample; a constant that is only rescaled has the size that it has in the file."""
    faults = []
    rescaled = {
        name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and constants.issuperset(node.input)
        for name in node.output
    }
    inferred = [*model.graph.value_info, *model.graph.output]
    for value in (value for value in inferred if value.name not in rescaled):
        sizes = shape(value)
        sizes = [size for size in sizes[1 if sizes[:1] == (batch,) else 0 :] if size != 1]
        known = all(isinstance(size, int) for size in sizes)
        if not known or math.prod(int(size) for size in sizes) > MAX_UNITS:
            faults.append(f"value {value.name!r:.60} of {shape(value)!s:.60} is no vector per sample")
    named = {value.name for value in inferred}
    if unknown := [n for node in model.graph.node for n in node.output if n not in named]:
        faults.append(f"the size of value {unknown[0]!r:.60} is not known")
    return faults
