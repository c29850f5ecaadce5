"""Errors that come down beside the membranes, a layer a step: the chain rule, when it acts, where it is refused."""

from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.dynamics.neuron import softmax
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.alignment import DirectFeedbackAlignment
from lavaghost.methods.base import Batch, Changes, Method, Moment
from lavaghost.methods.brainprop import BrainProp, choice
from lavaghost.methods.by_name import check_together, method_of
from lavaghost.methods.learning import Learning
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run

LAYERS = [(6, 8, 4), (6, 9, 8, 7, 4)]
DRAW = np.random.default_rng(0)
X, TARGET = DRAW.random((9, 6)), np.eye(4)[DRAW.integers(0, 4, 9)]
WHEN = Moment(1, 2, 3)
METHODS: list[tuple[Method, str]] = [
    (ActivationRelaxation(), "cross_entropy"),
    (ActivationRelaxation(feedback="random"), "squared_error"),
    (BrainProp(epsilon=0.5), "squared_error"),
    (BrainProp(feedback="random", epsilon=0.5), "squared_error"),
]
methods = pytest.mark.parametrize(("method", "loss"), METHODS)
layers = pytest.mark.parametrize("sizes", LAYERS)
rates = pytest.mark.parametrize("rates", [{}, {"activation": "hard_sigmoid"}, {"saturation": 0.7}])


def started(method: Method, sizes: tuple[int, ...], **fields: Any) -> tuple[Graph, Parameters]:
    """A graph, and numbers with biases by which rates reach both edges."""
    graph = method.graph(Network(**{"layers": sizes, **fields}))
    draw = np.random.default_rng(2)
    params = initial_parameters(graph, 1, np.float64)
    return graph, params._replace(biases=tuple(draw.normal(0, 0.3, b.shape) for b in params.biases))


def changed(
    method: Method, graph: Graph, params: Parameters, engine: Any, x: Array = X, t: Array = TARGET
) -> Changes:
    work = method.prepare(graph, Learning(engine=engine, batch_size=len(x)))
    return method.update(work, params, {}, Batch(x, t, WHEN))[0]


def by_the_chain_rule(method: Method, graph: Graph, params: Parameters) -> list[tuple[Array, Array]]:
    """e_k, times what all cells are told, and r_{k-1}, of each layer in double precision, the plain way."""
    r, open_ = [X], []
    for k, (w, b) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        u = r[-1] @ w.T + b
        open_.append((u > 0) & (u < graph.r_max))
        r.append(u if k == graph.depth else np.clip(u, 0, graph.r_max))
    q, factor = r[-1], np.ones((len(X), 1))
    if isinstance(method, BrainProp):
        s = choice(q, method.epsilon, method.temperature, WHEN)
        error = np.eye(4)[s]
        factor = (error * (TARGET - q)).sum(axis=1, keepdims=True)
    else:
        error = TARGET - (q if graph.loss == "squared_error" else softmax(q))
    found = [(error * factor, r[-2])]
    for k in range(graph.depth - 1, 0, -1):
        back = params.feedback[k - 1] if params.feedback else params.weights[k].T
        error = (error @ back.T) * open_[k - 1]
        found.insert(0, (error * factor, r[k - 1]))
    return found


@rates
@layers
@methods
def test_what_is_learned_in_time_is_the_chain_rule(method, loss, sizes, rates):
    graph, params = started(method, sizes, loss=loss, **rates)
    found = changed(method, graph, params, "stepped").factors
    wanted = by_the_chain_rule(method, graph, params)
    assert set(found) == {f"weights.{k}" for k in range(1, graph.depth + 1)}
    for k, (post, pre) in enumerate(wanted, start=1):
        assert found[f"weights.{k}"].gain == 1.0
        np.testing.assert_allclose(found[f"weights.{k}"].post, post, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found[f"weights.{k}"].pre, pre, rtol=1e-12, atol=1e-13)
        assert (np.abs(post).sum(axis=0) > 0).any()


