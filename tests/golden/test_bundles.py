"""What commit 5352303 saved goes on loading, and goes on giving what it gave; make_bundles.py wrote both.

The functions before `BUNDLES` are all that knows names of the package.
"""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import scipy

from lavaghost.datasets import Dataset, scaled_to
from lavaghost.errors import LavaGhostError
from lavaghost.evaluation import evaluate, integer_form
from lavaghost.exporters import base
from lavaghost.exporters.from_onnx import import_onnx
from lavaghost.hardware.config import load as chip
from lavaghost.hardware.mapper import map_network
from lavaghost.learning.integer_spec import IntegerLearning
from lavaghost.pipeline import OnLava, train_and_save, train_integers_and_save
from lavaghost.quantize import quantize
from lavaghost.spec import parse
from lavaghost.trained import TrainedNetwork

HERE = Path(__file__).parent / "bundles"
LAVA_SAMPLES = 400
"""Training samples of the bundle that learned on Lava."""


def opened(name: str) -> TrainedNetwork:
    return TrainedNetwork.load(HERE / name)


def stated(trained: TrainedNetwork) -> dict[str, Any]:
    """What it says of itself."""
    learning = trained.learning.model_dump(mode="json")
    schedule = trained.record.get("integer_learning", learning)
    return {"labels": list(trained.labels), "input_scale": trained.input_scale, "schedule": schedule}


def inputs(trained: TrainedNetwork, digits: Dataset) -> Dataset:
    """The digits as its rates."""
    return scaled_to(digits, trained.input_scale)


def answered(trained: TrainedNetwork, x: Any, y: Any, run: str) -> tuple[Any, float]:
    """Outputs `(samples, n_L)` of the free phase and the accuracy; `run` is ENGINE.ARITHMETIC."""
    engine, arithmetic = run.split(".")
    found = evaluate(trained, x, y, engine, arithmetic="loihi" if arithmetic == "loihi" else "float")
    return found.outputs, found.accuracy


def exported(trained: TrainedNetwork, name: str, folder: Path, data: Dataset) -> Path | str:
    """The file that an exporter writes, or the name of the error that it raises."""
    try:
        target = folder / f"model{base.find(name).suffix}"
        return base.export(trained, name, target, calibration=data).paths[0]
    except LavaGhostError as error:
        return type(error).__name__


def on_loihi1(trained: TrainedNetwork, phase: Any) -> dict[str, Any]:
    found = map_network(trained.network, chip("loihi1"), phase)
    return {
        "neurons": found.graph.neurons,
        "synapses": found.graph.synapses,
        "cores": found.needed,
        "status": found.status,
    }


def learned_again(trained: TrainedNetwork, data: Dataset, folder: Path) -> TrainedNetwork:
    """The same run from the beginning."""
    on_lava = OnLava(limit=LAVA_SAMPLES) if trained.learning.engine == "lava" else OnLava()
    if "integer_learning" not in trained.record:
        return train_and_save(trained.network, trained.learning, data, folder, on_lava=on_lava)[0]
    schedule = dict(trained.record["integer_learning"])
    learning = parse(IntegerLearning, {**schedule, "halve_at": tuple(schedule["halve_at"])})
    widths = integer_form(trained).widths
    return train_integers_and_save(trained.network, learning, data, folder, widths=widths)[0]


def made_again(name: str, digits: Dataset) -> TrainedNetwork:
    """The two that were not trained, made again from what they were made of."""
    if name == "imported":
        return import_onnx(HERE.parent / "onnx" / "torch_relu_script.onnx")
    return quantize(opened("duplicate_tied"), digits).trained


def weights(trained: TrainedNetwork) -> dict[str, Any]:
    """Its arrays by name, float32."""
    return trained.params.named()


BUNDLES = sorted(path.name for path in HERE.iterdir() if path.is_dir())
EXPECTED: dict[str, Any] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
MACHINE: dict[str, str] = json.loads((HERE / "machine.json").read_text(encoding="utf-8"))
with np.load(HERE / "expected.npz", allow_pickle=False) as _arrays:
    ARRAYS = dict(_arrays)
