"""Methods of credit assignment: backprop against differences of the loss, frozen layers, the fast ghost path."""

import numpy as np
import pytest

from lavaghost.dynamics import Parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Factors
from lavaghost.methods.by_name import METHODS, method_of
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.ghost.rules import PREDICTION, RULES, TEMPORAL
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network
from tests import tolerances
from tests.networks import asked, parts
from tests.strategies import Problem, descent, fast, loss, parameters, problem, samples

LOSSES = ["squared_error", "cross_entropy"]
RATES = [{}, {"saturation": 1.0}, {"activation": "hard_sigmoid"}]


def dense(factor: Factors) -> np.ndarray:
    return factor.gain / len(factor.post) * np.einsum("bj,bi->ji", factor.post.astype(np.float64), factor.pre)


def factors_of(method, p: Problem, **learning) -> list[Factors]:
    """The factors of W_1..W_L, all of them, by a method on the network of `p`."""
    graph = method.graph(p.network)
    found = asked(method, graph, p.params, p.x, p.target, **learning)
    assert not found.add
    assert not found.follow
    assert list(found.factors) == [f"weights.{k}" for k in layers_of(method, graph)]
    return [found.factors[f"weights.{k}"] for k in sorted(layers_of(method, graph))]


def layers_of(method, graph) -> list[int]:
    """The layers that a method learns, in the order in which it finds them."""
    if isinstance(method, Ghost):
        return list(range(1, graph.depth + 1))
    return [graph.depth] if isinstance(method, Frozen) else list(range(graph.depth, 0, -1))


def plain(p: Problem) -> Problem:
    """The same network and numbers without ghosts and feedback."""
    return p._replace(params=Parameters(p.params.weights, p.params.biases))


# ---- backprop


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("rates", RATES)
def test_backprop_is_the_difference_quotient_of_the_loss(loss_name, rates):
    """Every weight and bias of a tiny network, central differences in double precision, off the kinks."""
    p = problem((4, 6, 5, 3), 7, seed=3, margin=0.01, loss=loss_name, **rates).single()
    factors = factors_of(Backprop(), p)
    exact = p.double()
    h = tolerances.DIFFERENCE
    for k, factor in enumerate(factors):
        found = {
            "weights": dense(factor),
            "biases": factor.gain / 7 * factor.post.sum(axis=0, dtype=np.float64),
        }
        for field, values in found.items():
            wanted = np.empty_like(values)
            for index in np.ndindex(values.shape):
                ends = []
                for sign in (1, -1):
                    named = {name: a.copy() for name, a in exact.params.named().items()}
                    named[f"{field}.{k + 1}"][index] += sign * h
                    moved = Parameters.from_named(Backprop().graph(p.network), named)
                    ends.append(loss(p.graph, moved, exact.x, exact.target))
                wanted[index] = -(ends[0] - ends[1]) / (2 * h)
            np.testing.assert_allclose(
                values, wanted, rtol=0, atol=tolerances.GRADIENT32 * np.abs(wanted).max() + 1e-9
            )


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("rates", RATES)
def test_backprop_is_the_naive_chain_rule_for_any_sample(loss_name, rates):
    p = problem((8, 16, 12, 10, 5), 32, loss=loss_name, mechanism="learned", **rates).single()
    factors = factors_of(Backprop(), p)
    exact = p.double()
    for factor, wanted in zip(factors, descent(p.graph, exact.params, exact.x, exact.target), strict=True):
        np.testing.assert_allclose(
            dense(factor), wanted, rtol=0, atol=tolerances.GRADIENT32 * np.abs(wanted).max()
        )


def test_backprop_has_no_slope_at_the_edges():
    """A unit exactly at 0, or exactly at its saturation, passes nothing on."""
    network = Network(layers=(1, 3, 1), saturation=1.0, loss="squared_error")
    params = Parameters(
        (np.array([[0.0], [1.0], [0.5]], np.float32), np.ones((1, 3), np.float32)),
        (np.zeros(3, np.float32), np.zeros(1, np.float32)),
    )
    x, target = np.ones((1, 1), np.float32), np.full((1, 1), 9.0, np.float32)
    factors = factors_of(Backprop(), Problem(network, Ghost(), params, x, target))
    assert dense(factors[0]).ravel().tolist() == [0.0, 0.0, 7.5]


def test_frozen_learns_the_output_alone_and_as_backprop_does():
    p = problem((6, 7, 6, 4), 9).single()
    changes = asked(Frozen(), Frozen().graph(p.network), p.params, p.x, p.target)
    assert list(changes.factors) == ["weights.3"]
    np.testing.assert_array_equal(dense(changes.factors["weights.3"]), dense(factors_of(Backprop(), p)[-1]))


