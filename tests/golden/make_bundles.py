"""Wrote bundles/: saved networks of format 1.0, and what the code of that day made of them.

Made with commit 5352303, Python 3.10.13, numpy 1.26.4 and scipy 1.15.3. Newer code must never run this again: the
files are what version 1.0 wrote, and test_bundles.py holds newer code to them. For the same reason it is in the words
of that commit, imports nothing from the tests, and pyright passes over it.

    bundles/NAME/model.yaml, model.safetensors    one saved network for each entry of BUNDLES
    bundles/expected.npz    NAME.ENGINE.ARITHMETIC: outputs of the free phase (40, n_L), for the first 40 test samples
                            of the digits; imported.x: the 40 samples that the imported network got instead
    bundles/expected.json   for each NAME: `labels`, `input_scale`, `schedule` (what the run says of itself),
                            `accuracy` on the whole test set by engine and arithmetic,
                            `files` (SHA-256 of what each exporter writes, or the name of the error that it raises),
                            `graphs` (SHA-256 of an ONNX file's graph alone, without the file's metadata),
                            `loihi1` (neurons, synapses, needed cores and status, for inference and for learning)
    bundles/machine.json    numpy and scipy, and how the BLAS rounded: SHA-256 of three products

Integers, the files of exporters, and weights learned by the stepped engine, Lava and integers came out the same, to
the bit, with Python 3.10 and 3.13, and with OpenBLAS kernels for Zen, Haswell, Sandy Bridge and Prescott. Outputs of
the float engines are the same on the first two alone; the others, without fused multiply-add, round otherwise.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import scipy

from lavaghost.arithmetic import Array
from lavaghost.config import RunConfig, integer_run
from lavaghost.datasets import Dataset, load, scaled_to
from lavaghost.errors import LavaGhostError
from lavaghost.evaluation import evaluate, integer_outputs, outputs, stepped_outputs
from lavaghost.exporters import base
from lavaghost.exporters.from_onnx import import_onnx
from lavaghost.hardware import config
from lavaghost.hardware.mapper import map_network
from lavaghost.learning.integer_spec import suited_fraction
from lavaghost.names import ArithmeticName, Phase
from lavaghost.pipeline import OnLava, train_and_save, train_integers_and_save
from lavaghost.quantize import quantize
from lavaghost.spec import parse
from lavaghost.trained import TrainedNetwork
from lavaghost.widths import DEFAULT

HERE = Path(__file__).parent
OUT = HERE / "bundles"
SAMPLES = 40
EXPORTERS = (
    "netx-cuba", "netx-sdnn", "nir-cubalif", "nir-if", "onnx", "onnx-int", "onnx-qdq", "onnx-settle", "sanafe",
)  # fmt: skip
PHASES: tuple[Phase, ...] = ("inference", "learning")
SHORT = {"epochs": 2, "batch_size": 10}
DIGITS = load("digits")


def learned(run: dict[str, Any]) -> TrainedNetwork:
    """A float run on the digits: the sections of a configuration file; 64-16-12-10 and SHORT unless it says more."""
    found = parse(RunConfig, {"hidden": [16, 12], **run, "learning": {**SHORT, **run.get("learning", {})}})
    network = found.network_for(DIGITS.n_inputs, DIGITS.n_classes)
    with tempfile.TemporaryDirectory() as folder:
        on_lava = OnLava(limit=400) if found.learning.engine == "lava" else OnLava()
        return train_and_save(network, found.learning, DIGITS, Path(folder), on_lava=on_lava)[0]


def in_integers(run: dict[str, Any]) -> TrainedNetwork:
    """A run in the integers of Lava's Loihi; 64-16-12-10."""
    found = parse(RunConfig, {"hidden": [16, 12], "arithmetic": "loihi", **run})
    widths = replace(DEFAULT, state_fraction=suited_fraction(found.network))
    network, learning = integer_run(found, DIGITS, widths)
    with tempfile.TemporaryDirectory() as folder:
        return train_integers_and_save(network, learning, DIGITS, Path(folder), widths=widths)[0]