SAMPLES = 40
EVERYWHERE = ("integers_duplicate", "integers_learned", "integers_shared", "stepped")
"""Their weights came out the same on every BLAS that was tried; those of the equilibrium engine did not."""
FLOAT32, FLOAT64 = 1e-6, 1e-14
"""Most that outputs of an equilibrium and of a stepped engine differ on a BLAS that rounds otherwise, as a share of the
largest; measured with OpenBLAS kernels without fused multiply-add: 4.4e-7 and 3.3e-16."""
NEAR = 0.15
"""Most that its accuracy differs after training there, where one rounding leads to other weights; measured: 0.064."""
every_bundle = pytest.mark.parametrize("name", BUNDLES)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def rounds_alike() -> bool:
    """Whether matrix products have the bits that they had where the bundles were made."""
    rng, products = np.random.default_rng(0), b""
    for n, m in pairwise((64, 16, 12, 10)):
        a, b = rng.standard_normal((SAMPLES, n)), rng.standard_normal((m, n))
        products += (a @ b.T).tobytes()
    return digest(products) == MACHINE["products"]


def assert_same_outputs(run: str, found: Any, expected: Any) -> None:
    largest = float(np.abs(expected).max())
    if run == "stepped.loihi":
        np.testing.assert_array_equal(found, expected)
    elif run == "stepped.float":
        np.testing.assert_allclose(found, expected, rtol=0, atol=0 if rounds_alike() else FLOAT64 * largest)
    elif rounds_alike():
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT32 * largest)


def assert_same_weights(found: TrainedNetwork, expected: TrainedNetwork) -> None:
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys()
    for key, array in ours.items():
        np.testing.assert_array_equal(array, theirs[key], err_msg=key)


def test_every_bundle_has_its_figures():
    assert set(EXPECTED) == set(BUNDLES)
    assert len(BUNDLES) == 15


@every_bundle
def test_it_says_the_same_of_itself(name):
    said = stated(opened(name))
    assert said == {key: EXPECTED[name][key] for key in said}


@every_bundle
def test_every_engine_gives_the_same_outputs(name, digits):
    trained = opened(name)
    data = inputs(trained, digits)
    x, y = ARRAYS.get(f"{name}.x", data.x_test[:SAMPLES]), data.y_test[:SAMPLES]
    for run in EXPECTED[name]["accuracy"]:
        assert_same_outputs(run, answered(trained, x, y, run)[0], ARRAYS[f"{name}.{run}"])


@every_bundle
def test_every_engine_finds_as_many_of_the_test_set(name, digits):
    trained = opened(name)
    data = inputs(trained, digits)
    found = {run: answered(trained, data.x_test, data.y_test, run)[1] for run in EXPECTED[name]["accuracy"]}
    assert found == EXPECTED[name]["accuracy"]


@every_bundle
def test_every_exporter_writes_the_same_file(name, digits, tmp_path):
    trained = opened(name)
    data = inputs(trained, digits)
    files, graphs = {}, {}
    for exporter in EXPECTED[name]["files"]:
        written = exported(trained, exporter, tmp_path, data)
        files[exporter] = written if isinstance(written, str) else digest(written.read_bytes())
        if isinstance(written, Path) and written.suffix == ".onnx":
            graphs[exporter] = digest(onnx.load(written).graph.SerializeToString(deterministic=True))
    assert graphs == EXPECTED[name]["graphs"]
    assert files == EXPECTED[name]["files"]


@every_bundle
@pytest.mark.parametrize("phase", ["inference", "learning"])
def test_it_takes_the_same_of_a_chip(name, phase):
    assert on_loihi1(opened(name), phase) == EXPECTED[name]["loihi1"][phase]


@pytest.mark.parametrize("name", EVERYWHERE)
def test_learning_again_gives_the_same_weights(name, digits, tmp_path):
    assert_same_weights(learned_again(opened(name), digits, tmp_path), opened(name))


@pytest.mark.parametrize("name", ["imported", "quantised"])
def test_made_again_it_has_the_same_weights(name, digits):
    assert_same_weights(made_again(name, digits), opened(name))


@pytest.mark.lava
def test_learning_again_on_lava_gives_the_same_weights(digits, tmp_path):
    assert_same_weights(learned_again(opened("lava"), digits, tmp_path), opened("lava"))


@pytest.mark.parametrize("name", sorted(set(BUNDLES) - {*EVERYWHERE, "lava", "quantised", "imported"}))
def test_learning_again_in_equilibrium_gives_the_same_weights(name, digits, tmp_path):
    """To the bit where the libraries are the same and round alike; elsewhere only a network as good."""
    expected = opened(name)
    found = learned_again(expected, digits, tmp_path)
    if rounds_alike() and (MACHINE["numpy"], MACHINE["scipy"]) == (np.__version__, scipy.__version__):
        assert_same_weights(found, expected)
        return
    run = "equilibrium.float"
    accuracy = answered(found, inputs(found, digits).x_test, digits.y_test, run)[1]
    assert accuracy == pytest.approx(EXPECTED[name]["accuracy"][run], abs=NEAR)
