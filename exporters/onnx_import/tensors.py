"""Tensors of an ONNX file, in it or in a file beside it: no size is believed, and no path leaves the folder."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from lavaghost.base.files import open_regular
from lavaghost.exporters.onnx.run_onnx import MAX_BYTES
from lavaghost.numbers.arithmetic import Array

MAX_RANK = 8
ITEM_TYPES: Mapping[int, tuple[str, int]] = {
    TensorProto.FLOAT: ("float_data", 4),
    TensorProto.DOUBLE: ("double_data", 8),
    TensorProto.FLOAT16: ("int32_data", 2),
    TensorProto.BFLOAT16: ("int32_data", 2),
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


class RefusedError(Exception):
    """Why one node, tensor or input cannot be imported; collected, never shown by itself.

    `node` is the one to name, if it is not the one that was being read.
    """

    def __init__(self, why: str, node: Any = None) -> None:
        super().__init__(why)
        self.node = node


@dataclass
class Beside:
    """The folder of a model, for tensors in files beside it; `names` are those that were read."""

    folder: Path
    names: set[str] = field(default_factory=set)
    left: int = MAX_BYTES

    def read(self, tensor: TensorProto, size: int) -> bytes:
        """The `size` bytes of an external tensor: of a regular file beside the model. Raises `RefusedError`."""
        entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
        name = entries.get("location", "")
        remedy = "save the model as one file (PyTorch: external_data=False)"
        if not name or name in (".", "..") or {"/", "\\", ":", "\0"} & set(name):
            raise RefusedError(f"lies in another file, {name!r:.60}, which is no plain name; {remedy}")
        numbers = [entries.get("offset", "0"), entries.get("length", str(size))]
        if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
            raise RefusedError(f"lies in another file at {numbers!s:.60}, which are no numbers; {remedy}")
        offset, length = map(int, numbers)
        if length != size:
            raise RefusedError(f"has {length} bytes in {name!r:.60} and needs {size}; {remedy}")
        if size > self.left:
            raise RefusedError(f"is one of external tensors with more than {MAX_BYTES} bytes in all")
        data = _part(self.folder / name, offset, size, f"lies in another file, {name!r:.60}", remedy)
        self.left -= size
        self.names.add(name)
        return data


def _part(path: Path, offset: int, size: int, what: str, remedy: str) -> bytes:
    """`size` bytes of a regular file, which is opened once and is no link."""
    try:
        with open_regular(path, links=False) as stream:
            length = os.fstat(stream.fileno()).st_size
            if offset + size > length:
                raise RefusedError(
                    f"{what}, at {offset} to {offset + size} of its {length} bytes; copy it again, or {remedy}"
                )
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RefusedError(
            f"{what} ({reason}); put it beside the model, as a file itself, or {remedy}"
        ) from error
    if len(data) != size:
        raise RefusedError(f"{what}, which became shorter while it was read")
    return data


def array(tensor: TensorProto, beside: Beside) -> Array:
    """The numbers or texts of `tensor`; bfloat16 as the same numbers in float32. Raises `RefusedError`."""
    if tensor.data_type not in ITEM_TYPES or tensor.HasField("segment"):
        raise RefusedError(f"has element type {type_name(tensor.data_type)}, which is not read; use float32")
    field_name, width = ITEM_TYPES[tensor.data_type]
    dims = tuple(tensor.dims)
    if len(dims) > MAX_RANK or any(size < 0 for size in dims):
        raise RefusedError(f"claims the shape {dims!s:.60}")
    stored = len(getattr(tensor, field_name))
    raw = tensor.raw_data if tensor.HasField("raw_data") else None
    if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
        if raw is not None or not width:
            raise RefusedError("lies in another file and in this one, or is text; save the model as one file")
        raw = beside.read(tensor, math.prod(dims) * width)
    if raw is not None:
        if not width or stored or len(raw) % width:
            raise RefusedError(f"has {len(raw)} raw bytes, which are no numbers of its type")
        stored = len(raw) // width
    if math.prod(dims) != stored:
        raise RefusedError(f"claims the shape {dims!s:.60} and holds {stored} numbers")
    try:
        return _numbers(tensor, dims, raw)
    # numbers that their type cannot hold
    except (ValueError, OverflowError) as error:
        raise RefusedError(f"cannot be read ({error!s:.80})") from error


def _numbers(tensor: TensorProto, dims: tuple[int, ...], raw: bytes | None) -> Array:
    if tensor.data_type == TensorProto.STRING:
        return np.array([text(entry) for entry in tensor.string_data], object).reshape(dims)
    if tensor.data_type == TensorProto.BFLOAT16:
        # the upper half of a float32
        halves = np.array(tensor.int32_data, np.int64) if raw is None else np.frombuffer(raw, "<u2")
        if halves.size and not (halves.min() >= 0 and halves.max() < 1 << 16):
            raise ValueError("no numbers of 16 bits")
        return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(dims)
    if raw is not None and not tensor.HasField("raw_data"):
        tensor = TensorProto(dims=dims, data_type=tensor.data_type, raw_data=raw)
    return numpy_helper.to_array(tensor)


def type_name(number: int) -> str:
    """float32 for 1, bfloat16 for 16, and so on."""
    if number not in TensorProto.DataType.values():
        return str(number)
    name = TensorProto.DataType.Name(number).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def text(value: str | bytes) -> str:
    """Names and texts; what is no UTF-8 is shown as Python shows bytes."""
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return repr(value)