def quantised() -> TrainedNetwork:
    """`lavaghost quantize` of the first bundle, 8 bits."""
    trained = TrainedNetwork.load(OUT / "duplicate_tied")
    return quantize(trained, scaled_to(DIGITS, trained.input_scale)).trained


def imported() -> TrainedNetwork:
    """A classifier made by PyTorch, which takes raw samples, imported without a data set."""
    return import_onnx(HERE / "onnx" / "torch_relu_script.onnx")


TEMPORAL = {"rule": "temporal", "seed": 3}
UNUSUAL = {"tau_steps": 3.0, "tau_ghost_steps": 1.5, "t_free_steps": 41, "t_nudge_steps": 23}
BUNDLES: dict[str, Callable[[], TrainedNetwork]] = {
    "duplicate_tied": lambda: learned({}),
    "learned_random": lambda: learned(
        {
            "network": {"mechanism": "learned", "feedback": "random"},
            "learning": {**TEMPORAL, "batch_size": 50, "ghosts": {"pretrain_batches": 300, "mu": 0.4, "gate": 0.7}},
        }
    ),
    "online_tied": lambda: learned({"network": {"mechanism": "online"}, "learning": {**TEMPORAL, "sweeps": 3}}),
    "backprop": lambda: learned({"learning": {"method": "backprop"}}),
    "frozen": lambda: learned({"learning": {"method": "frozen", "seed": 2}}),
    "hard_sigmoid": lambda: learned(
        {
            "hidden": [16],
            "network": {"activation": "hard_sigmoid", "loss": "squared_error"},
            "learning": {"eta": 0.2, "momentum": 0.5},
        }
    ),
    "saturated": lambda: learned({"hidden": [16], "network": {"saturation": 1.5}}),
    "stepped": lambda: learned({"hidden": [16], "learning": {"engine": "stepped", "epochs": 1}}),
    "deep": lambda: learned(
        {
            "network": {"lam": 0.0625, "beta": 0.2, "schedule": UNUSUAL, "feedback": "random"},
            "learning": {
                "eta_decay": "cosine", "batch_size": 20, "momentum": 0.8, "weight_decay": 0.0, "seed": 11,
                "tolerance": 1e-4, "sweeps": 50,
            },
        }
    ),
    "lava": lambda: learned(
        {
            "hidden": [12],
            "network": {
                "lam": 0.25, "beta": 0.5,
                "schedule": {"tau_steps": 1.0, "tau_ghost_steps": 1.0, "t_free_steps": 3, "t_nudge_steps": 2},
            },
            "learning": {
                "engine": "lava", "epochs": 1, "batch_size": 1, "momentum": 0.0, "weight_decay": 0.0, "eta": 0.05,
            },
        }
    ),
    "integers_duplicate": lambda: in_integers({"integer": {"epochs": 4}}),
    "integers_learned": lambda: in_integers(
        {
            "network": {"mechanism": "learned"},
            "integer": {"rule": "temporal", "epochs": 2, "pretrain_samples": 3000, "seed": 5},
        }
    ),
    "integers_shared": lambda: in_integers(
        {"integer": {"epochs": 4, "rounding": "shared", "halve_at": (0.5, 0.75), "eta_exponent": -5, "seed": 7}}
    ),
    "quantised": quantised,
    "imported": imported,
}  # fmt: skip


def engines(trained: TrainedNetwork) -> list[tuple[str, ArithmeticName]]:
    """Engine and arithmetic of everything that runs it here; Lava is the stepped engine to the bit."""
    found: list[tuple[str, ArithmeticName]] = [("equilibrium", "float"), ("stepped", "float")]
    return [*found, ("stepped", "loihi")] if "integer" in trained.record else found


def answer(trained: TrainedNetwork, x: Array, engine: str, arithmetic: str) -> Array:
    """Outputs of the free phase `(samples, n_L)`."""
    run = outputs if engine == "equilibrium" else stepped_outputs if arithmetic == "float" else integer_outputs
    return run(trained, x)


