"""Training that starts from a saved network: what is taken, what is drawn, and that a resumed run knows its start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lavaghost.base.errors import LavaGhostWarning, ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import scaled_for
from lavaghost.model.model import Model
from lavaghost.net.network import Network, Physics
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.settings import adjusted
from lavaghost.run.job import prepared
from lavaghost.run.spec import RunSpec
from lavaghost.run.train import train
from lavaghost.training.checkpoint import FILE_NAME
from lavaghost.training.loop import OnRow, Trained, run
from lavaghost.training.start import as_integers
from tests.networks import ghost_graph
from tests.unit.test_resume import RUNS, changed

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
LAYERS = (64, 32, 10)
GRAPH = ghost_graph(layers=LAYERS)
SPEC = RunSpec(hidden=(32,), learning=Learning(epochs=2, batch_size=48, eta=0.05))
START = initial_parameters(GRAPH, 7)


def saved(params: Parameters = START, layers: tuple[int, ...] = LAYERS) -> Model:
    """A network that training starts from."""
    return Model(Network(layers=layers), Ghost(), SPEC.learning, params, 1 / 16, tuple(range(10)), "digits")


def trained(
    spec: RunSpec,
    data: Dataset,
    start: Model | None,
    out: Path | None = None,
    resume: bool = False,
    report: OnRow = lambda done, total, row: None,
) -> Trained:
    job = prepared(spec, data, start)
    return run(job.learner(diagnostics=False), out=out, identity=job.identity(), resume=resume, report=report)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_no_epochs_leave_the_start_as_it_is(digits: Dataset, engine: str) -> None:
    found = trained(changed(SPEC, learning={"epochs": 0, "engine": engine}), digits, saved())
    for key, array in found.params.named().items():
        np.testing.assert_array_equal(array, START.named()[key])
        assert array.dtype == (np.float64 if engine == "stepped" else np.float32)
    assert not np.shares_memory(found.params.weights[0], START.weights[0])


def test_training_changes_a_copy(digits: Dataset) -> None:
    kept = START.astype(np.float32)
    found = trained(SPEC, digits, saved())
    assert found.history[-1]["accuracy"] > found.history[0]["accuracy"] + 0.3
    for key, array in START.named().items():
        np.testing.assert_array_equal(array, kept.named()[key])


@pytest.mark.parametrize("fields", [{"mechanism": "learned"}, {"feedback": "random"}])
def test_what_the_start_lacks_is_drawn(fields: dict[str, str]) -> None:
    graph = ghost_graph(layers=LAYERS, **fields)
    found = initial_parameters(graph, 3, start=START).named()
    drawn = initial_parameters(graph, 3).named()
    assert found.keys() == drawn.keys() > START.named().keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, START.named()[key] if key in START.named() else drawn[key])
    # and what the network has no place for is left
    back = initial_parameters(GRAPH, 0, start=initial_parameters(graph, 3, start=START))
    assert back.named().keys() == START.named().keys()


def test_other_sizes_are_refused_together(digits: Dataset) -> None:
    with pytest.raises(SpecError, match=r"weights.1 of the start is \(32, 64\).*weights.2.*biases.1"):
        initial_parameters(ghost_graph(layers=(64, 30, 10)), 0, start=START)
    with pytest.raises(SpecError, match=r"layers is \(64, 30, 10\), and \(64, 32, 10\) in the network that"):
        prepared(changed(SPEC, hidden=(30,)), digits, saved())


def test_a_resumed_run_ends_with_the_same_bits_and_knows_its_start(tmp_path: Path, digits: Dataset) -> None:
    spec = RUNS["learned"]
    layers = (64, *spec.hidden, 10)
    params = initial_parameters(ghost_graph(layers=layers), 5)
    start = saved(params, layers)
    trained(spec, digits, start, tmp_path / "plain")

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: object) -> None:
        if row is not None:
            raise Stop

    for _ in range(spec.learning.epochs + 1):
        with pytest.raises(Stop):
            trained(spec, digits, start, tmp_path / "cut", resume=True, report=stop)
    trained(spec, digits, start, tmp_path / "cut", resume=True)
    left, right = (load_file(tmp_path / name / FILE_NAME) for name in ("plain", "cut"))
    assert left.keys() == right.keys()
    for key, array in left.items():
        assert array.tobytes() == right[key].tobytes(), key
    # without the start, or from another one, it is another run
    other = params._replace(weights=(params.weights[0] + np.float32(1e-7), *params.weights[1:]))
    for wrong in (None, saved(other, layers)):
        with pytest.raises(ModelFileError, match="belongs to another run"):
            trained(spec, digits, wrong, tmp_path / "cut", resume=True)


def test_a_start_must_be_of_the_same_network(digits: Dataset) -> None:
    prepared(changed(SPEC, method={"mechanism": "learned", "lam": 0.5, "rule": "temporal"}), digits, saved())
    other = RunSpec(
        hidden=(32,),
        network=Physics(saturation=2.0),
        learning=SPEC.learning.model_copy(update={"engine": "lava"}),
    )
    with pytest.raises(SpecError, match=r"saturation is 2.0, and None.*leave out what the start decides"):
        prepared(other, digits, saved())


def test_samples_are_scaled_as_the_network_was_trained(digits: Dataset) -> None:
    assert scaled_for(saved(), digits) is digits
    raw = import_onnx(GOLDEN / "sklearn_standard_plain.onnx")
    with pytest.warns(LavaGhostWarning, match=r"imported without a data set.*raw samples of digits, 0\.\.16;"):
        data = scaled_for(raw, digits)
    assert (raw.input_scale, data.scale) == (1.0, 1.0)
    np.testing.assert_array_equal(data.x_test, digits.x_test * 16)
    np.testing.assert_array_equal(data.x_train, digits.x_train * 16)


@pytest.mark.parametrize("plastic", [(1,), (2,), (3,), (1, 3)])
@pytest.mark.parametrize("method", ["ghost", "backprop"])
def test_layers_that_do_not_learn_stay_to_the_bit(
    digits: Dataset, plastic: tuple[int, ...], method: str
) -> None:
    net = Network(layers=(64, 12, 11, 10), plastic=plastic)
    before = train(net, digits, method=method, epochs=0, diagnostics=False).model.params.named()
    after = train(net, digits, method=method, epochs=1, diagnostics=False).model.params.named()
    moved = {int(name.split(".")[1]) for name in before if not np.array_equal(before[name], after[name])}
    assert moved == set(plastic)


def test_a_run_in_integers_starts_from_the_integers_that_another_learned(digits: Dataset) -> None:
    first = train(Network(layers=(64, 16, 10)), digits, arithmetic="loihi", epochs=1, diagnostics=False).model
    again = train(
        Network(layers=(64, 16, 10)), digits, start=first, arithmetic="loihi", epochs=0, diagnostics=False
    ).model
    assert again.integers == first.integers
    assert "refit" not in again.record


def test_a_start_of_another_loss_is_refitted_for_integers_and_the_record_says_so(digits: Dataset) -> None:
    softmax = train(Network(layers=(64, 32, 10)), digits, epochs=6, diagnostics=False).model
    spec: Any = {"arithmetic": "loihi", "epochs": 0, "diagnostics": False}
    found = train(Network(layers=(64, 32, 10)), digits, start=softmax, **spec).model
    record = found.record["refit"]
    assert record["samples"] + record["judged_on"] >= len(digits.x_train)
    assert found.score(digits) > softmax.score(digits) - 0.05
    # as they are, its numbers saturate what a chip sends and are no one-hot values
    raw = as_integers(found.graph, softmax, DEFAULT)
    assert abs(found.outputs(digits.x_test).max() - 1.0) < 1.0
    assert replace(found, tensors=raw).outputs(digits.x_test).max() > 3.0


def test_a_quantised_start_goes_on_as_it_is_or_says_that_it_cannot(digits: Dataset) -> None:
    squared = train(
        Network(layers=(64, 16, 10), loss="squared_error"), digits, epochs=4, eta=0.05, diagnostics=False
    ).model
    numbers = as_integers(squared.graph, squared, DEFAULT)
    method = adjusted(squared.method, lam=0.125, beta=0.5)
    chip = replace(squared, method=method, tensors=numbers)
    spec: Any = {"arithmetic": "loihi", "epochs": 0, "diagnostics": False}
    assert train(chip.network, digits, start=chip, **spec).model.integers == numbers
    large = {name: np.array(a) for name, a in numbers.arrays.items()}
    beyond = numbers.widths.weight_limits[1] + 9
    large["biases.1"][0] = beyond << (numbers.widths.state_fraction - numbers.formats.weights[0])
    spoilt = replace(chip, tensors=Integers(large, numbers.formats, numbers.widths))
    with pytest.warns(LavaGhostWarning, match=r"formats that cannot learn.*biases.1"):
        train(chip.network, digits, start=spoilt, **spec)
