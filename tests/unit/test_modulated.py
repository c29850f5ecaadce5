"""`Modulated`: each part alone, all off to the bit, dropout against the network that is left, and differences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.methods.base import Batch, Changes, Method, Moment
from lavaghost.methods.by_name import METHODS, check_together, method_of
from lavaghost.methods.dropout import drawn, scales
from lavaghost.methods.followed import HIGHEST, LOWEST, Followed, moved
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.ghost.residuals import residuals
from lavaghost.methods.learning import Learning
from lavaghost.methods.modulated import FOLLOWED, OWN, Modulated
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import Trained, run
from tests import tolerances
from tests.strategies import descent, loss

LAYERS = (12, 9, 8, 4)
LEARNED = Ghost(mechanism="learned", plasticity=GhostSteps(pretrain_batches=10, gate=10.0))
WRAPPED: dict[str, Method] = {
    "ghost": Ghost(),
    "ghost-temporal": Ghost(rule="temporal"),
    "ghost-random": Ghost(feedback="random"),
    "ghost-learned": LEARNED,
    "ghost-online": Ghost(mechanism="online", lam=0.01),
    "backprop": method_of("backprop"),
    "relaxation": ActivationRelaxation(steps=5, rate=0.5, start="rates"),
    "kolen-pollack": method_of("kolen-pollack"),
    "dfa": method_of("dfa"),
    "brainprop": method_of("brainprop"),
    "frozen": method_of("frozen"),
    "least-action": method_of("least-action"),
}
PARTS: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.4},
    "follows": {"dropout": 0.5, "dropout_follows": 1},
    "rate": {"rate_end": 0.1},
    "hebbian": {"hebbian": 0.1, "hebbian_share": 0.01},
    "gains": {"gains": (0.25, 0.5, 2.0)},
}
wrapped = pytest.mark.parametrize("method", WRAPPED.values(), ids=WRAPPED.keys())
part = pytest.mark.parametrize("settings", PARTS.values(), ids=PARTS.keys())
MOMENT = Moment(5, 0, 3)


class Case:
    """A network with biases, and a batch, in single precision as training has them."""

    def __init__(self, method: Method, seed: int = 0, batch: int = 7, layers: tuple[int, ...] = LAYERS) -> None:
        rng = np.random.default_rng(seed)
        self.method = method
        self.network = Network.model_validate({"layers": layers, "loss": method.needs.losses[0]})
        self.graph = method.graph(self.network)
        drawn = initial_parameters(self.graph, seed)
        moved = {
            name: a + rng.normal(0, 0.2, a.shape).astype("f4") if "biases" in name else a
            for name, a in drawn.named().items()
        }
        self.params = Parameters.from_named(self.graph, moved)
        self.x = rng.random((batch, layers[0]), np.float32)
        self.target = np.eye(layers[-1], dtype=np.float32)[rng.integers(0, layers[-1], batch)]
        self.learning = Learning(batch_size=batch, epochs=10)

    def having(self, params: Parameters) -> "Case":
        """The same with other numbers."""
        found = Case.__new__(Case)
        found.__dict__ = {**self.__dict__, "params": params}
        return found

    def asked(self, method: Method, state: Any = None, moment: Moment = MOMENT, purpose: Any = "train"):
        work = method.prepare(self.graph, self.learning)
        if state is None:
            state = method.init(self.graph, self.params, np.random.default_rng(1))
        return method.update(work, self.params, state, Batch(self.x, self.target, moment, purpose))


def named(changes: Changes, graph: Graph) -> dict[str, np.ndarray]:
    """Changes multiplied out, by tensor, in double precision."""
    found: dict[str, np.ndarray] = {}
    for name, (post, pre, gain) in changes.factors.items():
        found[name] = gain / len(post) * np.einsum("bj,bi->ji", post.astype(float), pre.astype(float))
        if name.startswith("weights"):
            found[name.replace("weights", "biases")] = gain / len(post) * post.astype(float).sum(axis=0)
    return found | {name: a.astype(float) for name, a in changes.add.items()}


def near(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], share: float = 1e-4) -> None:
    assert found.keys() == wanted.keys()
    for name, a in wanted.items():
        np.testing.assert_allclose(found[name], a, rtol=0, atol=share * np.abs(a).max() + 1e-9, err_msg=name)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    return replace(digits, x_train=digits.x_train[:200], y_train=digits.y_train[:200])


def trained(method: Method, data: Dataset, **how: Any) -> tuple[Trained, FloatLearner]:
    network = Network.model_validate({"layers": (64, 20, 16, 10), "loss": method.needs.losses[0]})
    learning = Learning(epochs=3, eta=0.05, seed=2)
    learner = FloatLearner(network, method, learning, data)
    return run(learner, identity="{}", **how), learner


# ---- off


@pytest.mark.parametrize("method", [*WRAPPED.values(), method_of("pal")], ids=[*WRAPPED, "pal"])
def test_with_nothing_on_a_run_is_that_of_the_method_to_the_bit(method: Method, few: Dataset):
    plain, one = trained(method, few)
    found, other = trained(Modulated(method=method), few)
    assert one.tensors().keys() == other.tensors().keys()
    for name, array in one.tensors().items():
        np.testing.assert_array_equal(other.tensors()[name], array, err_msg=name)
    assert found.history == plain.history


@wrapped
@pytest.mark.parametrize("settings", [{"dropout": 0.0}, {"gains": (1.0, 1.0, 1.0)}, {"rate_end": 1.0}])
def test_the_neutral_value_of_a_part_is_the_same_as_none(method: Method, settings: dict[str, Any]):
    case = Case(method)
    plain, one = case.asked(method)
    found, other = case.asked(Modulated(method=method, **settings))
    a, b = named(plain, case.graph), named(found, case.graph)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert one.keys() == other.keys()


@part
def test_a_part_alone_changes_the_run_and_nothing_that_is_another_ones(settings: dict[str, Any], few: Dataset):
    plain, _ = trained(Ghost(), few)
    found, _ = trained(Modulated(**settings), few)
    assert not np.array_equal(found.params.weights[0], plain.params.weights[0])
    assert found.history[0]["accuracy"] == plain.history[0]["accuracy"]
    figures = found.history[-1].keys() - plain.history[-1].keys()
    assert figures == {
        "dropout": {"dropout"},
        "dropout_follows": {"dropout"},
        "hebbian": {"traces"},
        "gains": {"gains"},
        "rate_end": set(),
    }.get(next(iter(settings)))
    named = {name.removeprefix(OWN).rstrip("_123") for name in found.state}
    wanted = {"hebbian": {"trace", "trace_share"}}.get(next(iter(settings)), set())
    assert named == wanted | ({"dropout"} if "dropout_follows" in settings else set())


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name != "modulated"])
def test_every_method_learns_with_all_of_it_and_judges_itself_without_dropout(name: str):
    method = method_of(name)
    both = Modulated(
        method=method, dropout=0.5, dropout_follows=2, rate_end=0.5, hebbian=0.1, gains=(1.0, 0.5, 2.0)
    )
    case = Case(method)
    check_together(both, case.graph, case.learning)
    changes, state = case.asked(both)
    assert all(np.isfinite(a).all() for a in named(changes, case.graph).values())
    assert {key: a.shape for key, a in state.items()} == both.shapes(case.graph)
    probe, same = case.asked(both, purpose="probe")
    plain, _ = case.asked(method, purpose="probe")
    gains = {"weights.1": 1.0, "weights.2": 0.5, "weights.3": 2.0, "feedback.1": 0.5, "feedback.2": 2.0}
    for key, factor in plain.factors.items():
        np.testing.assert_array_equal(probe.factors[key].post, factor.post)
        assert probe.factors[key].gain == gains[key] * factor.gain
    begun = both.init(case.graph, case.params, np.random.default_rng(1))
    assert all(np.array_equal(a, begun[key]) for key, a in same.items())


# ---- dropout


@wrapped
@given(seed=st.integers(0, 1000), dropout=st.sampled_from([0.25, 0.5, 0.75]))
def test_dropout_is_the_method_on_the_smaller_network_of_the_units_that_stay(method, seed, dropout):
    """The units that rest are cut out of every tensor, and what the others send is divided by p, by hand."""
    p = 1.0 - dropout
    moment = Moment(seed, 0, 3)
    case = Case(method, seed, layers=(6, 9, 8, 4))
    masks = drawn(case.graph, p, moment)
    if min(m.sum() for m in masks.values()) == 0:
        return
    stay = [np.arange(6), *(np.flatnonzero(masks[k]) for k in (1, 2)), np.arange(4)]
    small_network = Network.model_validate({"layers": tuple(map(len, stay)), "loss": case.network.loss})
    small = method.graph(small_network)
    sent = [1.0, p, p, 1.0]
    rows: dict[str, Any] = {}
    for k in (1, 2, 3):
        rows[f"weights.{k}"] = (stay[k], stay[k - 1], 1 / sent[k - 1])
        rows[f"biases.{k}"] = (stay[k], None, 1.0)
    for k in (1, 2):
        above = 3 if method.name == "dfa" else k + 1
        rows[f"feedback.{k}"] = (stay[k], stay[above], 1 / p)
        rows[f"ghost_weights.{k}"] = (stay[k + 1], stay[k], 1 / p)
        rows[f"ghost_biases.{k}"] = (stay[k + 1], None, 1.0)
        rows[f"ghost_inhibition.{k}"] = (stay[k], stay[k + 1], 1 / p)

    def cut(name: str, a: np.ndarray) -> np.ndarray:
        post, pre, scale = rows[name]
        return np.ascontiguousarray((a[post] if pre is None else a[np.ix_(post, pre)]) * a.dtype.type(scale))

    arrays = {name: cut(name, a) for name, a in case.params.named().items()}
    there = Case(method, seed, layers=(6, 9, 8, 4)).having(Parameters.from_named(small, arrays))
    there.graph = small
    wanted, _ = there.asked(method, moment=moment)
    found, _ = case.asked(Modulated(method=method, dropout=dropout), moment=moment)
    cut_out = {}
    for name, change in named(found, case.graph).items():
        post, pre, scale = rows[name]
        whole = np.zeros_like(change)
        index = (post,) if pre is None else np.ix_(post, pre)
        whole[index] = change[index]
        np.testing.assert_array_equal(whole, change, err_msg=f"{name}: a unit that rests learned")
        cut_out[name] = change[index] / scale
    wanted_changes = named(wanted, small)
    assert wanted.follow == found.follow
    assert cut_out.keys() == wanted_changes.keys()
    top = max(np.abs(a).max() for a in wanted_changes.values())
    for name, a in wanted_changes.items():
        np.testing.assert_allclose(
            cut_out[name], a, rtol=0, atol=2e-3 * np.abs(a).max() + 1e-5 * top, err_msg=name
        )


def test_dropout_of_backprop_is_the_difference_quotient_of_the_loss_that_is_left():
    """Of every weight and bias, with the mask of that moment held: the chain rule through the mask."""
    case, method = Case(method_of("backprop")), Modulated(method="backprop", dropout=0.5)
    changes, _ = case.asked(method)
    mask = scales(case.graph, drawn(case.graph, 0.5, MOMENT), 0.5)
    exact = case.params.astype(np.float64)
    x, target, h = case.x.astype(float), case.target.astype(float), tolerances.DIFFERENCE
    found = named(changes, case.graph)
    assert len(found) == 6
    for name, values in found.items():
        wanted = np.empty_like(values)
        for index in np.ndindex(values.shape):
            ends = []
            for sign in (1, -1):
                arrays = {key: a.copy() for key, a in exact.named().items()}
                arrays[name][index] += sign * h
                moved_there = mask.masked(Parameters.from_named(case.graph, arrays))
                ends.append(loss(case.graph, moved_there, x, target))
            wanted[index] = -(ends[0] - ends[1]) / (2 * h)
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(
            values, wanted, rtol=0, atol=tolerances.GRADIENT32 * np.abs(wanted).max() + 1e-9
        )


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_exact_ghosts_cancel_under_a_mask_in_every_moment(mechanism: Any, feedback: Any, engine: Any):
    """Learned ghosts that have learned it all, G = W, c = b, I = B, leave nothing either."""
    method = Ghost(mechanism=mechanism, feedback=feedback, lam=0.02)
    case = Case(method, layers=(12, 40, 30, 4))
    if mechanism == "learned":
        back = case.params.feedback or tuple(np.ascontiguousarray(w.T) for w in case.params.weights[1:])
        case = case.having(
            case.params._replace(
                ghost_weights=case.params.weights[1:],
                ghost_biases=case.params.biases[1:],
                ghost_inhibition=back,
            )
        )
    precision = np.float64 if engine == "stepped" else np.float32
    work = method.prepare(case.graph, case.learning.model_copy(update={"engine": engine}))
    for batch in range(5):
        mask = scales(case.graph, drawn(case.graph, 0.5, Moment(0, 0, batch)), 0.5)
        params = mask.masked(case.params.astype(precision))
        trial = work.engine.trial(params, case.x, case.target)
        assert max(residuals(case.graph, params, trial)) < 1e-5
        # nor does a unit that rests move while a target is given
        for k, resting in drawn(case.graph, 0.5, Moment(0, 0, batch)).items():
            assert not trial.free[k - 1][:, resting == 0].any()
            assert not trial.change[k - 1][:, resting == 0].any()
            assert trial.free[k - 1][:, resting == 1].any()
        if mechanism == "learned":  # ghosts that do not know who rests miss what these would have sent
            unaware = params._replace(
                ghost_weights=case.params.ghost_weights, ghost_inhibition=case.params.ghost_inhibition
            ).astype(precision)
            assert min(residuals(case.graph, unaware, work.engine.trial(unaware, case.x, case.target))) > 0.1


def test_which_units_rest_is_a_function_of_the_moment_and_as_many_as_was_said():
    graph = Ghost().graph(Network(layers=(4, 400, 300, 3)))
    first = drawn(graph, 0.7, Moment(1, 2, 3))
    again = drawn(graph, 0.7, Moment(1, 2, 3))
    assert {k: m.shape for k, m in first.items()} == {1: (400,), 2: (300,)}
    for k, mask in first.items():
        np.testing.assert_array_equal(mask, again[k])
        assert set(mask) == {0.0, 1.0}
    for other in (Moment(2, 2, 3), Moment(1, 3, 3), Moment(1, 2, 4)):
        assert not np.array_equal(drawn(graph, 0.7, other)[1], first[1])
    kept = np.mean([drawn(graph, 0.7, Moment(0, 0, i))[1].mean() for i in range(100)])
    assert kept == pytest.approx(0.7, abs=0.01)


def test_the_mean_of_what_arrives_under_dropout_is_what_arrives_without():
    """Inverted dropout: in the mean over masks the layer above gets what it gets from the whole network."""
    case = Case(method_of("backprop"))
    masked = [
        scales(case.graph, drawn(case.graph, 0.5, Moment(0, 0, i)), 0.5).masked(case.params).weights[2]
        for i in range(4000)
    ]
    np.testing.assert_allclose(np.mean(masked, axis=0), case.params.weights[2], atol=0.08)


# ---- dropout that follows the loss


@given(st.floats(LOWEST, HIGHEST), st.floats(-1e3, 1e3).filter(lambda c: abs(c) > 1e-9))
def test_a_loss_that_falls_lowers_dropout_by_little_and_never_beyond_its_bounds(kept: float, change: float):
    after = moved(kept, change)
    most = min(abs(HIGHEST - kept), abs(LOWEST - kept)) / 100
    assert LOWEST <= after <= HIGHEST
    assert (after - kept) * -change >= 0
    if 1e-5 < most / abs(change) < 1:
        # the nearest power of ten is at most half a decade away
        assert most / np.sqrt(10) * 0.99 <= abs(after - kept) <= most * np.sqrt(10) * 1.01


def test_the_step_is_the_one_of_the_code_by_hand():
    assert moved(0.5, -0.02) == pytest.approx(0.5 + 0.1 * 0.02)  # p_max .003, .15, s = .1
    assert moved(0.5, 0.4) == pytest.approx(0.5 - 0.01 * 0.4)  # .0075, s = .01
    assert moved(0.7, -0.0001) == pytest.approx(0.7001)  # 10, s = 1 at most
    assert moved(0.5, 0.0) == moved(0.5, float("nan")) == 0.5


def test_dropout_follows_the_mean_loss_of_as_many_epochs():
    """Two batches an epoch, two epochs a step; the loss is that of the network that is left, by hand."""
    method = Modulated(method="backprop", dropout=0.5, dropout_follows=2)
    case, seen = Case(method_of("backprop")), []
    state = method.init(case.graph, case.params, np.random.default_rng(0))
    exact = case.params.astype(np.float64)
    means: list[float] = []
    for epoch in range(6):
        kept = method.kept(state)
        for i in range(2):
            moment = Moment(0, epoch, i)
            _, state = case.asked(method, state, moment)
            now = method.kept(state)
            mask = scales(case.graph, drawn(case.graph, now, moment), now)
            seen.append(loss(case.graph, mask.masked(exact), case.x.astype(float), case.target.astype(float)))
        if epoch in (2, 4):
            means.append(float(np.mean(seen[2 * (epoch - 2) : 2 * epoch])))
        if epoch == 4:
            assert method.kept(state) == pytest.approx(moved(kept, means[1] - means[0]), rel=1e-6)
            assert method.kept(state) != kept
        else:
            assert method.kept(state) == kept
    for purpose in ("probe", "pretrain"):
        _, same = case.asked(method, state, Moment(0, 8, 0), purpose)
        np.testing.assert_array_equal(same[FOLLOWED], state[FOLLOWED])


def test_what_it_remembers_comes_back_from_its_array():
    found = Followed(0.5).heard(2.0, 10).heard(1.0, 30)
    assert (found.total, found.samples) == (50.0, 40.0)
    assert Followed.of(found.array()) == found
    first = found.stepped()
    assert first == Followed(0.5, before=1.25, known=1.0)
    assert first.stepped() == first  # nothing was heard
    assert first.heard(1.05, 5).stepped().kept == pytest.approx(moved(0.5, -0.2))


# ---- decay, trace, gains


@pytest.mark.parametrize(("levels", "epochs"), [(100, 10), (5, 10), (3, 7), (100, 1), (2, 4)])
def test_the_rate_falls_by_equal_factors_from_one_to_its_end(levels: int, epochs: int):
    method = Modulated(rate_end=0.01, levels=levels)
    rates = [method.rate(epoch, epochs) for epoch in range(epochs)]
    assert rates[0] == 1.0
    distinct = sorted(set(rates), reverse=True)
    assert rates == sorted(rates, reverse=True)
    if epochs == 1:
        return
    assert rates[-1] == pytest.approx(0.01)
    assert len(distinct) == min(levels, epochs)
    ratios = np.divide(distinct[1:], distinct[:-1])
    np.testing.assert_allclose(ratios, ratios[0])


@wrapped
def test_decay_and_gains_multiply_steps_and_leave_their_direction(method: Method):
    case, moment = Case(method), Moment(0, 9, 0)
    plain, _ = case.asked(method, moment=moment)
    found, _ = case.asked(Modulated(method=method, rate_end=0.1, gains=(0.25, 0.5, 2.0)), moment=moment)
    gains = {"weights.1": 0.25, "weights.2": 0.5, "weights.3": 2.0, "feedback.1": 0.5, "feedback.2": 2.0}
    assert found.factors.keys() == plain.factors.keys()
    for name, factor in plain.factors.items():
        assert found.factors[name].gain == pytest.approx(0.1 * gains[name] * factor.gain)
        np.testing.assert_array_equal(found.factors[name].post, factor.post)
        np.testing.assert_array_equal(found.factors[name].pre, factor.pre)
    assert found.follow == plain.follow
    for name, change in plain.add.items():
        np.testing.assert_array_equal(found.add[name], change)


@pytest.mark.parametrize("method", ["backprop", "kolen-pollack"])
@pytest.mark.parametrize("share", [1e-4, 0.5])
def test_weights_are_slow_weights_and_alpha_times_the_trace_at_all_times(
    method: str, share: float, few: Dataset
):
    """Without momentum and decay slow weights move by factors alone; the trace is the clipped sum of what met."""
    both = Modulated(method=method, hebbian=0.5, hebbian_share=share)
    graph = both.graph(Network(layers=(64, 20, 16, 10)))
    learning = Learning(epochs=1, momentum=0.0, weight_decay=0.0)
    learner = FloatLearner(graph.network, both, learning, few)
    slow = [w.astype(np.float64).copy() for w in learner.params.weights[:2]]
    traces = [np.zeros(w.shape) for w in slow]
    shares = [learner.state[f"{OWN}trace_share_{k}"] for k in (1, 2)]
    for a in shares:
        assert 0 <= a.min() < a.max() < share
        assert a.shape == (learner.graph.layers[1 if a is shares[0] else 2],)
    for i in range(12):
        rows = slice(10 * i, 10 * i + 10)
        x, y = few.x_train[rows], np.eye(10, dtype=np.float32)[few.y_train[rows]]
        exact = learner.params.astype(np.float64)
        r = [x.astype(float)]
        for w, b in zip(exact.weights[:2], exact.biases[:2], strict=True):
            r.append(np.maximum(r[-1] @ w.T + b, 0))
        for k, gradient in enumerate(descent(graph, exact, x.astype(float), y.astype(float))[:2]):
            if method == "backprop":
                slow[k] += 0.05 * gradient
            traces[k] = np.clip(traces[k] + 0.5 * r[k + 1].T @ r[k] / 10, -2, 2)
        learner._step(Batch(x, y, Moment(0, 0, i)), 0.05)
        for k in (0, 1):
            np.testing.assert_allclose(learner.state[f"{OWN}trace_{k + 1}"], traces[k], rtol=1e-4, atol=1e-5)
            if method == "backprop":
                whole = slow[k] + np.asarray(shares[k])[:, np.newaxis] * traces[k]
                np.testing.assert_allclose(learner.params.weights[k], whole, rtol=1e-3, atol=1e-4)
    assert max(t.max() for t in traces) == 2.0


@pytest.mark.parametrize(
    ("method", "name"), [(LEARNED, "ghost_weights.1"), (method_of("kolen-pollack"), "feedback.1")]
)
def test_what_follows_the_weights_follows_their_trace(method: Method, name: str):
    case, case_of_pal = Case(method), Case(method_of("pal"))
    plain, _ = case.asked(method)
    found, _ = case.asked(Modulated(method=method, hebbian=0.5, hebbian_share=0.5))
    step = found.add["weights.2"]
    assert step.any()
    assert "weights.3" not in found.add  # the output has none
    pal, _ = case_of_pal.asked(Modulated(method="pal", hebbian=0.5, hebbian_share=0.5))
    taught, _ = case_of_pal.asked(method_of("pal"))
    np.testing.assert_array_equal(pal.add["feedback.1"], taught.add["feedback.1"])  # noise teaches it
    own = found.add[name] - plain.add.get(name, np.float32(0))
    np.testing.assert_allclose(own, step if name.startswith("ghost") else step.T, atol=1e-6)


def test_a_layer_that_does_not_learn_has_no_trace_and_a_network_that_waits_lets_it_wait():
    network = Network(layers=LAYERS, plastic=(2, 3))
    method = Modulated(method="backprop", hebbian=0.1)
    assert set(method.shapes(method.graph(network))) == {f"{OWN}trace_2", f"{OWN}trace_share_2"}
    waiting = Ghost(mechanism="learned", plasticity=GhostSteps(gate=1e-6))
    case, both = Case(waiting), Modulated(method=waiting, hebbian=0.1)
    changes, state = case.asked(both)
    assert not changes.factors
    assert not any(name.startswith("weights") for name in changes.add)
    assert not state[f"{OWN}trace_1"].any()


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dropout": 1.0}, r"method\.dropout 1 leaves no unit; use a share below 1"),
        ({"dropout": 7}, r"method\.dropout 7 leaves no unit"),
        ({"dropout_follows": 5}, r"method\.dropout_follows moves dropout between 0\.2 and 0\.8.* is None"),
        ({"dropout": 0.1, "dropout_follows": 5}, r"between 0\.2 and 0\.8, and method\.dropout is 0\.1"),
        ({"gains": (1.0, 2.0)}, r"method\.gains has 2 factors, and the network has 3 layers"),
    ],
)
def test_what_a_part_cannot_do_is_refused_with_all_else(settings: dict[str, Any], said: str):
    method = Modulated(method="brainprop", **settings)
    network = Network(layers=LAYERS)
    with pytest.raises(SpecError, match=said) as caught:
        check_together(method, method.graph(network), Learning(engine="lava"))
    text = str(caught.value)
    assert "\n" not in text
    assert "method 'modulated' of 'brainprop' has no loss 'cross_entropy'; use squared_error" in text
    assert "method 'modulated' of 'brainprop' has no processes or equations for engine 'lava'" in text


@pytest.mark.parametrize("settings", [{"dropout": 0.2}, {"hebbian": 0.1}])
def test_dropout_and_traces_want_dense_projections_and_gains_do_not(settings: dict[str, Any]):
    network = Network(layers=(6, 6, 3), kinds=("one_to_one", "dense"))
    for given_, refused in ((settings, True), ({"gains": (1.0, 2.0), "rate_end": 0.1}, False)):
        method = Modulated(method="backprop", **given_)
        faults = method.faults(method.graph(network))
        assert bool(faults) == refused
        assert all("is for dense projections" in fault for fault in faults)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "magic"}, r"method\.method: no method 'magic'; there are"),
        ({"method": {"name": "ghost", "lam": -1}}, r"method\.method\.lam: input should be greater than 0"),
        ({"method": {"name": "modulated"}}, r"modulated cannot wrap itself; put all settings into one"),
        ({"rate_end": 1.5}, r"method\.rate_end: input should be less than or equal to 1"),
        ({"gains": [1, -1]}, r"method\.gains\.1: input should be greater than or equal to 0"),
        ({"hebbian": 0}, r"method\.hebbian: input should be greater than 0"),
    ],
)
def test_a_value_that_is_none_is_refused_by_its_path(values: dict[str, Any], said: str):
    with pytest.raises(SpecError, match=said) as caught:
        method_of({"name": "modulated", **values})
    assert "\n" not in str(caught.value)


def test_what_it_costs_is_that_of_the_method_and_what_its_own_pass_and_traces_take():
    case = Case(Ghost())
    forward, hidden = 12 * 9 + 9 * 8 + 8 * 4, 12 * 9 + 9 * 8
    plain = Ghost().operations(case.graph, case.learning)

    def more(**settings: Any) -> int:
        return Modulated(**settings).operations(case.graph, case.learning) - plain

    assert more(dropout=0.5, rate_end=0.1, gains=(1.0, 1.0, 1.0)) == 0
    assert more(dropout=0.5, dropout_follows=1) == forward
    assert more(hebbian=0.1) == forward + hidden
    assert Modulated(dropout=0.5).footprint(case.graph) == Ghost().footprint(case.graph)
    assert "trace of its own" in Modulated(hebbian=0.1).footprint(case.graph).reads
