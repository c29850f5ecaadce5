"""Hostile configurations, chips, data sets and checkpoints, and hostile texts on their way to the terminal."""

import contextlib
import gzip
import io
import json
import random
import struct
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.cli import run
from lavaghost.cli.console import HIDDEN
from lavaghost.datasets import load
from lavaghost.hardware.catalogue import load_chip
from lavaghost.methods.optimiser import Momentum
from lavaghost.run.spec import read_spec
from lavaghost.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from tests.fuzz.bundles import forged_lines
from tests.fuzz.forge import INTEGERS
from tests.fuzz.mutate import OURS, damaged

Files = dict[str, bytes]

RUN = b"""dataset: digits
hidden: [128, 64]
network: {activation: relu, saturation: 2.0}
method: {name: ghost, mechanism: learned, lam: 0.03, schedule: {tau_steps: 3.0}}
learning:
  arithmetic: float
  epochs: 30
  seed: 1
  eta: 0.05
"""
IN_INTEGERS = b"""dataset: digits
hidden: [128, 64]
method: frozen
learning:
  arithmetic: loihi
  eta: 0.05
  halve_at: [0.5, 0.75]
lava: {limit: 400, record: [1, 2]}
hardware: loihi1
state_fraction: 14
"""


def configuration(rng: random.Random) -> Files:
    """A damaged or forged run.yaml."""
    return {"run.yaml": forged_lines(rng.choice([RUN, IN_INTEGERS]), rng)}


@cache
def _chips() -> tuple[bytes, ...]:
    folder = files("lavaghost.hw_configs")
    return tuple(sorted(entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def chip(rng: random.Random) -> Files:
    """A damaged or forged hardware configuration."""
    return {"chip.yaml": forged_lines(rng.choice(_chips()), rng)}


@cache
def _images() -> Files:
    rng = np.random.default_rng(0)
    found = {}
    for name, n in (("train", 12), ("t10k", 6)):
        x, y = rng.integers(0, 256, (n, 2, 3), np.uint8), (np.arange(n) % 3).astype(np.uint8)
        found[f"{name}-images-idx3-ubyte"] = struct.pack(">HBB3I", 0, 8, 3, *x.shape) + x.tobytes()
        found[f"{name}-labels-idx1-ubyte"] = struct.pack(">HBBI", 0, 8, 1, n) + y.tobytes()
    return found


def idx(rng: random.Random) -> Files:
    """Four IDX files of which one is forged or damaged, some of them packed."""
    made = dict(_images())
    name = rng.choice(list(made))
    data = bytearray(made[name])
    kind = rng.randrange(4)
    if kind == 0:
        at = 4 * rng.randint(1, data[3])
        data[at : at + 4] = struct.pack(">I", rng.choice(INTEGERS) % 2**32)
    elif kind == 1:
        data[rng.randrange(4)] = rng.randrange(256)
    made[name] = bytes(data) if kind < 3 else damaged(bytes(data), rng, made[name])
    for other in list(made):
        if rng.random() < 0.3:
            packed = gzip.compress(made.pop(other), mtime=0)
            made[other + ".gz"] = damaged(packed, rng, packed) if rng.random() < 0.2 else packed
    if rng.random() < 0.02:
        made[name + ".gz"] = gzip.compress(made.pop(name, b"") + bytes(1 << 26), mtime=0)
    return made


def npz(rng: random.Random) -> Files:
    """An .npz file with other types, shapes and sizes than it should have, or damaged."""
    noise = np.random.default_rng(rng.randrange(2**32))
    x, y = noise.random((9, 4)), np.arange(9) % 3
    arrays: dict[str, Any] = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    for _ in range(rng.choice([0, 1, 1, 2])):
        key = rng.choice(list(arrays))
        forged = rng.choice(
            [
                lambda a: a.astype(rng.choice(["u1", "i8", "f2", "c8", "U3", "S2", "?", ">f4"])),
                lambda a: a[: rng.randrange(3)],
                lambda a: a * rng.choice([1e300, -1e9, 0, np.nan, np.inf, 255]),
                lambda a: np.asfortranarray(a.reshape(-1, 1)),
                lambda a: a.reshape(len(a), -1, *[1] * 20),
                lambda a: np.eye(3)[: len(a)],
                lambda a: a.astype("M8[s]") if a.ndim == 1 else a,
            ]
        )
        with contextlib.suppress(ValueError, TypeError, RuntimeError):  # not every forgery goes on every other
            arrays[key] = forged(arrays[key])
    if rng.random() < 0.2:
        arrays[rng.choice(["x", "../x", "labels", "y_train.npy", "X_train\x1b[2J"])] = x
    stream = io.BytesIO()
    with np.errstate(all="ignore"):
        (np.savez_compressed if rng.random() < 0.5 else np.savez)(stream, **arrays)
    data = stream.getvalue()
    return {"data.npz": damaged(data, rng, data) if rng.random() < 0.4 else data}


OWNER = '{"network": {"layers": [8, 6, 4, 3]}}'
"""The run that the checkpoint belongs to."""


@cache
def _checkpoint() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        velocities = Momentum(OURS.graph, OURS.params, 0.9, 0.0).named()
        tensors = {f"parameters.{name}": array for name, array in OURS.params.named().items()}
        tensors |= {f"velocity.{name}": array for name, array in velocities.items()}
        save_checkpoint(Path(folder), OWNER, 1, tensors, [{"epoch": 0, "accuracy": 0.5}])
        return (Path(folder) / FILE_NAME).read_bytes()


def checkpoint(rng: random.Random) -> Files:
    """A damaged checkpoint, or one with other words in its header."""
    data = _checkpoint()
    if rng.random() < 0.1:
        return {FILE_NAME: data}
    if rng.random() < 0.4:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        meta = header["__metadata__"]
        key = rng.choice(list(meta))
        meta[key] = rng.choice([*map(str, INTEGERS), "[" * 50_000, "", "{}", "\x1b[2J", "9" * 5000])
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + data[8 + size :]
    else:
        data = damaged(data, rng, data)
    return {FILE_NAME: data}


ALPHABET = "a1 [/]:\\\"'{}\n\r\t\x00\x07\x1b\x7f\x85\x9b\u2028\u202e\u200b\ufeff\U0001f600\U000e0041ü"
UNITS = ("\x1b[2J", "\x1b]0;title\x07", "[bold]", "[/x]", "[link=x]", "\x9b31m", "\r", "\u202e", "x" * 200)


def _hostile(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return "".join(rng.choice(UNITS) for _ in range(rng.randint(1, 5)))
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 60)))


