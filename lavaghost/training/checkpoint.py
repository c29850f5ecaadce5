"""Checkpoints of a training run: one safetensors file, replaced atomically at the end of every epoch.

Everything that the rest of a run depends on is in it: the tensors of what learns (weights, velocities, a method's own
state), the epoch, the history, and the configuration that they belong to. Random streams are functions of seed and
epoch, so they need no state.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lavaghost.base.errors import ModelFileError
from lavaghost.base.files import read_regular, write_atomic
from lavaghost.datasets import Dataset

FILE_NAME = "checkpoint.safetensors"
VERSION = "2"
MAX_BYTES = 16 << 30
"""Largest checkpoint that is read: weights and velocities in double precision, as many as a network may have."""


class Checkpoint(NamedTuple):
    """Where a run stands after `epoch` epochs; `history` holds one row per epoch."""

    epoch: int
    tensors: dict[str, np.ndarray[Any, Any]]
    history: list[dict[str, Any]]
    belongs_to: str = ""


def identity(**parts: Any) -> str:
    """What a checkpoint belongs to; a run resumes only under the same text."""
    return json.dumps(parts, sort_keys=True)


def fingerprint(data: Dataset) -> str:
    """A short hash of the training set: labels in full, and every 97th value of the inputs."""
    found = hashlib.sha256(f"{data.x_train.shape}".encode())
    found.update(data.y_train.tobytes())
    found.update(np.ascontiguousarray(data.x_train.reshape(-1)[::97]).tobytes())
    return f"{data.name}:{found.hexdigest()[:16]}"


def save_checkpoint(
    folder: Path, belongs_to: str, epoch: int, tensors: Mapping[str, np.ndarray[Any, Any]], history: list[Any]
) -> None:
    """Replace the checkpoint in `folder`. Raises `OutputError` if that is impossible."""
    kept = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    meta = {
        "format": "lavaghost.checkpoint",
        "version": VERSION,
        "belongs_to": belongs_to,
        "epoch": str(epoch),
        "history": json.dumps(history),
    }
    meta["sha256"] = digest(kept, meta)
    write_atomic(folder / FILE_NAME, save_tensors(kept, metadata=meta))


def load_checkpoint(folder: Path, belongs_to: str | None) -> Checkpoint | None:
    """The checkpoint in `folder`, or None if there is none yet. Raises `ModelFileError` for any other.

    Without `belongs_to`, who asks looks at that himself.
    """
    path = folder / FILE_NAME
    try:
        data = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFileError(
            f"cannot read {path}: {error.strerror}; check its permissions, or remove it and train without --resume"
        ) from error
    try:
        tensors = {name: np.array(array) for name, array in load_tensors(data).items()}
        size = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + size])["__metadata__"]
        epoch, history = int(meta["epoch"]), json.loads(meta["history"])
        version, owner = meta["version"], meta["belongs_to"]
        intact = meta.pop("sha256") == digest(tensors, meta)
    # the parsers of damaged bytes do not say all that they may raise
    except Exception as error:
        raise ModelFileError(
            f"{path} is damaged ({error!s:.80}); remove it and train without --resume"
        ) from error
    if version != VERSION:
        raise ModelFileError(f"{path} has version {version}, this release reads {VERSION}; train anew")
    if not intact:
        raise ModelFileError(f"{path} is damaged (its sha256 differs); remove it and train without --resume")
    if belongs_to is not None and owner != belongs_to:
        raise ModelFileError(
            f"{path} belongs to another run ({differences(owner, belongs_to)}); resume with the same "
            "configuration and data, or choose another --out"
        )
    return Checkpoint(epoch, tensors, history, owner)


def digest(tensors: Mapping[str, np.ndarray[Any, Any]], meta: Mapping[str, str]) -> str:
    """SHA-256 over all metadata, and over name, type, shape and bytes of every tensor."""
    found = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def differences(saved: str, wanted: str) -> str:
    """Where two texts of `identity` differ, such as `learning.seed: 0, now 1`."""

    def flat(value: Any, path: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {path: value}
        return {k: v for key, part in value.items() for k, v in flat(part, f"{path}.{key}").items()}

    a, b = flat(json.loads(saved)), flat(json.loads(wanted))
    return ", ".join(f"{key[1:]}: {a.get(key)}, now {b.get(key)}" for key in a | b if a.get(key) != b.get(key))
