"""Training: the same bits for the same seed, every sample once, the gate of learned ghosts, and that it learns."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from lavaghost.base.errors import DivergedError, SpecError
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.methods.base import Method
from lavaghost.methods.by_name import method_of
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.ghost.rules import TEMPORAL
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import check_data
from lavaghost.net.network import Network
from lavaghost.run.train import train as train_model
from lavaghost.training.checkpoint import fingerprint
from lavaghost.training.float_learner import FloatLearner, accuracy
from lavaghost.training.loop import OnRow, Trained
from lavaghost.training.loop import run as run_loop
from lavaghost.training.order import shuffled
from tests.strategies import fast

KINDS: list[dict[str, Any]] = [
    {"mechanism": "duplicate", "rule": "prediction"},
    {"mechanism": "duplicate", "rule": "temporal", "feedback": "random"},
    {"mechanism": "online", "rule": "temporal"},
    {"mechanism": "learned", "rule": "temporal"},
    {"mechanism": "learned", "rule": "prediction", "loss": "squared_error"},
    {"mechanism": "duplicate", "rule": "prediction", "engine": "stepped"},
    {"mechanism": "learned", "rule": "temporal", "engine": "stepped"},
    {"method": "backprop"},
    {"method": "frozen"},
    {"method": "backprop", "engine": "stepped"},
]


class Described(NamedTuple):
    """What a run needs beside its data."""

    network: Network
    method: Method
    learning: Learning

    def having(self, **learning: Any) -> "Described":
        return self._replace(learning=parse(Learning, {**self.learning.model_dump(), **learning}))

    def by(self, **settings: Any) -> "Described":
        return self._replace(method=method_of({**self.method.settings(), **settings}))

    @property
    def start(self) -> Parameters:
        return initial_parameters(self.method.graph(self.network), self.learning.seed)


def described(layers: tuple[int, ...] = (64, 20, 10), **kind: Any) -> Described:
    own = {k: kind.pop(k) for k in tuple(kind) if k in Learning.model_fields}
    learning = Learning(**{"epochs": 2, "batch_size": 48, **own})
    network = Network(layers=layers, **{k: kind.pop(k) for k in tuple(kind) if k in Network.model_fields})
    name = kind.pop("method", "ghost")
    if name != "ghost":
        return Described(network, method_of(name), learning)
    if kind.get("mechanism") in ("online", "learned"):
        kind.setdefault("lam", 0.01)
    settings = {
        "plasticity": GhostSteps(pretrain_batches=20, gate=10.0),
        "schedule": fast(t_free_steps=20),
    } | kind
    return Described(network, Ghost(**settings), learning)


def train(
    what: Described,
    data: Dataset,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
) -> Trained:
    """The loop alone."""
    return run_loop(FloatLearner(*what, data, diagnostics=diagnostics), report=report)


def few(digits: Dataset, n: int = 200) -> Dataset:
    """The first samples of the digits: quick, and of every class."""
    return Dataset(
        name="few",
        x_train=digits.x_train[:n],
        y_train=digits.y_train[:n],
        x_test=digits.x_test[:100],
        y_test=digits.y_test[:100],
        n_classes=10,
    )


def bits(params: Parameters) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in params.named().items()}


# ---- the same bits


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
def test_a_seed_gives_the_same_bits_and_another_seed_others(digits, kind):
    data = few(digits)
    what = described(**kind)
    first, again = (train(what, data, diagnostics=False) for _ in range(2))
    assert bits(first.params) == bits(again.params)
    assert first.history == again.history
    other = train(what.having(seed=1), data, diagnostics=False)
    for name, array in bits(other.params).items():
        # hidden biases of the frozen control start at zero and stay there
        assert array != bits(first.params)[name] or name == "biases.1", name


def test_diagnostics_and_reports_change_no_bit(digits):
    data = few(digits)
    for mechanism in ("duplicate", "learned"):
        what = described(mechanism=mechanism, rule="temporal")
        plain = train(what, data, diagnostics=False)
        watched = train(what, data, diagnostics=True, report=lambda done, total, row: None)
        assert bits(plain.params) == bits(watched.params)


def test_precision_is_that_of_the_engine(digits):
    for engine, dtype in (("equilibrium", np.float32), ("stepped", np.float64)):
        what = described(engine=engine, epochs=1)
        run = train(what, few(digits), diagnostics=False)
        assert {a.dtype for a in run.params.named().values()} == {np.dtype(dtype)}


# ---- the order of samples


@pytest.mark.parametrize("batch", [1, 7, 50, 200, 1000])
def test_an_epoch_has_every_sample_once_with_its_label(digits, batch):
    data = few(digits)
    seen, sizes = [], []
    for x, target in shuffled(data, batch, seed=3, epoch=2):
        assert x.flags.c_contiguous
        assert x.dtype == target.dtype == np.float32
        assert (target.sum(axis=1) == 1).all()
        seen += [(row.tobytes(), int(label)) for row, label in zip(x, target.argmax(axis=1), strict=True)]
        sizes.append(len(x))
    wanted = [(row.tobytes(), int(label)) for row, label in zip(data.x_train, data.y_train, strict=True)]
    assert sorted(seen) == sorted(wanted)
    assert seen != wanted
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert sum(sizes) == 200


def test_the_order_is_a_function_of_seed_and_epoch(digits):
    data = few(digits)

    def order(seed: int, epoch: int) -> bytes:
        return b"".join(x.tobytes() for x, _ in shuffled(data, 30, seed, epoch))

    assert order(1, 5) == order(1, 5)
    assert len({order(0, 0), order(0, 1), order(1, 0), order(1, 1)}) == 4


def test_a_batch_is_not_overwritten_while_it_is_used(digits):
    for x, _ in shuffled(few(digits), 10, 0, 0):
        kept = x.copy()
        np.testing.assert_array_equal(x, kept)
    batches = shuffled(few(digits), 10, 0, 0)
    first, _ = next(batches)
    kept = first.copy()
    next(batches)
    np.testing.assert_array_equal(first, kept)


# ---- what a run reports


def test_history_has_a_row_per_epoch_and_one_before(digits):
    what = described(epochs=3)
    calls: list[tuple[int, int, Any]] = []
    run = train(what, few(digits), report=lambda *args: calls.append(args))
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3]
    assert {len(row["cosines"]) for row in run.history} == {2}
    assert {len(row["residuals"]) for row in run.history} == {1}
    done = [d for d, _, row in calls if row is None]
    assert done == list(range(1, 16))
    assert {total for _, total, _ in calls} == {15}
    assert [row for _, _, row in calls if row is not None] == run.history


def test_the_result_has_the_lowest_cosine_of_each_layer_beside_the_last(digits):
    what = described(epochs=4)
    data = few(digits)
    run = train(what, data)
    found = run.result(data)
    cosines = np.array([row["cosines"] for row in run.history])
    assert found["cosines"] == list(cosines[-1])
    assert found["lowest_cosines"] == list(cosines.min(axis=0))
    swapped = run._replace(
        history=[*run.history[:-1], run.history[-1] | {"cosines": [0.5, -0.25]}, run.history[0]]
    )
    assert swapped.result(data)["lowest_cosines"] == [0.5, -0.25]
    blind = train(what, data, diagnostics=False)
    assert blind.result(data)["lowest_cosines"] == []


def test_no_epochs_is_the_initial_network(digits):
    what = described(epochs=0)
    run = train(what, few(digits))
    assert bits(run.params) == bits(what.start)
    assert len(run.history) == 1


def test_accuracy_is_the_share_of_right_answers(digits):
    what = described()
    params, data = what.start, few(digits)
    out = np.maximum(data.x_test @ params.weights[0].T, 0) @ params.weights[1].T
    found = accuracy(what.method.graph(what.network), params, data.x_test, data.y_test)
    assert found == pytest.approx((out.argmax(axis=1) == data.y_test).mean())
    assert FloatLearner(*what, data, diagnostics=False).measure(0) == {"accuracy": found}


# ---- what is refused


def test_a_network_that_does_not_fit_the_data_is_refused_with_both_numbers(digits):
    with pytest.raises(SpecError) as caught:
        train_model(Network(layers=(63, 5, 9)), digits)
    message = str(caught.value)
    for part in ("layers[0] is 63", "64 inputs", "layers[-1] is 9", "10 classes"):
        assert part in message
    assert "\n" not in message
    check_data(Network(layers=(64, 5, 10)), digits)


def test_prediction_with_online_ghosts_is_refused_before_anything_starts(digits, tmp_path):
    what = described(mechanism="online", rule="prediction")
    with pytest.raises(SpecError, match="replicates"):
        train_model(what.network, digits, method=what.method, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_divergence_is_an_error_that_names_the_layer(digits, mechanism):
    what = described(mechanism=mechanism, rule="temporal", loss="squared_error", eta=1e6, epochs=3, lam=0.01)
    with pytest.raises(DivergedError) as caught:
        train(what, few(digits), diagnostics=False)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(r"(weights|biases)\.[12]", message)
    assert "epoch 1" in message
    assert "lower learning.eta" in message
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("epochs", [0, 1])
def test_diverged_ghost_plasticity_is_an_error_that_names_the_ghosts(digits, epochs):
    """Also where pre-training is all there is."""
    what = described(
        mechanism="learned", rule="temporal", plasticity=GhostSteps(mu=1e4, pretrain_batches=60), epochs=epochs
    )
    with pytest.raises(DivergedError, match="ghost_weights"):
        train(what, few(digits), diagnostics=False)


# ---- learned ghosts, frozen layers


def test_the_gate_holds_the_network_still_while_ghosts_learn(digits):
    what = described(mechanism="learned", rule="temporal")
    what = what.by(plasticity={"gate": 1e-3, "pretrain_batches": 0})
    start = bits(what.start)
    run = train(what, few(digits))
    for name, array in bits(run.params).items():
        assert (array == start[name]) == (not name.startswith("ghost_")), name
    assert [row["waited"] for row in run.history] == [0, 5, 5]
    assert run.history[-1]["residuals"][0] < run.history[0]["residuals"][0]


def test_pretraining_lowers_the_residual_and_leaves_the_network_alone(digits):
    what = described((64, 20, 20, 10), mechanism="learned", rule="temporal", epochs=0)
    found = []
    for batches in (0, 100, 400):
        run = train(what.by(plasticity={"pretrain_batches": batches}), few(digits, 500))
        start = what.start
        for a, b in zip(
            (*run.params.weights, *run.params.biases), (*start.weights, *start.biases), strict=True
        ):
            np.testing.assert_array_equal(a, b)
        found.append(max(run.history[0]["residuals"]))
    assert found[0] > 0.8
    assert found[1] < 0.6 * found[0]
    assert found[2] < 0.7 * found[1]


def test_an_open_gate_lets_the_network_learn_and_counts_no_wait(digits):
    what = described(mechanism="learned", rule="temporal")
    run = train(what, few(digits))
    assert [row["waited"] for row in run.history] == [0, 0, 0]
    assert bits(run.params)["weights.1"] != bits(what.start)["weights.1"]


def test_frozen_hidden_layers_stay_to_the_bit(digits):
    what = described((64, 20, 15, 10), method="frozen")
    start, run = bits(what.start), train(what, few(digits))
    for name, array in bits(run.params).items():
        assert (array == start[name]) == (not name.endswith("3")), name


def test_a_rule_of_your_own_trains(digits):
    what = described()
    own = what._replace(method=what.method.model_copy(update={"rule": TEMPORAL._replace(name="own")}))
    run = train(own, few(digits), diagnostics=False)
    named = train(what.by(rule="temporal"), few(digits), diagnostics=False)
    assert bits(run.params) == bits(named.params)


@pytest.mark.parametrize("name", ["backprop", "frozen"])
def test_without_ghosts_nothing_of_them_is_there_or_measured(digits, name):
    run = train(described(method=name), few(digits))
    assert {key.partition(".")[0] for key in run.params.named()} == {"weights", "biases"}
    for row in run.history:
        assert not {"residuals", "loop_gain"} & row.keys()
        assert row["cosines"][-1] == pytest.approx(1.0)


def test_a_fingerprint_tells_data_sets_apart(digits):
    data = few(digits)
    labels = data.y_train.copy()
    labels[[0, 1]] = labels[[1, 0]]
    shifted = Dataset("few", data.x_train, labels, data.x_test, data.y_test, 10)
    darker = Dataset("few", data.x_train * np.float32(0.5), data.y_train, data.x_test, data.y_test, 10)
    assert fingerprint(data) == fingerprint(few(digits))
    assert len({fingerprint(d) for d in (data, shifted, darker, few(digits, 199), digits)}) == 5


# ---- it learns


def last(run: Trained) -> dict[str, Any]:
    return run.history[-1]


def test_digits_are_learned_by_hidden_layers_that_follow_the_gradient(digits):
    """At least 95 %, with useful hidden layers: cosine above 0.9, and better than frozen ones."""
    what = Described(
        Network(layers=(64, 128, 10)), Ghost(), Learning(epochs=10, batch_size=32, eta=0.05, seed=0)
    )
    ghost = last(train(what, digits))
    assert ghost["accuracy"] >= 0.95
    assert min(ghost["cosines"]) > 0.9
    assert max(ghost["residuals"]) < 1e-5
    frozen = last(train(what._replace(method=method_of("frozen")), digits))
    assert ghost["accuracy"] > frozen["accuracy"]
    assert frozen["cosines"][0] == 0
    backprop = last(train(what._replace(method=method_of("backprop")), digits))
    # 360 test samples: two standard errors at 97 % are 1.8 %
    assert abs(ghost["accuracy"] - backprop["accuracy"]) < 0.018


@pytest.mark.parametrize(
    ("mechanism", "rule", "lam"), [("duplicate", "temporal", 0.03), ("online", "temporal", 0.01)]
)
def test_other_mechanisms_learn_digits_too(digits, mechanism, rule, lam):
    method = Ghost(mechanism=mechanism, rule=rule, lam=lam)
    learning = Learning(epochs=6, batch_size=32, eta=0.05)
    found = last(train(Described(Network(layers=(64, 60, 40, 10)), method, learning), digits))
    assert found["accuracy"] > 0.93
    assert min(found["cosines"]) > 0.9


def test_learned_ghosts_learn_digits(digits):
    method = Ghost(mechanism="learned", rule="temporal", lam=0.01, plasticity=GhostSteps(pretrain_batches=300))
    what = Described(Network(layers=(64, 60, 10)), method, Learning(epochs=6, batch_size=32, eta=0.05))
    found = last(train(what, digits))
    assert found["accuracy"] > 0.93
    assert min(found["cosines"]) > 0.9
    assert found["waited"] == 0


def test_random_feedback_learns_digits_and_aligns(digits):
    """Feedback alignment (Lillicrap et al. 2016): the weights come to agree with fixed random feedback."""
    learning = Learning(epochs=8, batch_size=32, eta=0.05)
    run = train(Described(Network(layers=(64, 60, 10)), Ghost(feedback="random"), learning), digits)
    assert last(run)["accuracy"] > 0.93
    assert last(run)["cosines"][0] > 0.2 > abs(run.history[0]["cosines"][0])


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_the_stepped_engine_learns_digits_above_chance_in_one_epoch(digits, mechanism):
    what = described(
        mechanism=mechanism, rule="temporal", engine="stepped", epochs=1, batch_size=32, eta=0.05, lam=0.03
    )
    found = last(train(what, digits))
    assert found["accuracy"] > 0.5
    assert min(found["cosines"]) > 0.5
