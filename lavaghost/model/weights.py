"""The weights file of a saved network: safetensors, read only after its size and hash were found right."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from lavaghost.base.errors import ModelFileError, join_faults
from lavaghost.base.files import inside, read_regular, sha256
from lavaghost.model.manifest import Manifest
from lavaghost.net.parameters import Parameters, shapes

MAX_WEIGHT_BYTES = 4 << 30
"""Largest weights file that is read; 1e9 connections, above any network that these methods train."""


def pack(params: Parameters) -> bytes:
    """The file's bytes; the same for equal parameters."""
    little = {name: a.astype("<f4", copy=False) for name, a in params.named().items()}
    return safetensors.numpy.save(little)


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
    wanted = shapes(manifest.network)
    data = 4 * sum(math.prod(shape) for shape in wanted.values())
    # the header has an 8-byte length, and per tensor a name, a type, a shape and two offsets
    high = data + 8 + 4096 + 256 * len(wanted)
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


def unpack(data: bytes, manifest: Manifest) -> Parameters:
    """The tensors in `data`: exactly those that the network has. Raises `ModelFileError` with all faults."""
    name = manifest.weights.path
    try:
        found = dict(safetensors.deserialize(data))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{name} is not a whole safetensors file ({reason:.200})") from error
    wanted = shapes(manifest.network)
    faults = []
    if missing := sorted(wanted.keys() - found.keys()):
        faults.append(f"{name} lacks {', '.join(missing[:5])}")
    if extra := sorted(found.keys() - wanted.keys()):
        faults.append(f"{name} has the unknown {', '.join(f'{key!r:.60}' for key in extra[:5])}")
    arrays = {}
    for key in (key for key in wanted if key in found):
        entry: Any = found[key]
        if entry["dtype"] != "F32" or tuple(entry["shape"]) != wanted[key]:
            got = f"{entry['dtype']} {tuple(entry['shape'])}"
            faults.append(f"{name}: {key} is {got}, the network needs F32 {wanted[key]}")
        else:
            arrays[key] = np.frombuffer(entry["data"], "<f4").reshape(wanted[key])
    if faults:
        raise ModelFileError(join_faults(faults))
    return Parameters.from_named(manifest.network, arrays)
