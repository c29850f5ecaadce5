"""Deep networks: units that change no digit, gains that stay finite, time to pass the layers, and true advice."""

import math
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import DivergedError, LavaGhostWarning, SpecError
from lavaghost.datasets import load_digits
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.dynamics.fixed_point import restoring_bits, restoring_gain, units
from lavaghost.engines import equilibrium
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.ghost.depth import check_depth, settled_share, steps_needed
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.ghost.rules import RULES
from lavaghost.methods.learning import Learning, usual_eta
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network, Schedule
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.settings import IntegerLearning, check_integer, suited
from lavaghost.run.spec import resolved
from lavaghost.training.diagnostics import diagnose
from lavaghost.training.divergence import advice, named
from lavaghost.training.float_learner import FloatLearner, check_finite
from lavaghost.training.loop import Trained, run
from tests.networks import ghost_graph
from tests.strategies import descent, problem

FLOAT32 = np.dtype(np.float32)


def deep(hidden: int, **fields: Any) -> Graph:
    return ghost_graph(layers=(64, *[64] * hidden, 10), **fields)


def trained(network: Network, method: Ghost, learning: Learning) -> Trained:
    return run(FloatLearner(network, method, learning, load_digits()))


# ---- units


def test_units_are_one_until_an_error_falls_by_half_of_the_exponents():
    assert units(deep(8), FLOAT32) == (0,) * 9
    assert units(deep(62), np.dtype(np.float64)) == (0,) * 63
    found = units(deep(62), FLOAT32)
    for k, m in enumerate(found[:-1], start=1):
        bits = math.log2(10) + (63 - k) * math.log2(1 / 0.03)
        assert m == max(0, math.floor(bits) - 63)
    assert found[-1] == 0


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
@pytest.mark.parametrize("saturation", [None, 0.7])
@pytest.mark.parametrize("sweeps", [1, 3])
def test_a_unit_changes_no_digit(monkeypatch, mechanism, saturation, sweeps):
    """Powers of two commute with all of the equations: changes in any units are the same numbers, to the bit."""
    p = problem(
        (5, 9, 8, 7, 4), 12, mechanism=mechanism, copied=False, lam=0.05, beta=0.25, saturation=saturation
    )

    def trial():
        engine = Equilibrium(p.graph, 12, sweeps=sweeps, dtype=np.float64)
        found = engine.trial(p.params, p.x, p.target)
        return [np.array(a) for a in (*found.change, *found.unpredicted)], [np.array(a) for a in found.pre]

    plain, plain_pre = trial()
    monkeypatch.setattr(equilibrium, "units", lambda graph, dtype: (23, 11, 5, 0))
    scaled, scaled_pre = trial()
    for a, b, m in zip(plain, scaled, (23, 11, 5, 0) * 2, strict=False):
        assert np.abs(a).max() > 0
        np.testing.assert_array_equal(a, b * 2.0**-m)
    for a, b in zip(plain_pre, scaled_pre, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("lam", [0.03, 0.3, 0.5])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_a_gain_in_units_is_the_gain(lam, loss):
    graph = deep(20, lam=lam, loss=loss)
    for k in range(1, 22):
        whole = restoring_gain(graph, k)
        assert restoring_gain(graph, k, 40) == pytest.approx(whole * 2.0**-40, rel=1e-13)
        assert restoring_bits(graph, k) == pytest.approx(math.log2(whole), rel=1e-13)


def test_gains_are_finite_in_float32_for_every_lam_and_depth():
    for lam in (1e-300, 1e-30, 1e-4, 0.03, 0.3, 1.0):
        graph = deep(62, lam=lam)
        for k, m in enumerate(units(graph, FLOAT32), start=1):
            assert 0 < restoring_gain(graph, k, m) < 2.0**66


@pytest.mark.parametrize(
    ("hidden", "lam"), [(8, 0.3), (16, 0.3), (32, 0.3), (31, 0.03), (62, 0.03), (62, 1e-30)]
)
def test_the_prediction_rule_follows_the_gradient_at_any_depth(hidden, lam):
    graph = deep(hidden, lam=lam)
    data = load_digits()
    x, target = data.x_train[:200].astype(np.float32), np.eye(10, dtype=np.float32)[data.y_train[:200]]
    params = initial_parameters(graph, 0)
    with np.errstate(over="raise", invalid="raise"):
        found = diagnose(graph, Ghost(rule="prediction", lam=lam), Learning(), params, {}, x, target)
    assert min(found["cosines"]) > 0.98


def test_a_deep_update_has_the_length_of_the_gradient_and_not_only_its_direction():
    """Squared error, tiny beta, against the naive chain rule in double precision, over 62 hidden layers."""
    p = problem((5, *[24] * 62, 4), 30, loss="squared_error", lam=0.03, beta=1e-5)
    params = p.params.astype(np.float32)
    engine = Equilibrium(p.graph, 30)
    trial = engine.trial(params, p.x.astype(np.float32), p.target.astype(np.float32))
    wanted = descent(p.graph, params.astype(np.float64), p.x, p.target)
    for k in (1, 20, 40, 63):
        post = RULES["prediction"].post(trial.local(k)).astype(np.float64)
        change = restoring_gain(p.graph, k, trial.units[k - 1]) / 30 * post.T @ trial.pre[k - 1]
        assert np.linalg.norm(change - wanted[k - 1]) < 1e-2 * np.linalg.norm(wanted[k - 1])


@pytest.mark.parametrize("hidden", [31, 62])
def test_deep_networks_learn_at_the_defaults(hidden):
    spec = resolved({"hidden": [64] * hidden, "learning": {"epochs": 2}})
    assert isinstance(spec.learning, Learning)
    assert (spec.method.lam, spec.learning.eta) == (0.03, usual_eta(hidden + 1))
    history = trained(spec.network_for(64, 10), spec.method, spec.learning).history
    for row in history:
        assert min(row["cosines"]) > 0.98
    assert history[-1]["norms"] != history[0]["norms"]


def test_the_step_of_a_deep_network_is_smaller_unless_it_is_named():
    assert [usual_eta(depth) for depth in (2, 7, 8, 32)] == [0.1, 0.1, 0.01, 0.003]
    named_one = resolved({"hidden": [8] * 31, "learning": {"eta": 0.2}}).learning
    assert isinstance(named_one, Learning)
    assert named_one.eta == 0.2
    with pytest.warns(LavaGhostWarning, match=r"eta 0\.1 is large for 32 layers.*0\.003 holds"):
        check_depth(deep(31), Ghost(), Learning())


# ---- learned ghosts and the prediction rule


@pytest.mark.parametrize("seed", [1, 2, 5, 7])
def test_learned_ghosts_and_the_prediction_rule_hold_where_they_diverged(seed):
    method = Ghost(mechanism="learned", rule="prediction")
    last = trained(Network(layers=(64, 128, 10)), method, Learning(seed=seed)).history[-1]
    assert last["accuracy"] > 0.97
    assert min(last["cosines"]) > 0.95


# ---- time


def chain(depth: int, tau: float, steps: int) -> np.ndarray:
    """The output of a chain of single units with weights of 1, step by step, for an input of 1."""
    schedule = Schedule(tau_steps=tau, tau_ghost_steps=tau, t_free_steps=steps + 1)
    graph = ghost_graph(layers=(1,) * (depth + 1), schedule=schedule)
    ones = tuple(np.ones((1, 1)) for _ in range(depth))
    params = Parameters(ones, tuple(np.zeros(1) for _ in range(depth)))
    engine = Stepped(graph)
    return np.array([engine.rates(state)[-1].item() for _, state in engine.states(params, np.ones((1, 1)))])


@pytest.mark.parametrize("depth", [2, 5, 12])
@pytest.mark.parametrize("tau", [1.0, 2.0, 5.0])
def test_the_settled_share_is_what_the_stepped_engine_does(depth, tau):
    wanted = chain(depth, tau, 60)
    found = [settled_share(steps, tau, depth) for steps in range(61)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 9, 63])
