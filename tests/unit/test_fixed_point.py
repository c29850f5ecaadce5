"""The formulas of the deviation form: the output's own reaction, restoring gains, and the edges of a rate."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.base.names import Loss
from lavaghost.dynamics.fixed_point import output_error, respond, restoring_gain, split
from lavaghost.dynamics.neuron import softmax
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.methods.ghost.rules import RULES
from tests import tolerances
from tests.networks import ghost_graph
from tests.strategies import descent, distance, problem

LOSSES: tuple[Loss, ...] = ("squared_error", "cross_entropy")


@pytest.mark.parametrize("beta", [1e-3, 0.1, 1.0])
def test_output_error_of_squared_error_solves_its_equation(beta):
    """u = a + beta (y - u)."""
    graph = ghost_graph(layers=(1, 1, 3), loss="squared_error", beta=beta)
    a, y = np.array([[0.3, -2.0, 5.0]]), np.array([[0.0, 1.0, 0.0]])
    u = a + output_error(a, y, graph, None)
    np.testing.assert_allclose(u, a + beta * (y - u), rtol=1e-14)


@pytest.mark.parametrize("beta", [1e-3, 0.1, 1.0])
def test_output_error_of_cross_entropy_contracts_to_its_equation_by_half_of_beta(beta):
    """u = a + beta (y - softmax u), by iteration: each pass is closer by beta / 2 or better."""
    graph = ghost_graph(layers=(1, 1, 3), loss="cross_entropy", beta=beta)
    a, y = np.array([[0.3, -2.0, 5.0]]), np.array([[0.0, 1.0, 0.0]])
    shift, steps = None, []
    for _ in range(80):
        new = output_error(a, y, graph, shift)
        if shift is not None:
            steps.append(np.linalg.norm(new - shift))
        shift = new
    assert shift is not None
    u = a + shift
    np.testing.assert_allclose(u, a + beta * (y - softmax(u)), rtol=1e-14)
    for earlier, later in pairwise(steps):
        assert later <= beta / 2 * earlier + 1e-16


def test_output_error_keeps_the_precision_of_its_input():
    for dtype in (np.float32, np.float64):
        for loss in LOSSES:
            graph = ghost_graph(layers=(1, 1, 2), loss=loss)
            a, y = np.ones((1, 2), dtype), np.zeros((1, 2), dtype)
            assert output_error(a, y, graph, None).dtype == dtype


def test_restoring_gain_is_the_formula_of_the_documentation():
    firsts: dict[Loss, float] = {"squared_error": 1.25 / 0.25, "cross_entropy": 1 / 0.25}
    for loss, first in firsts.items():
        graph = ghost_graph(layers=(2, 2, 2, 2), loss=loss, beta=0.25, lam=0.5)
        assert [restoring_gain(graph, k) for k in (1, 2, 3)] == [first * 4, first * 2, first]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(6, 8, 3), (6, 8, 7, 3), (6, 8, 7, 6, 3)])
@pytest.mark.parametrize(
    ("mechanism", "rule"), [("duplicate", "prediction"), ("duplicate", "temporal"), ("online", "temporal")]
)
def test_eta_means_a_backprop_learning_rate(loss, layers, mechanism, rule):
    """The update equals the gradient in value, not in direction alone."""
    p = problem(layers, 16, margin=0.02, mechanism=mechanism, loss=loss, beta=1e-4, lam=1e-5)
    engine = Equilibrium(p.graph, 16, sweeps=100, tolerance=tolerances.SOLVED, dtype=np.float64)
    trial = engine.trial(p.params, p.x, p.target)
    for k, wanted in enumerate(descent(p.graph, p.params, p.x, p.target), start=1):
        post = RULES[rule].post(trial.local(k))
        found = restoring_gain(p.graph, k) / 16 * post.T @ trial.pre[k - 1]
        assert distance(found, wanted) < tolerances.VALUE
        assert np.linalg.norm(found) / np.linalg.norm(wanted) == pytest.approx(1, abs=tolerances.VALUE)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_squared_error_is_restored_exactly_at_the_output_for_any_beta(beta):
    """beta / (1 + beta) (y - a), times (1 + beta) / beta: no O(beta) is left in the output's own factor."""
    p = problem((4, 5, 3), 6, loss="squared_error", beta=beta)
    trial = Equilibrium(p.graph, 6, sweeps=1, push=False, dtype=np.float64).trial(p.params, p.x, p.target)
    np.testing.assert_allclose(
        restoring_gain(p.graph, 2) * trial.unpredicted[-1], p.target - trial.free[-1], rtol=1e-13
    )


@pytest.mark.parametrize(
    ("v", "change", "r_max", "wanted"),
    [
        (0.5, 0.25, 1.0, 0.25),  # linear
        (0.75, 0.5, 1.0, 0.25),  # into saturation
        (1.0, 0.5, 1.0, 0.0),  # from the edge outwards
        (1.0, -0.5, 1.0, -0.5),  # from the edge inwards
        (1.5, -0.75, 1.0, -0.25),  # out of saturation
        (1.5, -0.25, 1.0, 0.0),  # not enough to leave saturation
        (1.5, -4.0, 1.0, -1.0),  # through the whole range
        (-0.5, 0.25, 1.0, 0.0),  # not enough to wake
        (-0.5, 0.75, 1.0, 0.25),
        (-0.5, 4.0, 1.0, 1.0),
        (-0.5, -1.0, 1.0, 0.0),
        (0.0, -1.0, 1.0, 0.0),
        (0.0, 0.5, 1.0, 0.5),
        (0.5, -0.75, np.inf, -0.5),  # a relu without bound
        (7.0, 9.0, np.inf, 9.0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_respond_at_the_edges(v, change, r_max, wanted, dtype):
    excess, rate = np.array([[v]], dtype), np.empty((1, 1), dtype)
    split(excess, r_max, rate)
    out = respond(
        np.array([[change]], dtype), excess, rate, r_max, np.empty((1, 1), dtype), np.empty((1, 1), dtype)
    )
    assert out.item() == wanted


def test_respond_may_write_over_its_change():
    change = np.array([[0.5, -2.0]])
    respond(change, np.zeros((1, 2)), np.ones((1, 2)), 1.2, change, np.empty((1, 2)))
    np.testing.assert_allclose(change, [[0.2, -1.0]])
