"""The weights file of a saved network: safetensors, read only after its size and hash were found right."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from lavaghost.base.errors import ModelFileError, join_faults
from lavaghost.base.files import inside, read_regular, sha256
from lavaghost.model.manifest import Manifest, graph_of
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import is_bias

MAX_WEIGHT_BYTES = 4 << 30
"""Largest weights file that is read; 1e9 connections, above any network that these methods train."""


SIZES = {"F32": 4, "F64": 8, "I16": 2, "I32": 4}
KINDS = {"F32": "<f4", "F64": "<f8", "I16": "<i2", "I32": "<i4"}
"""Types of tensors by the names of safetensors."""
STATE = "method."
"""What the names of a method's own arrays begin with."""


def pack(tensors: Mapping[str, Array]) -> bytes:
    """The file's bytes; the same for equal tensors."""
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in tensors.items()}
    return safetensors.numpy.save(little)


def wanted(manifest: Manifest) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Name -> the types that are allowed, and the shape, of each tensor that a manifest promises."""
    graph = graph_of(manifest)
    whole = manifest.numbers.arithmetic == "loihi" and not is_old(manifest)
    found: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}
    for name, shape in shapes(graph).items():
        kind = "F32" if not whole else "I32" if is_bias(name) else "I16"
        found[name] = ((kind,), shape)
    state = {} if is_old(manifest) else manifest.method.shapes(graph)
    return found | {STATE + name: (("F32", "F64"), tuple(shape)) for name, shape in state.items()}


def is_old(manifest: Manifest) -> bool:
    """Whether it is of version 1: real numbers always, and ghosts of methods that have none."""
    return manifest.version.startswith("1.")


def read_part(path: Path, limit: int) -> bytes:
    """One file of a saved network, of at most `limit` bytes. Raises `ModelFileError`."""
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise ModelFileError(
            f"cannot read {path}: {error.strerror}; name a folder in which a network was saved completely"
        ) from error


def read_weights(manifest_path: Path, manifest: Manifest) -> bytes:
    """The bytes of the file that `manifest` names, if they are what it says. Raises `ModelFileError`."""
    stated = manifest.weights
    tensors = wanted(manifest)
    data = sum(min(SIZES[kind] for kind in kinds) * math.prod(shape) for kinds, shape in tensors.values())
    # the header has an 8-byte length, and per tensor a name, a type, a shape and two offsets
    high = 2 * data + 8 + 4096 + 256 * len(tensors)
    if is_old(manifest):
        high = MAX_WEIGHT_BYTES  # tensors of ghosts that were never used
    try:
        path = inside(manifest_path.parent, stated.path)
        size = path.stat().st_size
    except ModelFileError as error:
        raise ModelFileError(f"{manifest_path}: weights.{error}") from error
    # RuntimeError: links in a loop
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(
            f"{manifest_path}: cannot read its weights {stated.path}: {reason}; restore the file"
        ) from error
    faults = []
    if size != stated.bytes:
        faults.append(f"{path} has {size} bytes, the manifest says {stated.bytes}")
    if not data + 8 < size <= high:
        faults.append(f"{path} has {size} bytes, the network's shapes need {data} and a header")
    if size > MAX_WEIGHT_BYTES:
        faults.append(f"{path} has {size} bytes, more than {MAX_WEIGHT_BYTES}")
    if faults:
        raise ModelFileError(join_faults([*faults, "restore the file"]))
    content = read_part(path, size)
    if sha256(content) != stated.sha256:
        raise ModelFileError(
            f"{path}: the SHA-256 is not the one in {manifest_path.name}; the two files do not belong "
            "together, or one is damaged"
        )
    return content


def unpack(data: bytes, manifest: Manifest) -> dict[str, Array]:
    """The tensors in `data`: exactly those that the network has. Raises `ModelFileError` with all faults."""
    name = manifest.weights.path
    try:
        found = dict(safetensors.deserialize(data))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{name} is not a whole safetensors file ({reason:.200})") from error
    needed = wanted(manifest)
    faults = []
    if missing := sorted(needed.keys() - found.keys()):
        faults.append(f"{name} lacks {', '.join(missing[:5])}")
    if not is_old(manifest) and (extra := sorted(found.keys() - needed.keys())):
        faults.append(f"{name} has the unknown {', '.join(f'{key!r:.60}' for key in extra[:5])}")
    arrays = {}
    for key in (key for key in needed if key in found):
        entry: Any = found[key]
        kinds, shape = needed[key]
        if entry["dtype"] not in kinds or tuple(entry["shape"]) != shape:
            got = f"{entry['dtype']} {tuple(entry['shape'])}"
            faults.append(f"{name}: {key} is {got}, the network needs {kinds[0]} {shape}")
        else:
            arrays[key] = np.frombuffer(entry["data"], KINDS[entry["dtype"]]).reshape(shape)
    if faults:
        raise ModelFileError(join_faults(faults))
    return arrays