@pytest.mark.parametrize("tau", [1.0, 2.0, 7.5])
def test_steps_needed_are_the_fewest(depth, tau):
    steps = steps_needed(tau, depth)
    assert settled_share(steps, tau, depth) >= 0.9 > settled_share(steps - 1, tau, depth)


@pytest.mark.parametrize("engine", ["stepped", "lava"])
@pytest.mark.parametrize("hidden", [12, 31, 62])
def test_what_steps_in_time_refuses_depth_with_values_that_work(engine, hidden):
    method, learning = Ghost(), Learning(engine=engine, eta=usual_eta(hidden + 1))
    with pytest.raises(SpecError, match=r"float64 rounds rates at 2\^-52; use a lam of at least") as caught:
        check_depth(deep(hidden), method, learning)
    lam = float(str(caught.value).split("at least ")[1].split()[0])
    assert lam < 1
    needed = steps_needed(2.0, hidden + 1)
    schedule = Schedule(t_free_steps=needed + 1, t_nudge_steps=needed)
    check_depth(deep(hidden, lam=lam, schedule=schedule), method, learning)
    with pytest.raises(SpecError, match="an error of 1 falls"):
        check_depth(deep(hidden, lam=0.9 * lam, schedule=schedule), method, learning)


def test_phases_that_no_signal_passes_are_refused_and_short_ones_are_said():
    learning = Learning(engine="stepped", eta=0.01)
    wanted = (
        r"method\.schedule\.t_free_steps 9: .*9 steps.*; method\.schedule\.t_nudge_steps 8: an error needs 9"
    )
    with pytest.raises(SpecError, match=wanted):
        check_depth(deep(8, schedule=Schedule(t_free_steps=9, t_nudge_steps=8)), Ghost(), learning)
    with pytest.warns(LavaGhostWarning, match=r"9 layers .* do not settle \(t_nudge_steps 12: 7% of the way\)"):
        check_depth(deep(8, schedule=Schedule(t_nudge_steps=12)), Ghost(), learning)


