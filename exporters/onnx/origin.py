"""What an ONNX file without its sidecar says of itself: the exporter, and the settings that the reference needs.

`onnx_file.save` writes both into the metadata. A file that another tool rewrote may have lost them, and one of an
earlier version never had them; its operators still tell a float graph, which needs no settings, from the others,
whose reference cannot be had without.
"""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from lavaghost.base.errors import ExportError, SpecError, join_faults
from lavaghost.base.spec import parse
from lavaghost.exporters.onnx.run_onnx import read_checked
from lavaghost.exporters.sidecar import Origin, beside
from lavaghost.net.network import Network

EXPORTER, SETTINGS = "lavaghost.exporter", "lavaghost.settings"
MAX_CHARACTERS = 1 << 20
"""Most characters of settings: a number for each of 63 layers takes some kilobytes."""
TELLING = {
    "onnx-settle": ("Scan",),
    "onnx-qdq": ("QuantizeLinear", "DequantizeLinear"),
    "onnx-int": ("MatMulInteger",),
}
"""Operators, of those that a plain file may have, that only the files of one exporter have; the first found decides."""
INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)


def state(model: onnx.ModelProto, exporter: str, settings: dict[str, Any]) -> None:
    """Write into the metadata what `stated` reads."""
    model.metadata_props.add(key=EXPORTER, value=exporter)
    model.metadata_props.add(key=SETTINGS, value=json.dumps(settings, sort_keys=True, allow_nan=False))


def stated(file: Path, network: Network) -> Origin:
    """What a plain file for `network` says itself.

    Raises `ExportError` if it is not plain (`read_checked`), says too little, or contradicts its own operators.
    """
    model = onnx.load_model_from_string(read_checked(file, network))
    said = {prop.key: prop.value for prop in model.metadata_props}
    seems, sign = kind(model)
    export_again = f"export again, or put its sidecar beside it as {beside(file).name}"
    if EXPORTER not in said:
        if seems == "onnx":
            return Origin(exporter="onnx", settings={})
        raise ExportError(
            f"{file} is a file of exporter {seems!r} ({sign}), and its sidecar is missing, which has the settings that "
            f"its reference needs; {export_again}"
        )
    if said[EXPORTER] in ("onnx", *TELLING) and said[EXPORTER] != seems:
        raise ExportError(
            f"{file} was written by exporter {said[EXPORTER]!r:.60} and rewritten by another tool: now it is like one "
            f"of {seems!r} ({sign}), and no reference is known for it; verify the file as it was exported"
        )
    try:
        if len(text := said.get(SETTINGS, "")) > MAX_CHARACTERS:
            raise SpecError(f"more than {MAX_CHARACTERS} characters")
        return parse(Origin, {"exporter": said[EXPORTER], "settings": json.loads(text)})
    except (ValueError, RecursionError) as error:
        fault = f"{file}: its metadata {SETTINGS} cannot be used ({error!s:.200})"
        raise ExportError(join_faults([fault, export_again])) from error


def kind(model: onnx.ModelProto) -> tuple[str, str]:
    """The one of our exporters whose files have such operators, and what tells so."""
    operators = {node.op_type for node in model.graph.node}
    for exporter, names in TELLING.items():
        if found := [name for name in names if name in operators]:
            return exporter, f"it has the operator {found[0]}"
    for value in model.graph.output:
        if value.name == "logits" and value.type.tensor_type.elem_type in INTEGERS:
            return "onnx-int", "its logits are integers"
    return "onnx", "its operators are those of floats"
