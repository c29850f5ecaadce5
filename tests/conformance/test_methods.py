"""What every method owes, over all that are registered, those of other packages too, and toys that are not.

A method that is registered under `lavaghost.methods` is taken in by itself. To run this suite on a class of your own,
install its package and say `pytest tests/conformance/test_methods.py -k its-name`.
"""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.base.names import Engine
from lavaghost.datasets import Dataset
from lavaghost.engines import Trial, equilibrium
from lavaghost.engines.threads import suited_threads
from lavaghost.exporters import base, find
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.report import make
from lavaghost.methods import carried, footprint, trace
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import PROBE_EPOCH, Batch, Method, Moment, OwnState
from lavaghost.methods.by_name import METHODS, check_together, method_of
from lavaghost.methods.carried import multiplied
from lavaghost.methods.ghost import method as ghost_method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps, pending
from lavaghost.methods.learning import Learning
from lavaghost.methods.least_action import LeastAction
from lavaghost.methods.modulated import Modulated
from lavaghost.methods.optimiser import Momentum, learned_tensors
from lavaghost.methods.pal import Pal
from lavaghost.model.model import Model
from lavaghost.net.kinds import dense
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters, shapes
from lavaghost.numbers import arithmetic
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import backprop_gradient, cosine, diagnose
from lavaghost.training.float_learner import FloatLearner, probe_of
from lavaghost.training.loop import Trained, run
from tests.toy_methods import TOYS, Mirror, Returned, Signed

LAYERS, BATCH, EPOCHS = (64, 20, 16, 10), 50, 3

FIRST = Moment(3, 0, 0)
SHORT = GhostSteps(pretrain_batches=20, gate=10.0)
METHODS_TRIED: dict[str, Method] = {
    **{name: method_of(name) for name in METHODS.names()},
    **{toy.name: toy() for toy in TOYS},
    "ghost-learned": Ghost(mechanism="learned", plasticity=SHORT),
    "ghost-waiting": Ghost(mechanism="learned", plasticity=GhostSteps(pretrain_batches=3, gate=1e-6)),
    "ghost-online": Ghost(mechanism="online", feedback="random", lam=0.01),
    "ghost-random": Ghost(feedback="random"),
    "least-action-random": LeastAction(feedback="random", sweeps=2, tolerance=1e-12),
    "least-action-learned": LeastAction(feedback="learned", plasticity="continuous", sweeps=3, tolerance=1e-12),
    "pal-ghosts": Pal(circuit="ghosts"),
    "modulated-dropout": Modulated(dropout=0.3),
    "modulated-follows": Modulated(method="backprop", dropout=0.5, dropout_follows=1),
    "modulated-rate": Modulated(rate_end=0.1),
    "modulated-hebbian": Modulated(method="kolen-pollack", hebbian=0.1, hebbian_share=0.01),
    "modulated-gains": Modulated(method="fa", gains=(0.25, 0.5, 1.0)),
    "modulated-all": Modulated(
        method=Ghost(mechanism="learned", plasticity=SHORT),
        dropout=0.4,
        dropout_follows=1,
        rate_end=0.1,
        hebbian=0.1,
        gains=(0.5, 1.0, 1.0),
    ),
}
every = pytest.mark.parametrize("method", METHODS_TRIED.values(), ids=METHODS_TRIED.keys())


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    """Some digits: an epoch of six batches, the last of them short."""
    return replace(digits, x_train=digits.x_train[:280], y_train=digits.y_train[:280])


def network_for(method: Method) -> Network:
    return Network.model_validate({"layers": LAYERS, "loss": method.needs.losses[0]})


def learning_for(method: Method, **fields: Any) -> Learning:
    usual: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "eta": 0.05, "seed": 3}
    return Learning.model_validate(usual | {"engine": method.needs.engines[0]} | fields)


