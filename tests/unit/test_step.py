"""One Euler step: delays as documented, exact cancellation, ghosts held under a target, independence of trials."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.dynamics import Parameters, State, network_step, start_trial, wire
from lavaghost.dynamics.neuron import nudge, rate, residual, softmax
from lavaghost.engines.stepped import Stepped
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, Float
from tests import tolerances
from tests.networks import ghost_graph
from tests.strategies import fast, fed_back, problem

FLOAT = Float()
DEPTHS = [(4, 5, 3), (4, 5, 6, 3), (4, 5, 6, 4, 3), (4, 5, 6, 4, 5, 3)]
MECHANISMS = ["duplicate", "learned", "online"]


def positive(graph: Graph) -> Parameters:
    """Weights above zero, no biases: what arrives anywhere is seen there."""
    rng = np.random.default_rng(0)
    n, hidden = graph.layers, range(1, graph.depth)
    learned = graph.ghosts_learn
    return Parameters(
        weights=tuple(rng.uniform(0.1, 1, (n[k], n[k - 1])) for k in range(1, graph.depth + 1)),
        biases=tuple(np.zeros(size) for size in n[1:]),
        ghost_weights=tuple(rng.uniform(0.1, 1, (n[k + 1], n[k])) for k in hidden) if learned else (),
        ghost_biases=tuple(np.zeros(n[k + 1]) for k in hidden) if learned else (),
        ghost_inhibition=tuple(rng.uniform(0.1, 1, (n[k], n[k + 1])) for k in hidden) if learned else (),
    )


def run(graph: Graph, params: Parameters, x: Array, target: Array | None, free: int, nudged: int = 0):
    """States after the reset step, then after each free and each nudged step."""
    net = wire(graph, params, FLOAT)
    drive = FLOAT.synapse(net.weights[0], x)
    states = [start_trial(net, drive, FLOAT)]
    for step in range(free + nudged):
        states.append(network_step(net, states[-1], drive, target if step >= free else None, FLOAT))
    return states


def arrival(arrays: list[Array], rest: Array | float = 0.0) -> int:
    """The first step at which an array is no longer at `rest`."""
    return next(step for step, a in enumerate(arrays) if not np.array_equal(a, np.broadcast_to(rest, a.shape)))


# ---- delays


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_input_reaches_layer_k_at_step_k_and_its_ghosts_with_the_next_layer(layers, mechanism):
    graph = ghost_graph(layers=layers, mechanism=mechanism)
    depth = graph.depth
    states = run(graph, positive(graph), np.ones((1, layers[0])), None, free=2 * depth + 2)
    for k in range(1, depth + 1):
        assert arrival([s.v_mem[k - 1] for s in states]) == k
    for k in range(1, depth):
        ghosts = [s.v_ghost[k - 1] for s in states]
        # u_{k+1} moves at step k+1; its feedback arrives at layer k one step later, at an online ghost too
        assert arrival(ghosts) == (k + 2 if mechanism == "online" else k + 1)


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_target_moves_the_output_at_once_and_layer_k_after_one_step_per_link(layers, mechanism):
    graph = ghost_graph(layers=layers, mechanism=mechanism, lam=1e-3)
    params, depth = positive(graph), graph.depth
    target = np.full((1, layers[-1]), 50.0)
    with_target = run(graph, params, np.ones((1, layers[0])), target, free=7, nudged=depth + 2)
    without = run(graph, params, np.ones((1, layers[0])), None, free=7 + depth + 2)
    for k in range(1, depth + 1):
        pairs = zip(with_target, without, strict=True)
        # the first step with a target is step 8; a held online ghost differs from a free one of its own
        moved = [
            step for step, (a, b) in enumerate(pairs) if not np.array_equal(a.v_mem[k - 1], b.v_mem[k - 1])
        ]
        if mechanism != "online" or k == depth:
            assert moved[0] == 8 + depth - k
    assert all(
        np.array_equal(a.v_mem[-1], b.v_mem[-1]) for a, b in zip(with_target[:8], without[:8], strict=True)
    )


def test_one_step_is_the_equation_with_the_messages_of_the_step_before():
    """Every term of the hidden and the output equation, from the states' rates, for each mechanism and loss."""
    for mechanism in MECHANISMS:
        for loss in ("squared_error", "cross_entropy"):
            schedule = fast(tau_steps=3.0, tau_ghost_steps=1.7)
            p = problem(
                (4, 5, 6, 3),
                2,
                mechanism=mechanism,
                loss=loss,
                copied=False,
                schedule=schedule,
                lam=0.4,
                beta=0.7,
            )
            w, b = p.params.weights, p.params.biases
            back = [fed_back(p.params, k) for k in (1, 2)]
            states = run(p.graph, p.params, p.x, p.target, free=6, nudged=5)
            for step, (old, new) in enumerate(pairwise(states), start=1):
                nudged = step > 6
                r = [p.x] + [np.maximum(v, 0) for v in old.v_mem[:-1]] + [old.v_mem[-1]]
                for k in (1, 2):
                    feedback = r[k + 1] @ back[k - 1].T
                    ghost = old.v_ghost[k - 1]
                    if mechanism == "online":
                        wanted = ghost if nudged else ghost + (feedback - ghost) / 1.7
                        inhibition = wanted
                    else:
                        copies = mechanism == "duplicate"
                        g_w = w[k] if copies else p.params.ghost_weights[k - 1]
                        g_b = b[k] if copies else p.params.ghost_biases[k - 1]
                        out = back[k - 1] if copies else p.params.ghost_inhibition[k - 1]
                        wanted = ghost + (r[k] @ g_w.T + g_b - ghost) / 1.7
                        inhibition = (ghost if k == 2 else np.maximum(ghost, 0)) @ out.T
                    np.testing.assert_allclose(new.v_ghost[k - 1], wanted, atol=1e-13)
                    u = old.v_mem[k - 1]
                    drive = r[k - 1] @ w[k - 1].T + b[k - 1] + 0.4 * (feedback - inhibition)
                    np.testing.assert_allclose(new.v_mem[k - 1], u + (drive - u) / 3, atol=1e-13)
                out = old.v_mem[-1]
                predicted = out if loss == "squared_error" else np.exp(out) / np.exp(out).sum(1, keepdims=True)
                drive = r[2] @ w[2].T + b[2] + 0.7 * nudged * (p.target - predicted)
                np.testing.assert_allclose(new.v_mem[-1], out + (drive - out) / 3, atol=1e-13)