@pytest.mark.parametrize("fields", [{"lam": 100.0}, {"beta": 1e-40}])
def test_what_grows_or_starts_beyond_float32_is_refused(fields):
    with pytest.raises(SpecError, match="float32; use"):
        check_depth(deep(31, **fields), Ghost(**fields), Learning(eta=0.003))


def test_a_method_without_ghosts_has_no_error_that_falls_and_no_phases():
    """A network of 62 hidden layers learns by backprop in any engine: nothing is nudged in it."""
    method = Backprop()
    graph = method.graph(Network(layers=(64, *[64] * 62, 10)))
    for engine in ("equilibrium", "stepped"):
        check_depth(graph, method, Learning(engine=engine, eta=0.001))
    assert units(graph, FLOAT32) == (0,) * 63
    assert (graph.schedule.tau_steps, graph.schedule.t_free_steps) == (1.0, 64)


def test_integers_refuse_an_error_below_their_unit_with_a_lam_that_works():
    network = Network(layers=(64, *[64] * 12, 10), loss="squared_error", saturation=2.0)
    schedule = Schedule(t_free_steps=60, t_nudge_steps=40)
    method = Ghost(lam=0.125, beta=1.0, schedule=schedule)

    def check(network: Network, method: Ghost) -> None:
        graph = method.graph(network)
        check_integer(graph, method.local_rule, IntegerLearning(), default_formats(graph), DEFAULT)

    with pytest.raises(SpecError, match="12 fractional bits; use a lam of at least 1 ") as caught:
        check(network, method)
    assert "eta" not in str(caught.value)
    made_network, made_method = suited(network, method)
    assert isinstance(made_method, Ghost)
    check(made_network, made_method)


# ---- advice


def test_arrays_are_named_by_ranges():
    names = [f"weights.{k}" for k in (1, 2, 3, 5)] + ["biases.4", "own", "other"]
    assert named(names) == "weights.1-3,5, biases.4, own, other"


def test_divergence_names_the_step_where_the_step_is_the_cause():
    graph = ghost_graph(layers=(4, 3, 2))
    params = initial_parameters(graph, 0)
    params.weights[0][:] = np.nan
    with pytest.raises(
        DivergedError, match=r"in epoch 1: weights\.1 not finite; lower learning\.eta \(0\.1\)"
    ) as e:
        check_finite(graph, params, {}, "epoch 1", Ghost(), Learning(), {})
    assert "lam" not in str(e.value)


def test_divergence_names_the_loop_where_it_is_open():
    row = {"loop_gain": [0.2, 4.0], "residuals": [0.0, 0.0]}
    kind = {"layers": (4, 3, 3, 2), "lam": 0.08}
    online = ghost_graph(mechanism="online", **kind)
    assert "gain of 4 in layer 2; lower method.lam (0.08) below 0.02" in advice(
        online, ["weights.1"], Ghost(), Learning(), row
    )
    for mechanism in ("duplicate", "learned"):
        graph = ghost_graph(mechanism=mechanism, **kind)
        assert "lam" not in advice(graph, ["weights.1"], Ghost(), Learning(), row)


def test_divergence_in_pretraining_names_the_ghosts_steps():
    method = Ghost(mechanism="learned", plasticity=GhostSteps(mu=60.0, mu_inhibition=50.0))
    with pytest.raises(
        DivergedError,
        match=r"pre-training: ghost_.*lower the ghosts' steps, .*mu \(60\) and mu_inhibition \(50\)",
    ):
        trained(Network(layers=(64, 20, 10)), method, Learning())