class Case:
    """A method at its beginning, and a batch of digits."""

    def __init__(self, method: Method, data: Dataset, seed: int = 3) -> None:
        self.method, self.graph = method, method.graph(network_for(method))
        precision = np.float64 if learning_for(method).engine == "stepped" else np.float32
        self.params = initial_parameters(self.graph, seed, precision)
        self.state = method.init(self.graph, self.params, np.random.default_rng(seed))
        self.work = method.prepare(self.graph, learning_for(method))
        self.x = data.x_train[:BATCH].copy()
        self.target = np.eye(10, dtype=np.float32)[data.y_train[:BATCH]]

    def batch(self, purpose: Any = "train", moment: Moment = FIRST) -> Batch:
        return Batch(self.x, self.target, moment, purpose)

    def update(self, **batch: Any):
        return self.method.update(self.work, self.params, self.state, self.batch(**batch))

    def arrays(self) -> dict[str, Array]:
        state = {f"state.{name}": a for name, a in self.state.items()}
        return {**self.params.named(), **state, "x": self.x, "target": self.target}


def same(a: Any, b: Any) -> None:
    """Arrays of equal names, types and bits."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def alike(first, second) -> None:
    """The same changes, to the bit."""
    assert first.factors.keys() == second.factors.keys()
    for name, factor in first.factors.items():
        for a, b in zip(factor, second.factors[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    same(first.add, second.add)
    assert first.follow == second.follow


# ---- the contract


@every
def test_its_graph_is_the_network_with_what_it_needs_beside_it(method: Method):
    network = network_for(method)
    graph, needs = method.graph(network), method.needs
    assert graph == method.graph(network)
    assert hash(graph) == hash(method.graph(network))
    assert graph.network == network
    assert graph.forward.projections == graph.along("feedforward")
    names = [p.name for p in graph.populations]
    assert len(set(names)) == len(names)
    for p in graph.projections:
        assert {p.source, p.target} <= set(names)
        assert p.tensor is None or p.tensor in shapes(graph)
    assert bool(graph.back) == (needs.feedback != "none")
    assert not (graph.has_feedback and graph.carries_errors)
    assert graph.has_ghosts == needs.ghosts
    assert graph.tied == (needs.feedback == "tied")
    learned = [p for p in graph.back if p.own and p.plastic]
    assert bool(learned) == (needs.feedback == "learned")
    check_together(method, graph, learning_for(method))


@every
def test_without_ghosts_there_is_no_ghost_anywhere(method: Method):
    graph = method.graph(network_for(method))
    ghosts = [p.name for p in graph.populations if p.role == "ghost"]
    wires = [p.name for p in graph.projections if p.path in ("ghost", "inhibition")]
    named = [name for name in initial_parameters(graph, 0).named() if "ghost" in name]
    if method.needs.ghosts:
        assert ghosts
        assert wires
        return
    assert (ghosts, wires, named) == ([], [], [])
    if method.needs.feedback == "none":
        assert graph == graph.forward
        assert not any(p.path == "feedback" for p in graph.projections)
        assert {name.split(".")[0] for name in shapes(graph)} == {"weights", "biases"}
        assert (graph.lam, graph.beta, graph.schedule.t_free_steps) == (0.0, 0.0, graph.depth + 1)


@every
def test_its_state_has_the_shapes_that_it_names_and_is_a_function_of_its_random_numbers(method: Method, few):
    case = Case(method, few)
    again, other = Case(method, few), Case(method, few, seed=4)
    assert {name: a.shape for name, a in case.state.items()} == method.shapes(case.graph)
    same(case.state, again.state)
    same(case.params.named(), again.params.named())
    assert case.state.keys() == other.state.keys()
    for name, array in case.state.items():
        assert "." not in name
        assert np.isfinite(array).all(), name


@every
@pytest.mark.parametrize("purpose", ["train", "pretrain", "probe"])
def test_an_update_changes_nothing_that_it_is_given(method: Method, purpose: str, few):
    case = Case(method, few)
    before = {name: a.copy() for name, a in case.arrays().items()}
    first, state = case.update(purpose=purpose)
    same(case.arrays(), before)
    assert {name: a.shape for name, a in state.items()} == method.shapes(case.graph)
    for name, array in state.items():
        assert array.dtype == case.state[name].dtype
        assert np.isfinite(array).all()
    # and it is a function of what it is given; the arrays of the first answer may be its buffers
    first = type(first)(
        {k: f._replace(post=f.post.copy(), pre=f.pre.copy()) for k, f in first.factors.items()},
        {k: a.copy() for k, a in first.add.items()},
        first.follow,
    )
    second, again = case.update(purpose=purpose)
    alike(first, second)
    same(dict(state), dict(again))


@every
def test_its_changes_are_of_tensors_that_there_are(method: Method, few):
    case = Case(method, few)
    named, dtype = case.params.named(), case.params.weights[0].dtype
    for purpose in ("train", "pretrain", "probe"):
        changes, _ = case.update(purpose=purpose)
        assert set(changes.factors) <= {n for n in learned_tensors(case.graph) if not n.startswith("biases")}
        for name, (post, pre, gain) in changes.factors.items():
            assert len(post) == len(pre) == BATCH, name
            assert post.dtype == dtype
            assert np.isfinite(post).all()
            assert np.isfinite(pre).all()
            assert np.isfinite(gain)
        for name, change in changes.add.items():
            assert change.shape == named[name].shape
            assert np.isfinite(change).all()
        assert set(changes.follow) <= set(named)
        assert set(changes.follow.values()) <= set(learned_tensors(case.graph))
        Momentum(case.graph, case.params, 0.9, 1e-4).apply(case.params, changes, 0.01)
        assert all(np.isfinite(a).all() for a in named.values())


@every
def test_a_probe_learns_nothing_and_never_waits(method: Method, few):
    case = Case(method, few)
    before = {name: a.copy() for name, a in case.state.items()}
    changes, state = case.update(purpose="probe")
    assert (dict(changes.add), dict(changes.follow)) == ({}, {})
    same(dict(state), before)
    assert f"weights.{case.graph.depth}" in changes.factors


@every
def test_in_pretraining_only_what_is_its_own_learns(method: Method, few):
    case = Case(method, few)
    if method.pretrain_batches(case.graph) == 0:
        return
    changes, state = case.update(purpose="pretrain")
    network = {f"{field}.{k}" for field in ("weights", "biases") for k in range(1, case.graph.depth + 1)}
    assert not network & {*changes.factors, *changes.add, *changes.follow}
    moved = any(not np.array_equal(a, case.state[name]) for name, a in state.items())
    assert moved or any(a.any() for a in changes.add.values()) or changes.factors


@every
def test_it_comes_back_from_its_settings(method: Method, monkeypatch):
    if type(method).name not in METHODS.names():
        monkeypatch.setitem(METHODS._known, method.name, type(method))
    settings = method.settings()
    assert settings["name"] == method.name != ""
    again = method_of(json.loads(json.dumps(settings)))
    assert type(again) is type(method)
    assert again == method
    assert again.settings() == settings
    assert again.graph(network_for(method)) == method.graph(network_for(method))


@every
def test_what_a_run_cannot_give_it_is_refused_together_in_one_line(method: Method):
    graph = method.graph(network_for(method))
    foreign = [engine for engine in get_args(Engine) if engine not in method.needs.engines] or ["abacus"]
    learning = SimpleNamespace(engine=foreign[0], arithmetic="roman", tolerance=None)
    bare = method.graph(network_for(method)).forward
    with pytest.raises(SpecError) as caught:
        check_together(method, bare, learning)
    message = str(caught.value)
    assert "\n" not in message
    for part in (repr(foreign[0]), "'roman'", *method.needs.engines, *method.needs.arithmetics):
        assert part in message
    assert ("needs ghosts, and its graph has none" in message) == method.needs.ghosts
    wanted = f"needs {method.needs.feedback} feedback, and its graph has none"
    assert (wanted in message) == (method.needs.feedback != "none")
    check_together(method, graph, learning_for(method))


@every
def test_its_footprint_is_of_paths_that_its_graph_has(method: Method):
    graph = method.graph(network_for(method))
    found = method.footprint(graph)
    paths = {p.path for p in graph.projections}
    assert found.states
    assert all(found.states)
    assert found.reads
    assert {path for phase in found.phases for path in phase.paths} <= paths
    assert all(phase.steps > 0 and phase.name for phase in found.phases)
    assert found.steps == sum(phase.steps for phase in found.phases)
    assert "feedforward" in {path for phase in found.phases for path in phase.paths}
    if not method.needs.ghosts:
        assert "ghost" not in repr(found)
        assert "inhibition" not in repr(found)


counted = pytest.mark.parametrize(
    "method",
    [m for m in METHODS_TRIED.values() if type(m).name in METHODS.names()],
    ids=[name for name, m in METHODS_TRIED.items() if type(m).name in METHODS.names()],
)


@counted
def test_its_operations_are_what_is_multiplied(method: Method, few, monkeypatch):
    """Multiply-accumulates of weights in one update and its step, by all that multiplies matrices, per sample."""
    case, counts = Case(method, few), []

    def counting(a: Array, b: Array, out: Array, **how: Any) -> Array:
        inner = a.shape[0] if how.get("trans_a") else a.shape[1]
        counts.append(out.shape[0] * out.shape[1] * inner)
        return arithmetic.gemm(a, b, out, **how)

    def of_ghosts(settings: GhostSteps, trial: Trial) -> Any:
        # G_k and I_k, each multiplied out by itself
        counts.extend(2 * g.size * r.shape[1] for g, r in zip(trial.ghost_rate, trial.free, strict=False))
        return pending(settings, trial)

    monkeypatch.setattr(ghost_method, "pending", of_ghosts)
    for room in (dense, equilibrium, carried, trace):
        monkeypatch.setattr(room, "gemm", counting)
    optimiser = Momentum(case.graph, case.params, 0.9, 1e-4)
    changes, _ = case.update()
    optimiser.apply(case.params, changes, 0.01)
    learning = learning_for(method, batch_size=BATCH)
    assert learning.engine == "equilibrium"
    waited = 0 if changes.factors else footprint.learning(case.graph)
    assert sum(counts) == (method.operations(case.graph, learning) - waited) * BATCH


@counted
@pytest.mark.parametrize("exporter", ["onnx", "onnx-settle", "yaml"])
def test_it_is_exported_as_the_network_of_backprop_is(method: Method, exporter, few, tmp_path):
    network = network_for(method)

    def exported(of: Method, folder: Any) -> tuple[Any, Array]:
        graph = of.graph(network)
        model = Model(
            network,
            of,
            Learning(),
            initial_parameters(graph, 3),
            few.scale,
            tuple(range(10)),
            "digits",
            state=of.init(graph, initial_parameters(graph, 3), np.random.default_rng(3)),
        )
        folder.mkdir()
        report = base.export(model, exporter, folder / f"m{find(exporter).suffix}", calibration=few)
        raw = few.x_test[:20] / np.float32(few.scale)
        return report, find(exporter).expected(model, report.settings, raw).logits

    report, logits = exported(method, tmp_path / "mine")
    plain, wanted = exported(Backprop(), tmp_path / "backprop")
    status = {entry.element: entry.status for entry in report.carries}
    if not method.needs.ghosts:
        assert status == {entry.element: entry.status for entry in plain.carries}
        np.testing.assert_array_equal(logits, wanted)
    elif exporter != "onnx-settle":
        np.testing.assert_array_equal(logits, wanted)
    if exporter == "yaml":
        assert Model.load(tmp_path / "mine" / "m").method == method


@counted
@pytest.mark.parametrize("phase", ["inference", "learning"])
def test_it_is_mapped_in_either_phase(method: Method, phase):
    graph = method.graph(network_for(method))
    found = make(graph, load_chip("loihi1"), phase, Plan()).as_json()
    assert found["phase"] == phase
    assert found["headline"]
    if not method.needs.ghosts:
        assert found["overhead_learning"]["ghosts"] == 0


@every
@pytest.mark.parametrize("engine", get_args(Engine))
def test_an_engine_that_it_does_not_need_is_refused_by_name(method: Method, engine):
    graph, learning = method.graph(network_for(method)), learning_for(method, engine=engine, batch_size=1)
    if engine in method.needs.engines:
        check_together(method, graph, learning)
        return
    with pytest.raises(SpecError, match=f"method '{method.name}' .*engine '{engine}'.*use ") as caught:
        check_together(method, graph, learning)
    assert "\n" not in str(caught.value)


# ---- through the loop


class Killed(Exception):
    """What ends a run."""


def trained(
    method: Method, data: Dataset, *, after: int | None = None, **how: Any
) -> tuple[Trained, FloatLearner]:
    """A run; `after` so many epochs it is killed."""
    learner = FloatLearner(network_for(method), method, learning_for(method), data)

    def report(done: int, total: int, row: dict[str, Any] | None) -> None:
        if row is not None and row["epoch"] == after:
            raise Killed

    return run(learner, identity="{}", report=report, **how), learner


def shown(learner: FloatLearner, params: Parameters, state: OwnState) -> tuple[list[float], list[float]]:
    """Cosines of a method with this state by their definition: to its reference, and to the gradient."""
    x, target = probe_of(learner.data)
    graph, method = learner.graph, learner.method
    work = method.prepare(graph, learner.learning.model_copy(update={"batch_size": len(x)}))
    params = params.astype(np.float32)
    moment = Moment(learner.learning.seed, PROBE_EPOCH, 0)
    with suited_threads(graph, learner.learning.batch_size):
        changes, _ = method.update(work, params, state, Batch(x, target, moment, "probe"))
        gradient = backprop_gradient(graph, params, x, target)
        own = method.reference(graph, params, x, target)
    found = multiplied(graph, params, changes.factors)
    wanted = gradient if own is None else own
    to_wanted, to_gradient = ([cosine(a, b) for a, b in zip(found, g, strict=True)] for g in (wanted, gradient))
    return to_wanted, to_gradient


@every
def test_its_cosines_are_those_of_the_live_method_with_its_state(method: Method, few):
    done, learner = trained(method, few)
    wanted, _ = shown(learner, done.params, learner.state)
    row = done.history[-1]
    assert row["cosines"] == pytest.approx(wanted, abs=1e-12)
    assert len(row["norms"]) == learner.graph.depth
    assert [r["epoch"] for r in done.history] == list(range(EPOCHS + 1))
    json.dumps(done.history)
    same(dict(done.state), dict(learner.state))


@every
def test_measuring_leaves_no_trace(method: Method, few):
    case = Case(method, few)
    before = {name: a.copy() for name, a in case.arrays().items()}
    for _ in range(2):
        diagnose(case.graph, method, learning_for(method), case.params, case.state, case.x, case.target)
    same(case.arrays(), before)


@every
def test_killed_after_any_epoch_and_resumed_it_ends_with_the_bits_of_an_uninterrupted_run(
    method, few, tmp_path
):
    whole, _ = trained(method, few)
    again, _ = trained(method, few)
    same(again.params.named(), whole.params.named())
    for epoch in range(EPOCHS + 1):
        folder = tmp_path / str(epoch)
        folder.mkdir()
        with pytest.raises(Killed):
            trained(method, few, after=epoch, out=folder)
        resumed, _ = trained(method, few, out=folder, resume=True)
        same(resumed.params.named(), whole.params.named())
        same(dict(resumed.state), dict(whole.state))
        assert resumed.history == whole.history


# ---- what was wrong before: a method with learned parameters of its own


def mirrored(data: Dataset, seed: int, **how: Any) -> tuple[Trained, FloatLearner]:
    learning = Learning(epochs=6, seed=seed, eta=0.05)
    learner = FloatLearner(Network(layers=(64, 64, 32, 10)), Mirror(), learning, data)
    return run(learner, identity="{}", **how), learner


@pytest.mark.parametrize("seed", [0, 1])
def test_diagnostics_judge_the_weights_that_a_method_has_learned_and_resuming_keeps_them(
    digits, seed, tmp_path
):
    done, learner = mirrored(digits, seed)
    row = done.history[-1]
    fresh = FloatLearner(learner.graph.network, Mirror(), learner.learning, digits).state
    live, _ = shown(learner, done.params, done.state)
    initial, _ = shown(learner, done.params, fresh)
    assert row["cosines"] == pytest.approx(live, abs=1e-12)
    assert max(abs(a - b) for a, b in zip(live, initial, strict=True)) > 0.05
    assert min(live) > 0.9
    assert row["accuracy"] > 0.9
    sizes = [np.linalg.norm(done.state[f"mirror_{k}"]) for k in (1, 2)]
    assert row["mirrors"] == pytest.approx(sizes)
    assert not any(np.array_equal(done.state[name], fresh[name]) for name in fresh)

    def kill(done: int, total: int, row: dict[str, Any] | None) -> None:
        if row is not None and row["epoch"] == 3:
            raise Killed

    with pytest.raises(Killed):
        mirrored(digits, seed, out=tmp_path, report=kill)
    resumed, _ = mirrored(digits, seed, out=tmp_path, resume=True)
    same(resumed.params.named(), done.params.named())
    same(dict(resumed.state), dict(done.state))
    assert resumed.history == done.history


def test_learned_feedback_is_saved_with_its_velocity_and_comes_to_agree_with_the_weights(digits, tmp_path):
    """Kolen and Pollack: steps and decay alike, so what B and W^T began with fades and what they share stays."""
    learning = Learning(epochs=6, eta=0.05, weight_decay=1e-2)
    learner = FloatLearner(Network(layers=(64, 64, 32, 10)), Returned(), learning, digits)
    names = set(learner.tensors())
    assert {f"{group}.feedback.{k}" for group in ("parameters", "velocity") for k in (1, 2)} <= names
    done = run(learner, out=tmp_path, identity="{}")
    angles = [cosine(b, w.T) for b, w in zip(done.params.feedback, done.params.weights[1:], strict=True)]
    assert min(angles) > 0.5
    first, last = done.history[0]["cosines"], done.history[-1]["cosines"]
    assert max(first[:2]) < 0.3 < min(last[:2])
    velocity = learner.tensors()["velocity.feedback.1"]
    assert velocity.any()
    other = FloatLearner(Network(layers=(64, 64, 32, 10)), Returned(), learning, digits)
    other.restore(learner.tensors())
    same(other.tensors(), learner.tensors())


def test_chance_is_a_function_of_the_moment(few):
    method = METHODS_TRIED["toy-chance"]
    case = Case(method, few)
    first, same_again = case.update()[0], case.update()[0]
    alike(first, same_again)
    for moment in (Moment(4, 0, 0), Moment(3, 1, 0), Moment(3, 0, 1)):
        other = case.update(moment=moment)[0]
        for name, factor in other.factors.items():
            assert not np.array_equal(factor.post, first.factors[name].post)
    streams = {Moment(1, 2, 3).rng(stream).random() for stream in range(20)}
    assert len(streams) == 20


def test_a_reference_of_its_own_is_what_cosines_are_measured_against(few):
    done, learner = trained(Signed(), few)
    to_signs, to_gradient = shown(learner, done.params, {})
    assert done.history[-1]["cosines"] == pytest.approx(to_signs, abs=1e-12)
    assert to_gradient == pytest.approx([1, 1, 1])
    assert max(to_signs) < 0.9


def test_a_state_of_other_shapes_is_refused(few, tmp_path):
    """A checkpoint of one method does not resume another."""
    trained(Mirror(), few, out=tmp_path)
    with pytest.raises(Exception, match=r"damaged: unexpected .*state\.mirror_1") as caught:
        trained(Signed(), few, out=tmp_path, resume=True)
    assert "\n" not in str(caught.value)