def digest(data: bytes) -> str:
    """The SHA-256."""
    return hashlib.sha256(data).hexdigest()


def written(trained: TrainedNetwork, data: Dataset, name: str) -> tuple[str, str | None]:
    """The SHA-256 of the file of one exporter, or the name of its error; and that of an ONNX file's graph."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = base.export(trained, name, Path(folder) / f"model{base.find(name).suffix}", None, data)
        except LavaGhostError as error:
            return type(error).__name__, None
        file, _sidecar = report.paths
        content = file.read_bytes()
    if file.suffix != ".onnx":
        return digest(content), None
    graph = onnx.load_model_from_string(content).graph
    return digest(content), digest(graph.SerializeToString(deterministic=True))


def on_chip(trained: TrainedNetwork, phase: Phase) -> dict[str, Any]:
    """What it takes of a Loihi 1."""
    found = map_network(trained.network, config.load("loihi1"), phase)
    return {
        "neurons": found.graph.neurons,
        "synapses": found.graph.synapses,
        "cores": found.needed,
        "status": found.status,
    }


def samples(trained: TrainedNetwork, name: str) -> Array:
    """The samples whose outputs are kept."""
    if name == "imported":
        return np.random.default_rng(1).uniform(0, 16, (SAMPLES, trained.network.layers[0])).astype(np.float32)
    return scaled_to(DIGITS, trained.input_scale).x_test[:SAMPLES]


def facts(trained: TrainedNetwork, name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The entry of expected.json, and the arrays of expected.npz."""
    data = scaled_to(DIGITS, trained.input_scale)
    runs = engines(trained)
    arrays = {f"{name}.{e}.{a}": answer(trained, samples(trained, name), e, a) for e, a in runs}
    if name == "imported":
        arrays[f"{name}.x"] = samples(trained, name)
    accuracy = {
        f"{e}.{a}": evaluate(trained, data.x_test, data.y_test, e, arithmetic=a).accuracy for e, a in runs
    }
    files = {exporter: written(trained, data, exporter) for exporter in EXPORTERS}
    return {
        "labels": list(trained.labels),
        "input_scale": trained.input_scale,
        "schedule": trained.record.get("integer_learning", trained.learning.model_dump(mode="json")),
        "accuracy": accuracy,
        "files": {exporter: file for exporter, (file, _) in files.items()},
        "graphs": {exporter: graph for exporter, (_, graph) in files.items() if graph},
        "loihi1": {phase: on_chip(trained, phase) for phase in PHASES},
    }, arrays


def machine() -> dict[str, str]:
    """What may round otherwise elsewhere."""
    rng, sizes = np.random.default_rng(0), (64, 16, 12, 10)
    products = b""
    for n, m in pairwise(sizes):
        a, b = rng.standard_normal((SAMPLES, n)), rng.standard_normal((m, n))
        products += (a @ b.T).tobytes()
    return {"numpy": np.__version__, "scipy": scipy.__version__, "products": digest(products)}


def lines(values: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each fact."""
    entries = [
        f'"{name}": {{\n' + ",\n".join(f' "{key}": {json.dumps(fact)}' for key, fact in facts.items()) + "\n}"
        for name, facts in values.items()
    ]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def main(again: bool) -> None:
    """Write everything; with `again` only what the bundles that are there give, for a comparison of two machines."""
    values: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, make in BUNDLES.items():
        if not again:
            shutil.rmtree(OUT / name, ignore_errors=True)
            make().save(OUT / name)
        values[name], own = facts(TrainedNetwork.load(OUT / name), name)
        arrays |= own
        print(name, values[name]["accuracy"])
    folder = Path(sys.argv[1]) if again else OUT
    (folder / "expected.json").write_text(lines(values), encoding="utf-8")
    (folder / "machine.json").write_text(json.dumps(machine()) + "\n", encoding="utf-8")
    np.savez_compressed(folder / "expected.npz", **arrays)


if __name__ == "__main__":
    main(again=len(sys.argv) > 1)