@layers
@methods
def test_in_time_and_at_equilibrium_are_one_up_to_single_precision(method, loss, sizes):
    graph, params = started(method, sizes, loss=loss)
    a, b = (changed(method, graph, params, engine).factors for engine in ("equilibrium", "stepped"))
    for name, factor in b.items():
        for one, other in zip(a[name][:2], factor[:2], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@methods
def test_a_batch_is_its_samples_one_by_one(method, loss):
    """Of a method that draws nothing; a choice is drawn for the whole batch."""
    if isinstance(method, BrainProp):
        method = method.model_copy(update={"epsilon": 0.0})
    graph, params = started(method, LAYERS[1], loss=loss)
    whole = changed(method, graph, params, "stepped").factors
    for i in range(len(X)):
        one = changed(method, graph, params, "stepped", X[i : i + 1], TARGET[i : i + 1]).factors
        for name, factor in one.items():
            np.testing.assert_allclose(factor.post[0], whole[name].post[i], rtol=1e-12, atol=1e-14)


# ---- when


def test_an_error_passes_a_layer_a_step_and_the_trial_ends_when_it_is_everywhere():
    graph, params = started(ActivationRelaxation(), LAYERS[1], loss="squared_error")
    depth = graph.depth
    states = [state for _, state in Stepped(graph).states(params, X, TARGET)]
    assert len(states) == 2 * depth + 1
    for step, state in enumerate(states):
        reached = max(0, step - depth)  # of the layers from above, in the steps with a target
        for k in range(1, depth + 1):
            assert state.error[k - 1].any() == (k > depth - reached), f"layer {k} in step {step}"
            if k > depth - reached:
                np.testing.assert_array_equal(state.error[k - 1], states[-1].error[k - 1])
    np.testing.assert_array_equal(states[-1].error[-1], TARGET - states[depth].v_mem[-1])


@methods
def test_membranes_do_not_feel_what_comes_down(method, loss):
    graph, params = started(method, LAYERS[1], loss=loss)
    engine = Stepped(graph)
    trial = engine.trial(params, X, TARGET)
    for free, change in zip(trial.free, trial.change, strict=True):
        assert np.abs(change).max() <= 1e-15 + np.spacing(np.abs(free)).max()
    np.testing.assert_array_equal(engine.output(params, X), trial.free[-1])


def test_without_a_target_or_with_a_withheld_one_nothing_comes_down():
    graph, params = started(ActivationRelaxation(), LAYERS[0])
    engine = Stepped(graph)
    net, state = list(engine.states(params, X))[-1]
    assert (net.back, net.feedback, state.error, state.carried) == ((), (), (), ())
    asked = []

    def withholds(output: Array, target: Array) -> bool:
        asked.append((output, target))
        return True

    trial = engine.trial(params, X, TARGET, withholds)
    np.testing.assert_array_equal(asked[0][0], trial.free[-1])
    assert len(asked) == 1
    assert not any(e.any() for e in trial.error)
    assert len(trial.error) == graph.depth


def test_direct_feedback_reaches_every_layer_in_the_second_step():
    graph, params = started(DirectFeedbackAlignment(), LAYERS[1], loss="squared_error")
    states = [state for _, state in Stepped(graph).states(params, X, TARGET)][graph.depth + 1 :]
    assert [[e.any() for e in state.error] for state in states[:2]] == [[False] * 3 + [True], [True] * 4]
    top = states[-1].error[-1]
    for k in range(1, graph.depth):
        inside = states[-1].v_mem[k - 1] > 0
        np.testing.assert_allclose(
            states[-1].error[k - 1], (top @ params.feedback[k - 1].T) * inside, rtol=1e-12
        )


# ---- in a run


@methods
def test_it_learns_in_steps_what_it_learns_at_equilibrium(method, loss, digits):
    ends = []
    for engine in ("equilibrium", "stepped"):
        learning = Learning(engine=engine, epochs=4, batch_size=20, momentum=0.5, eta=0.05, seed=3)
        done = run(FloatLearner(Network(layers=(64, 24, 10), loss=loss), method, learning, digits))
        ends.append(done)
        assert done.history[-1]["accuracy"] > 2 * done.history[0]["accuracy"]
    if isinstance(method, BrainProp):
        return  # a choice on the edge between two outputs falls with a rounding, and then they are two runs
    for a, b in zip(ends[0].params.weights, ends[1].params.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


# ---- what has no step in time


@pytest.mark.parametrize("engine", ["stepped", "lava"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 0.5}, "with rate 0.5 it is no error"),
        ({"sweep": "sequential", "start": "rates"}, "with sweep sequential and start rates it is no error"),
        ({"derivative": False}, "with derivative False"),
        ({"feedback": "learned"}, "with feedback learned"),
    ],
)
def test_relaxation_of_another_kind_is_refused_with_what_to_use(settings, said, engine):
    method = ActivationRelaxation(**settings)
    graph = method.graph(Network(layers=LAYERS[0]))
    with pytest.raises(SpecError, match=said) as caught:
        check_together(method, graph, Learning(engine=engine))
    assert "use equilibrium (" in str(caught.value)
    assert "there, use rate 1, sweep parallel, start zero" in str(caught.value)
    check_together(method, graph, Learning())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("backprop", "method 'relaxation' makes the same changes there"),
        ("frozen", "with network.plastic the output alone"),
        ("fa", "method 'relaxation' with feedback random makes the same changes there"),
        ("dfa", "its errors skip layers"),
        ("sign-symmetric", "the signs of weights anew"),
        ("kolen-pollack", "needs weight decay"),
    ],
)
def test_the_others_are_refused_on_lava_with_the_reason(name, why):
    method = method_of(name)
    with pytest.raises(
        SpecError, match=f"has no processes or equations for engine 'lava'; use .*{why}"
    ) as caught:
        check_together(method, method.graph(Network(layers=LAYERS[0])), Learning(engine="lava"))
    assert "\n" not in str(caught.value)