# ---- trials are independent


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_reset_step_leaves_nothing_but_the_input_on_its_way(mechanism):
    p = problem((4, 5, 6, 3), 2, mechanism=mechanism)
    first = run(p.graph, p.params, p.x, None, free=0)[0]
    for field, group in first._asdict().items():
        for k, array in enumerate(group):
            if (field, k) == ("drive", 0):
                np.testing.assert_array_equal(array, p.x @ p.params.weights[0].T)
            else:
                assert not array.any(), (field, k)
                assert array.dtype == np.float64


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_trial_does_not_see_the_one_before(mechanism):
    p = problem((4, 5, 6, 3), 3, mechanism=mechanism, schedule=fast())
    engine = Stepped(p.graph)
    fresh = engine.trial(p.params, p.x, p.target)
    engine.trial(p.params, -50 * p.x[::-1], p.target[::-1])
    again = engine.trial(p.params, p.x, p.target)
    for a, b in zip(fresh, again, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_step_changes_neither_its_state_nor_its_inputs(mechanism):
    p = problem((4, 5, 6, 3), 3, mechanism=mechanism)
    net = wire(p.graph, p.params, FLOAT)
    drive = FLOAT.synapse(net.weights[0], p.x)
    state = network_step(net, start_trial(net, drive, FLOAT), drive, None, FLOAT)
    before = [a.copy() for group in (*state, net.weights, net.biases, net.feedback) for a in group]
    kept_drive, kept_target = drive.copy(), p.target.copy()
    network_step(net, state, drive, p.target, FLOAT)
    after = [a for group in (*state, net.weights, net.biases, net.feedback) for a in group]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(drive, kept_drive)
    np.testing.assert_array_equal(p.target, kept_target)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_a_batch_is_its_samples_one_by_one(mechanism, loss):
    p = problem((4, 5, 6, 3), 7, mechanism=mechanism, loss=loss, copied=False, schedule=fast())
    engine = Stepped(p.graph)
    _, whole = engine.ends(p.params, p.x, p.target)
    for i in range(7):
        _, one = engine.ends(p.params, p.x[i : i + 1], p.target[i : i + 1])
        for a, b in zip(whole, one, strict=True):
            for left, right in zip(a, b, strict=True):
                np.testing.assert_allclose(
                    left[i], right[0], rtol=0, atol=tolerances.BATCH * max(1.0, np.abs(left).max())
                )


# ---- ghosts


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("batch", [1, 2, 17])
@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 3.0])
def test_duplicate_ghosts_cancel_to_the_bit_at_every_free_step(layers, feedback, batch, tau):
    schedule = fast(tau_steps=tau, tau_ghost_steps=tau)
    p = problem(layers, batch, mechanism="duplicate", feedback=feedback, lam=1.0, schedule=schedule)
    for step, state in enumerate(run(p.graph, p.params, p.x, None, free=25)):
        for k, (b, i) in enumerate(zip(state.feedback, state.inhibition, strict=True), start=1):
            assert (b - i == 0.0).all(), (step, k)


