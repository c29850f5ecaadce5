"""Hostile ONNX files, from seeds of our own and of other tools; and damage to the bytes of any file."""

import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import available, export, find
from lavaghost.exporters.onnx.inference import onnx_graph
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.settings import IntegerLearning, suited
from tests.fuzz.forge import FORGERIES
from tests.networks import parts

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
RECORD = {"accuracy": 0.9, "rows": [1, 2, {"a": None}]}


def trained_network(**physics: Any) -> Model:
    """A small network as it is saved and exported."""
    network, method = parts(layers=(8, 6, 4, 3), rule="temporal", **physics)
    params = initial_parameters(method.graph(network), 0)
    return Model(network, method, Learning(epochs=1), params, 1 / 16, ("a", 1, "c"), "digits", RECORD)


def integer_network() -> Model:
    """The same as learned in integers."""
    network, method = suited(*parts(layers=(8, 6, 4, 3)))
    graph = method.graph(network)
    integers = initial_integers(graph, 0, default_formats(graph), DEFAULT)
    learning = IntegerLearning(epochs=1)
    return Model(network, method, learning, integers, 1 / 16, ("a", 1, "c"), "digits", RECORD)


OURS = trained_network()


@cache
def own_seeds() -> tuple[bytes, ...]:
    """Our own exports, of every kind that is an ONNX file."""
    rng = np.random.default_rng(0)
    x, y = rng.random((30, OURS.network.layers[0])).astype(np.float32), np.arange(30) % OURS.network.layers[-1]
    data = Dataset("digits", x, y, x, y, OURS.network.layers[-1], OURS.input_scale)
    made = [onnx_graph(trained_network(saturation=0.5)), onnx_graph(trained_network(activation="hard_sigmoid"))]
    found = [model.SerializeToString() for model in made]
    with tempfile.TemporaryDirectory() as folder:
        for name in available():
            if find(name).suffix == ".onnx":
                path = export(OURS, name, Path(folder) / f"{name}.onnx", calibration=data).paths[0]
                found.append(path.read_bytes())
    return tuple(found)


@cache
def onnx_seeds() -> tuple[bytes, ...]:
    """Our own exports and the small golden files of other tools."""
    return (*own_seeds(), *(path.read_bytes() for path in sorted(GOLDEN.glob("*.onnx"))))


def onnx_input(rng: random.Random, own: bool) -> bytes:
    """A damaged or forged ONNX file; `own` starts from our own exports only."""
    data = rng.choice(own_seeds() if own else onnx_seeds())
    if rng.random() < 0.65:
        model = onnx.load_model_from_string(data)
        for _ in range(rng.randint(1, 3)):
            rng.choice(FORGERIES)(model, rng)
        data = model.SerializeToString()
    if rng.random() < 0.03:
        data += bottomless(rng.choice([40, 2000]))
    if rng.random() < 0.1:
        data = data.replace(rng.choice([b"input", b"Gemm", b"logits", b"weights"]), b"\xff\xfe\xfd\xfc", 1)
    return damaged(data, rng, rng.choice(onnx_seeds())) if rng.random() < 0.4 else data


def bottomless(depth: int) -> bytes:
    """Subgraphs in subgraphs, deeper than protobuf reads, as bytes that a message is continued with."""

    def field(number: int, content: bytes) -> bytes:
        length, left = b"", len(content)
        while left > 127:
            length, left = length + bytes([left % 128 + 128]), left // 128
        return bytes([number * 8 + 2]) + length + bytes([left]) + content

    inner = b""
    for _ in range(depth):
        inner = field(1, field(5, field(1, b"body") + field(6, inner)))
    return field(7, inner)


def damaged(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A few flips, cuts, splices and bombs of bytes."""
    for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
        at, n = rng.randrange(len(data) + 1), rng.choice([1, 2, 8, 40, 400])
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at + n :]
        elif kind == 3:
            start = rng.randrange(len(other))
            data = data[:at] + other[start : start + n] + data[at:]
        elif kind == 4:
            data = data[:at] + data[at : at + n] * rng.choice([2, 10, 100]) + data[at + n :]
        elif kind == 5:  # the length of a field of protobuf or safetensors, or what is not text
            bomb = rng.choice(
                [b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x7f" * 8, b"\x00" * 8, b"\xed\xa0\x80"]
            )
            data = data[:at] + bomb + data[at + len(bomb) :]
        else:
            data = data[:at] + rng.randbytes(n) + data[at + n :]
    return data
