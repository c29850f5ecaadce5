"""Networks and samples for the tests of the ONNX family."""

from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import base, find
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.verification import Agreement, verify
from tests.networks import parts

TARGETS = ["onnx", "onnx-int", "onnx-qdq", "onnx-settle"]
PHYSICS: list[dict[str, Any]] = [
    {},
    {"layers": (12, 9, 4)},
    {"layers": (12, 9, 8, 7, 4)},
    {"saturation": 0.3},
    {"activation": "hard_sigmoid"},
    {"mechanism": "online", "feedback": "random"},
    {"mechanism": "learned"},
    {"schedule": {"tau_steps": 3.0, "tau_ghost_steps": 1.5, "t_free_steps": 14}, "lam": 0.3},
]


def trained_network(seed: int = 0, scale: float = 1 / 16, **physics: Any) -> Model:
    network, method = parts(**{"layers": (12, 9, 7, 4), "rule": "temporal", **physics})
    params, rng = initial_parameters(method.graph(network), seed), np.random.default_rng(seed)
    biases = tuple(rng.normal(0, 0.2, b.shape).astype(np.float32) for b in params.biases)
    labels = tuple(f"class {i}" for i in range(network.layers[-1]))
    params = params._replace(biases=biases)
    return Model(network, method, Learning(), params, scale, labels, "digits")


def samples(trained: Model, count: int = 80, low: float = 0, whole: bool = True) -> np.ndarray:
    """Raw samples."""
    rng, size = np.random.default_rng(5), (count, trained.network.layers[0])
    raw = rng.integers(0, 17, size) if whole else rng.uniform(low, 16, size)
    return raw.astype(np.float32)


def data(trained: Model, raw: np.ndarray) -> Dataset:
    classes = trained.network.layers[-1]
    y = (np.arange(len(raw)) % classes).astype(np.int64)
    x = raw * np.float32(trained.input_scale)
    return Dataset("digits", x, y, x, y, classes, trained.input_scale)


def exported(folder: Path, target: str, trained: Model, raw: np.ndarray, **options: Any) -> Path:
    return base.export(trained, target, folder / f"{target}.onnx", options, data(trained, raw)).paths[0]


def check(file: Path, trained: Model, raw: np.ndarray, runtime: str = "onnxruntime") -> Agreement:
    x = raw * np.float32(trained.input_scale)

    def reference(part: np.ndarray) -> np.ndarray:
        return find("onnx").expected(trained, {}, part / np.float32(trained.input_scale)).logits

    labels = reference(x).argmax(axis=1)
    return verify(file, trained, x, labels, reference=reference, runtime=runtime)