@pytest.mark.parametrize("kind", [{"saturation": 0.5}, {"activation": "hard_sigmoid"}])
def test_duplicate_ghosts_cancel_to_the_bit_in_saturation_too(kind):
    p = problem((4, 9, 8, 7, 3), 5, mechanism="duplicate", lam=1.0, **kind)
    states = run(p.graph, p.params, 3 * p.x, None, free=20)
    top = 0.5 if "saturation" in kind else 1.0
    assert any((rate(s.v_mem[1], p.graph, 2, FLOAT) == top).any() for s in states)
    for state in states:
        for b, i in zip(state.feedback, state.inhibition, strict=True):
            np.testing.assert_array_equal(b, i)


def test_a_slower_ghost_cancels_only_at_rest():
    """The premise of exact cancellation at every step: with another time constant it is exact in the end alone."""
    p = problem((4, 5, 6, 3), 3, mechanism="duplicate", lam=0.03, schedule=fast(tau_ghost_steps=4.0))
    states = run(p.graph, p.params, p.x, None, free=300)
    worst = [max(np.abs(b - i).max() for b, i in zip(s.feedback, s.inhibition, strict=True)) for s in states]
    assert max(worst) > 0.1
    assert worst[-1] < 1e-12


def test_online_ghosts_follow_the_feedback_and_are_held_while_a_target_is_given():
    p = problem((4, 5, 6, 3), 3, mechanism="online", lam=0.01)
    states = run(p.graph, p.params, p.x, p.target, free=200, nudged=30)
    for k in range(2):
        np.testing.assert_allclose(states[200].v_ghost[k], states[200].feedback[k], atol=1e-12)
        for state in states[201:]:
            np.testing.assert_array_equal(state.v_ghost[k], states[200].v_ghost[k])
            np.testing.assert_array_equal(state.inhibition[k], states[200].v_ghost[k])
        assert not np.array_equal(states[230].feedback[k], states[200].feedback[k])


def test_duplicate_ghosts_share_the_very_message_of_the_layer_that_they_copy():
    p = problem((4, 5, 6, 3), 3, mechanism="duplicate")
    net = wire(p.graph, p.params, FLOAT)
    state = run(p.graph, p.params, p.x, None, free=3)[-1]
    assert all(g is w for g, w in zip(net.ghost_weights, net.weights[1:], strict=True))
    assert all(g is d for g, d in zip(state.ghost_drive, state.drive[1:], strict=True))


