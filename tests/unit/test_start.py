"""Training that starts from a saved network: what is taken, what is drawn, and that a resumed run knows its start."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lavaghost.base.errors import LavaGhostWarning, ModelFileError, SpecError
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from lavaghost.run.pipeline import check_start, scaled_for
from lavaghost.training.checkpoint import FILE_NAME
from lavaghost.training.loop import train
from tests.unit.test_resume import RUNS

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
NETWORK, LEARNING = Network(layers=(64, 32, 10)), Learning(epochs=2, batch_size=48, eta=0.05)
START = initial_parameters(NETWORK, 7)


def test_no_epochs_leave_the_start_as_it_is(digits: Dataset) -> None:
    for engine in ("equilibrium", "stepped"):
        learning = Learning(epochs=0, engine=engine)
        run = train(NETWORK, learning, digits, start=START, diagnostics=False)
        for key, array in run.params.named().items():
            np.testing.assert_array_equal(array, START.named()[key])
            assert array.dtype == (np.float64 if engine == "stepped" else np.float32)
    assert not np.shares_memory(run.params.weights[0], START.weights[0])


def test_training_changes_a_copy(digits: Dataset) -> None:
    kept = START.astype(np.float32)
    run = train(NETWORK, LEARNING, digits, start=START, diagnostics=False)
    assert run.history[-1]["accuracy"] > run.history[0]["accuracy"] + 0.3
    for key, array in START.named().items():
        np.testing.assert_array_equal(array, kept.named()[key])


@pytest.mark.parametrize("fields", [{"mechanism": "learned"}, {"feedback": "random"}])
def test_what_the_start_lacks_is_drawn(fields: dict[str, str]) -> None:
    network = parse(Network, {"layers": (64, 32, 10), **fields})
    found = initial_parameters(network, 3, start=START).named()
    drawn = initial_parameters(network, 3).named()
    assert found.keys() == drawn.keys() > START.named().keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, START.named()[key] if key in START.named() else drawn[key])
    # and what the network has no place for is left
    back = initial_parameters(NETWORK, 0, start=initial_parameters(network, 3, start=START))
    assert back.named().keys() == START.named().keys()


def test_other_sizes_are_refused_together(digits: Dataset) -> None:
    with pytest.raises(SpecError, match=r"weights.1 of the start is \(32, 64\).*weights.2.*biases.1"):
        train(Network(layers=(64, 30, 10)), LEARNING, digits, start=START)


def test_a_resumed_run_ends_with_the_same_bits_and_knows_its_start(tmp_path: Path, digits: Dataset) -> None:
    network, learning = RUNS["learned"]
    start = initial_parameters(Network(layers=network.layers), 5)
    train(network, learning, digits, out=tmp_path / "plain", start=start)

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: object) -> None:
        if row is not None:
            raise Stop

    for _ in range(learning.epochs + 1):
        with pytest.raises(Stop):
            train(network, learning, digits, out=tmp_path / "cut", resume=True, report=stop, start=start)
    train(network, learning, digits, out=tmp_path / "cut", resume=True, start=start)
    left, right = (load_file(tmp_path / name / FILE_NAME) for name in ("plain", "cut"))
    assert left.keys() == right.keys()
    for key, array in left.items():
        assert array.tobytes() == right[key].tobytes(), key
    # without the start, or from another one, it is another run
    other = start._replace(weights=(start.weights[0] + np.float32(1e-7), *start.weights[1:]))
    for wrong in (None, other):
        with pytest.raises(ModelFileError, match="belongs to another run"):
            train(network, learning, digits, out=tmp_path / "cut", resume=True, start=wrong)


def test_a_start_must_be_of_the_same_network() -> None:
    saved = Model(NETWORK, LEARNING, START, 1 / 16, tuple(range(10)), "digits")
    check_start(NETWORK.model_copy(update={"mechanism": "learned", "lam": 0.5}), LEARNING, saved)
    other = Network(layers=(64, 32, 10), saturation=2.0)
    with pytest.raises(SpecError, match=r"saturation is 2.0, and None.*engine 'lava'"):
        check_start(other, LEARNING.model_copy(update={"engine": "lava"}), saved)


def test_samples_are_scaled_as_the_network_was_trained(digits: Dataset) -> None:
    saved = Model(NETWORK, LEARNING, START, 1 / 16, tuple(range(10)), "digits")
    assert scaled_for(saved, digits) is digits
    raw = import_onnx(GOLDEN / "sklearn_standard_plain.onnx")
    with pytest.warns(LavaGhostWarning, match=r"imported without a data set.*raw samples of digits, 0\.\.16;"):
        data = scaled_for(raw, digits)
    assert (raw.input_scale, data.scale) == (1.0, 1.0)
    np.testing.assert_array_equal(data.x_test, digits.x_test * 16)
    np.testing.assert_array_equal(data.x_train, digits.x_train * 16)