def texts(rng: random.Random) -> Files:
    """A saved network with hostile names, now and then damaged, so that an error has to name it."""
    labels = tuple(f"{i}{_hostile(rng)}" for i in range(3))
    record = {"imported": {"folded": [_hostile(rng)]}, "result": {"cosines": [1.0]}}
    manifest, weights = replace(OURS, labels=labels, dataset=_hostile(rng), record=record)._files()
    if rng.random() < 0.6:
        manifest = forged_lines(manifest[: manifest.rindex(b"#")], rng)
    return {"model.yaml": manifest, "model.safetensors": weights}


def shown(folder: Path) -> None:
    """What `lavaghost info` shows of a network must not act on a terminal. Raises `SpecError` where it is refused."""
    for arguments in (["info", str(folder)], ["info", str(folder), "--json"]):
        err, out = io.StringIO(), io.StringIO()
        kept = sys.stderr
        sys.stderr = err
        try:
            with contextlib.redirect_stdout(out):
                code = run(arguments)
        finally:
            sys.stderr = kept
        text = err.getvalue() + out.getvalue()
        acting = {c for c in text if c != "\n" and unicodedata.category(c) in HIDDEN}
        if acting or "internal error" in text:
            raise RuntimeError(f"showed {acting!r}, {text!r:.150}")
        if code:
            raise SpecError("refused")
        if out.getvalue():
            json.loads(out.getvalue())


READERS: dict[str, tuple[Callable[[random.Random], Files], Callable[[Path], Any]]] = {
    "configuration": (configuration, lambda folder: read_spec(folder / "run.yaml")),
    "chip": (chip, lambda folder: load_chip(folder / "chip.yaml")),
    "idx": (idx, lambda folder: load(str(folder))),
    "npz": (npz, lambda folder: load(str(folder / "data.npz"))),
    "checkpoint": (checkpoint, lambda folder: load_checkpoint(folder, OWNER)),
    "console": (texts, shown),
}
"""Name of a reader -> what makes its files from random numbers, and what reads them."""