def test_wiring_resolves_tied_and_random_feedback():
    tied = problem((4, 5, 6, 3), 1)
    net = wire(tied.graph, tied.params, FLOAT)
    for k in (1, 2):
        np.testing.assert_array_equal(net.feedback[k - 1], tied.params.weights[k].T)
        assert net.feedback[k - 1].flags.c_contiguous
    other = problem((4, 5, 6, 3), 1, feedback="random")
    net = wire(other.graph, other.params, Float(np.float32))
    for k in (1, 2):
        np.testing.assert_array_equal(net.feedback[k - 1], other.params.feedback[k - 1].astype(np.float32))
        assert not np.array_equal(net.feedback[k - 1], other.params.weights[k].T.astype(np.float32))


def test_a_state_has_the_documented_shapes():
    for mechanism in MECHANISMS:
        p = problem((4, 5, 6, 3), 2, mechanism=mechanism)
        for state in run(p.graph, p.params, p.x, p.target, free=2, nudged=2):
            assert isinstance(state, State)
            online = mechanism == "online"
            assert [a.shape for a in state.v_mem] == [(2, 5), (2, 6), (2, 3)]
            assert [a.shape for a in state.drive] == [(2, 5), (2, 6), (2, 3)]
            assert [a.shape for a in state.v_ghost] == ([(2, 5), (2, 6)] if online else [(2, 6), (2, 3)])
            assert [a.shape for a in state.feedback] == [(2, 5), (2, 6)]
            assert [a.shape for a in state.inhibition] == [(2, 5), (2, 6)]
            assert [a.shape for a in state.ghost_drive] == ([] if online else [(2, 6), (2, 3)])


# ---- the formulas of a single population


def test_softmax_is_stable_normalised_and_half_lipschitz():
    a = np.array([[0.0, 0.0], [1e4, 0.0], [-1e4, 1e4], [700.0, 710.0]])
    p = softmax(a)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[0], [0.5, 0.5])
    np.testing.assert_allclose(p[3, 1], 1 / (1 + np.exp(-10.0)))
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 500, 6)) * 3
    moved = np.linalg.norm(softmax(u) - softmax(v), axis=1)
    assert (moved <= 0.5 * np.linalg.norm(u - v, axis=1)).all()


def test_nudge_points_from_the_prediction_to_the_target():
    out, target = np.array([[0.5, -1.0]]), np.array([[1.0, 0.0]])
    np.testing.assert_array_equal(nudge(out, target, "squared_error", FLOAT), [[0.5, 1.0]])
    np.testing.assert_allclose(nudge(out, target, "cross_entropy", FLOAT), target - softmax(out))


def test_rates_are_clipped_in_hidden_layers_and_linear_at_the_output():
    v = np.array([[-1.0, 0.0, 0.3, 2.0]])
    relu, bounded = ghost_graph(layers=(1, 4, 4)), ghost_graph(layers=(1, 4, 4), saturation=0.5)
    sigmoid = ghost_graph(layers=(1, 4, 4), activation="hard_sigmoid")
    np.testing.assert_array_equal(rate(v, relu, 1, FLOAT), [[0, 0, 0.3, 2]])
    np.testing.assert_array_equal(rate(v, bounded, 1, FLOAT), [[0, 0, 0.3, 0.5]])
    np.testing.assert_array_equal(rate(v, sigmoid, 1, FLOAT), [[0, 0, 0.3, 1]])
    for graph in (relu, bounded, sigmoid):
        np.testing.assert_array_equal(rate(v, graph, 2, FLOAT), v)


def test_residual_is_relative_to_the_feedback():
    b = np.array([[3.0, 4.0]])
    assert residual(b, b) == 0
    assert residual(b, 0 * b) == 1
    assert residual(b, b / 2) == 0.5
    assert residual(0 * b, b) == 5