# ---- ghost


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
@pytest.mark.parametrize(
    ("mechanism", "rule"),
    [("duplicate", "prediction"), ("duplicate", "temporal"), ("learned", "prediction"), ("online", "temporal")],
)
def test_ghost_factors_approach_backprop_in_both_engines(loss_name, engine, mechanism, rule):
    """Guarantees 2 to 4 through the interface that training uses, with its own precision."""
    p = problem(
        (6, 9, 8, 4),
        12,
        margin=0.02,
        mechanism=mechanism,
        rule=rule,
        plasticity=GhostSteps(gate=0.5),
        loss=loss_name,
        lam=1e-3,
        beta=1e-3,
        schedule=fast(t_free_steps=150, t_nudge_steps=150),
    )
    if engine == "equilibrium":
        p = p.single()
    changes = asked(p.method, p.graph, p.params, p.x, p.target, engine=engine, sweeps=5)
    factors = [changes.factors[f"weights.{k}"] for k in (1, 2, 3)]
    exact = p.double()
    # exact ghosts leave a rounding of 6e-8, which lam^2 beta in the gain of layer 1 makes large in float32
    if (engine, mechanism, rule) == ("equilibrium", "learned", "prediction"):
        factors = factors[2:]
    wanted = descent(p.graph, exact.params, exact.x, exact.target)
    for factor, w in zip(factors, wanted[-len(factors) :], strict=True):
        assert np.linalg.norm(dense(factor) - w) / np.linalg.norm(w) < 2e-2


def test_factors_have_the_precision_of_the_weights_and_are_contiguous():
    p = problem((6, 9, 4), 12)
    for params, dtype in ((p.params, np.float64), (p.params.astype(np.float32), np.float32)):
        for factor in factors_of(p.method, p._replace(params=params)):
            for array in (factor.post, factor.pre):
                assert array.dtype == dtype
                assert array.flags.c_contiguous


@pytest.mark.parametrize("method", METHODS.names())
def test_a_method_changes_neither_parameters_nor_samples(method):
    one = method_of(method)
    network = Network.model_validate({"layers": (6, 9, 8, 4), "loss": one.needs.losses[0]})
    x, target = (a.astype(np.float32) for a in samples(network, 12, 0))
    graph = one.graph(network)
    params = parameters(graph, 0).astype(np.float32)
    kept = [a.copy() for a in (*params.named().values(), x, target)]
    assert asked(one, graph, params, x, target).factors
    for before, after in zip(kept, (*params.named().values(), x, target), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", [Backprop(), Frozen()])
@pytest.mark.parametrize("purpose", ["train", "pretrain", "probe"])
def test_controls_have_nothing_of_their_own_to_learn(method, purpose):
    p = problem((6, 9, 4), 12).single()
    graph = method.graph(p.network)
    changes = asked(method, graph, p.params, p.x, p.target, purpose)
    assert (changes.add, changes.follow) == ({}, {})
    assert changes.factors
    assert method.pretrain_batches(graph) == 0
    assert (method.shapes(graph), method.init(graph, p.params, np.random.default_rng(0))) == ({}, {})


@pytest.mark.parametrize("method", [Backprop(), Frozen()])
@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_a_control_computes_the_same_beside_ghosts_that_it_does_not_know(method, mechanism):
    """Parameters that hold more than its graph has do not disturb it."""
    p = problem((6, 9, 8, 4), 12, mechanism=mechanism, feedback="random").single()
    for a, b in zip(factors_of(method, p), factors_of(method, plain(p)), strict=True):
        np.testing.assert_array_equal(dense(a), dense(b))


def prepared(learning: Learning | None = None, **settings):
    network, method = parts(layers=(4, 5, 3), **settings)
    return method.prepare(method.graph(network), learning or Learning())


def test_names_make_the_methods_and_engines_that_they_name():
    assert type(method_of("ghost")) is Ghost
    assert type(method_of("backprop")) is Backprop
    assert type(method_of("frozen")) is Frozen
    assert isinstance(prepared(Learning(engine="stepped")).engine, Stepped)
    engine = prepared(Learning(sweeps=7, tolerance=1e-3), mechanism="learned", free_sweeps=9).engine
    assert isinstance(engine, Equilibrium)
    assert (engine.sweeps, engine.tolerance, engine.graph.free_sweeps) == (7, 1e-3, 9)
    network, method = parts(layers=(4, 5, 3), free_sweeps=9)
    assert method.graph(network).free_sweeps == 1


def test_only_what_a_rule_needs_is_computed():
    def pushes(**settings) -> bool:
        engine = prepared(**settings).engine
        assert isinstance(engine, Equilibrium)
        return engine.push

    assert not pushes(rule="prediction")
    assert pushes(rule="temporal")
    assert pushes(mechanism="online", rule="temporal")
    assert pushes(mechanism="learned", rule="prediction")


def test_a_rule_of_your_own_stands_for_the_named_one():
    p = problem((6, 9, 4), 12).single()
    twice = TEMPORAL._replace(name="twice", post=lambda local: 2 * local.change)
    own = factors_of(Ghost(rule=twice), p)
    temporal = factors_of(Ghost(rule="temporal"), p)
    for a, b in zip(own, temporal, strict=True):
        np.testing.assert_array_equal(dense(a), 2 * dense(b))


def test_ghost_uses_the_gain_of_each_layer():
    network, method = parts(layers=(6, 9, 8, 4), lam=0.5, beta=0.25, loss="squared_error")
    assert method.prepare(method.graph(network), Learning()).gains == (5.0 * 4, 5.0 * 2, 5.0)
    assert RULES["prediction"] is PREDICTION
