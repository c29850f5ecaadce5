"""The family of feedback alignment: its members by their equations, and feedback that learns, of ghosts too."""

from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.methods.alignment import (
    DirectFeedbackAlignment,
    FeedbackAlignment,
    KolenPollack,
    SignSymmetric,
)
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Batch, Factors, Method, Moment
from lavaghost.methods.brainprop import BrainProp
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum, learned_tensors
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run
from tests.networks import asked
from tests.strategies import forward, parameters, samples

LAYERS, BATCH = (6, 9, 8, 7, 4), 24
FIRST = Moment(0, 0, 0)
ROUNDING = 1e-5
"""Float32 against double precision, relative to the layer's largest entry: products over at most nine terms."""


class Case:
    """A method on a small network with biases, in float32 numbers."""

    def __init__(self, method: Method, seed: int = 0, layers: tuple[int, ...] = LAYERS, **physics: Any) -> None:
        self.method = method
        self.network = Network.model_validate({"layers": layers, "loss": "squared_error", **physics})
        self.graph = method.graph(self.network)
        self.params = parameters(self.graph, seed).astype(np.float32)
        x, target = samples(self.network, BATCH, seed)
        self.x, self.target = x.astype(np.float32), target.astype(np.float32)

    def factors(self, moment: Moment = FIRST, **instead: Any) -> dict[str, Factors]:
        work = self.method.prepare(self.graph, Learning(batch_size=BATCH))
        params = self.params._replace(**instead)
        return dict(self.method.update(work, params, {}, Batch(self.x, self.target, moment))[0].factors)

    def errors(self, moment: Moment = FIRST, **instead: Any) -> list[Array]:
        """e_1..e_L."""
        found = self.factors(moment, **instead)
        return [found[f"weights.{k}"].post for k in range(1, self.graph.depth + 1)]

    def rates(self) -> list[Array]:
        return forward(self.network, self.params.astype(np.float64), self.x)[1]


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def turned(params: Parameters) -> tuple[Array, ...]:
    """W_2^T..W_L^T."""
    return tuple(np.ascontiguousarray(w.T) for w in params.weights[1:])


# ---- by their equations


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize(
    "method", [FeedbackAlignment(), KolenPollack(), ActivationRelaxation(feedback="random")]
)
def test_feedback_equal_to_the_transpose_is_backprop(method, loss):
    case = Case(method, loss=loss)
    wanted = Case(Backprop(), loss=loss).errors()
    assert case.params.weights[0].tobytes() == Case(Backprop(), loss=loss).params.weights[0].tobytes()
    for found, exact in zip(case.errors(feedback=turned(case.params)), wanted, strict=True):
        close(found, exact)
    for found, exact in zip(case.errors()[:-1], wanted[:-1], strict=True):
        assert np.abs(found - exact).max() > 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("physics", [{}, {"saturation": 0.5}, {"activation": "hard_sigmoid"}])
def test_random_feedback_stands_in_the_place_of_the_transpose_alone(physics):
    case = Case(FeedbackAlignment(), seed=1, **physics)
    rates, errors = case.rates(), case.errors()
    close(errors[-1], case.target - rates[-1])
    for k in range(3):
        slope = (rates[k] > 0) & (rates[k] < case.graph.r_max)
        close(errors[k], np.einsum("bj,ij->bi", errors[k + 1], case.params.feedback[k]) * slope)


def test_direct_feedback_comes_from_the_output_to_every_layer():
    case = Case(DirectFeedbackAlignment(), seed=1)
    assert [b.shape for b in case.params.feedback] == [(9, 4), (8, 4), (7, 4)]
    rates, errors = case.rates(), case.errors()
    for k in range(3):
        close(errors[k], np.einsum("bj,ij->bi", errors[-1], case.params.feedback[k]) * (rates[k] > 0))


def test_with_one_hidden_layer_direct_feedback_is_feedback_alignment():
    direct, usual = (Case(m, layers=(6, 9, 4)) for m in (DirectFeedbackAlignment(), FeedbackAlignment()))
    for a, b in zip(direct.params, usual.params, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)
    found, wanted = direct.factors(), usual.factors()
    assert found.keys() == wanted.keys() == {"weights.1", "weights.2"}
    for name, factor in found.items():
        np.testing.assert_array_equal(factor.post, wanted[name].post)
        np.testing.assert_array_equal(factor.pre, wanted[name].pre)


# ---- signs


def fed_back_by(method: SignSymmetric, moment: Moment = FIRST, seed: int = 2) -> tuple[Array, Case]:
    """B_1 `(n_1, n_2)`, found from e_1 and e_2 where every slope is 1, and its case."""
    case = Case(method, seed=seed, layers=(6, 40, 5))
    case.params.biases[0][:] = 100.0
    first, second = case.errors(moment)
    assert (case.rates()[0] > 0).all()
    solved, _, rank, _ = np.linalg.lstsq(second.astype(np.float64), first.astype(np.float64), rcond=None)
    assert rank == 5
    return solved.T, case


@pytest.mark.parametrize("magnitudes", ["uniform", "fixed", "fresh"])
def test_signs_are_those_of_the_weights(magnitudes):
    found, case = fed_back_by(SignSymmetric(magnitudes=magnitudes))
    w = case.params.weights[1].T
    np.testing.assert_array_equal(np.sign(found), np.sign(w))
    scale = np.sqrt(2 / 40)
    sizes = np.abs(found)
    if magnitudes == "uniform":
        np.testing.assert_allclose(sizes, scale, rtol=1e-3)
    elif magnitudes == "fixed":
        np.testing.assert_allclose(sizes, np.abs(case.params.feedback[0]), rtol=1e-2, atol=1e-4)
    else:
        # of 200 normal numbers the mean square is within 4 of its own standard deviations of the scale's
        assert np.square(sizes).mean() / scale**2 == pytest.approx(1, abs=4 * np.sqrt(2 / 200))
        assert sizes.std() > 0.3 * scale
    # and they follow the weights when those change
    opposite = tuple(-a if k else a for k, a in enumerate(case.params.weights))
    first, second = case.errors(weights=opposite)
    signs = np.linalg.lstsq(second.astype(np.float64), first.astype(np.float64), rcond=None)[0].T
    np.testing.assert_array_equal(np.sign(signs), -np.sign(w))


def test_fresh_magnitudes_are_a_function_of_the_moment_and_the_layer():
    method = SignSymmetric(magnitudes="fresh")
    first, _ = fed_back_by(method)
    np.testing.assert_array_equal(first, fed_back_by(method)[0])
    for moment in (Moment(1, 0, 0), Moment(0, 1, 0), Moment(0, 0, 1)):
        other = fed_back_by(method, moment)[0]
        assert np.abs(other - first).max() > 0.1
        np.testing.assert_array_equal(np.sign(other), np.sign(first))
    case = Case(method, layers=(6, 8, 8, 8))  # two layers of equal shapes have numbers of their own
    back = [method._signed(case.params, k, Batch(case.x, case.target, FIRST)) for k in (1, 2)]
    assert np.abs(np.abs(back[0]) - np.abs(back[1])).max() > 0.1


def test_only_fixed_magnitudes_are_numbers_of_its_own():
    assert {
        m: bool(Case(SignSymmetric(magnitudes=m)).params.feedback) for m in ("uniform", "fixed", "fresh")
    } == {
        "uniform": False,
        "fixed": True,
        "fresh": False,
    }


# ---- feedback that learns

LEARN = (
    KolenPollack(),
    ActivationRelaxation(feedback="learned"),
    BrainProp(feedback="learned", epsilon=0.3),
    Ghost(feedback="learned"),
    Ghost(feedback="learned", mechanism="online"),
    Ghost(feedback="learned", mechanism="learned", plasticity=GhostSteps(gate=1e9)),
)
learning_ones = pytest.mark.parametrize(
    "method", LEARN, ids=lambda m: f"{m.name}-{getattr(m, 'mechanism', 'none')}"
)


def stepped(case: Case, momentum: float, decay: float, steps: int, eta: float = 0.02) -> list[list[Array]]:
    """B_k - W_{k+1}^T after each step in double precision, the beginning first."""
    params = case.params.astype(np.float64)
    optimiser = Momentum(case.graph, params, momentum, decay)
    work = case.method.prepare(case.graph, Learning(batch_size=BATCH))

    def apart() -> list[Array]:
        return [b - w.T for b, w in zip(params.feedback, params.weights[1:], strict=True)]

    found = [apart()]
    for step in range(steps):
        batch = Batch(case.x, case.target, Moment(0, 0, step))
        optimiser.apply(params, case.method.update(work, params, {}, batch)[0], eta)
        found.append(apart())
    return found


@learning_ones
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.3), (0.9, 0.3)])
def test_what_feedback_and_weights_do_not_share_decays_by_the_exact_factor(method, momentum, decay):
    """D = B_k - W_{k+1}^T: V <- m V - decay D, D <- D + eta V; without decay it stays. The weights do learn."""
    case = Case(method, seed=3)
    before = [w.copy() for w in case.params.weights]
    found = stepped(case, momentum, decay, 12)
    for k in range(3):
        d = wanted = found[0][k]
        v = np.zeros_like(d)
        for now in found[1:]:
            v = momentum * v - decay * wanted
            wanted = wanted + 0.02 * v
            np.testing.assert_allclose(now[k], wanted, rtol=0, atol=1e-12 * np.abs(d).max())
        if decay == 0:
            np.testing.assert_allclose(found[-1][k], d, rtol=0, atol=1e-13 * np.abs(d).max())
        if momentum == 0:
            np.testing.assert_allclose(wanted, d * (1 - 0.02 * decay) ** 12, rtol=1e-12, atol=0)
    single = case.params.astype(np.float32)
    Momentum(case.graph, single, 0.0, 0.0).apply(
        single, asked(method, case.graph, single, case.x, case.target), 0.02
    )
    assert all((a != b).any() for a, b in zip(single.weights, before, strict=True))
    assert all((a != b).any() for a, b in zip(single.feedback, case.params.feedback, strict=True))


@learning_ones
def test_feedback_from_a_frozen_layer_is_frozen(method):
    """W_3 does not learn, so B_2, which stands for it, does not either; its neighbours do."""
    case = Case(method, seed=4, plastic=(1, 2, 4))
    learned = learned_tensors(case.graph)
    assert {"feedback.1", "feedback.3"} <= set(learned)
    assert not {"feedback.2", "weights.3"} & set(learned)
    assert [p.plastic for p in case.graph.back] == [True, False, True]
    params = case.params.astype(np.float32)
    optimiser = Momentum(case.graph, params, 0.9, 0.1)
    for _ in range(3):
        optimiser.apply(params, asked(method, case.graph, params, case.x, case.target), 0.02)
    np.testing.assert_array_equal(params.feedback[1], case.params.feedback[1])
    np.testing.assert_array_equal(params.weights[2], case.params.weights[2])
    for k in (0, 2):
        assert (params.feedback[k] != case.params.feedback[k]).any()


@pytest.mark.parametrize(
    "method", [FeedbackAlignment(), DirectFeedbackAlignment(), SignSymmetric(magnitudes="fixed")]
)
def test_feedback_that_is_drawn_stays_to_the_bit(method, digits):
    learning = Learning(epochs=1, eta=0.05)
    learner = FloatLearner(Network(layers=(64, 20, 16, 10)), method, learning, digits)
    first = [b.copy() for b in learner.params.feedback]
    done = run(learner, identity="{}")
    for a, b in zip(first, done.params.feedback, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", [KolenPollack(), Ghost(feedback="learned")], ids=lambda m: m.name)
def test_the_angle_of_learned_feedback_falls_in_training(method, digits):
    """Decay alone, by its exact factor, must turn it; what is random stays across."""
    angles = {}
    for name, one in (("learned", method), ("random", FeedbackAlignment())):
        learning = Learning(epochs=4, eta=0.05, weight_decay=1e-2)
        learner = FloatLearner(Network(layers=(64, 32, 24, 10)), one, learning, digits)
        angles[name] = np.array([row["angles"] for row in run(learner, identity="{}").history])
    assert angles["learned"].shape == (5, 2)
    assert (np.diff(angles["learned"], axis=0) < 0).all()
    assert angles["learned"][0].min() > 75
    assert angles["learned"][-1].max() < angles["random"][-1].min() - 10
    first, last = (initial_parameters(method.graph(Network(layers=(64, 32, 24, 10))), 0), angles["learned"][0])
    for b, w, angle in zip(first.feedback, first.weights[1:], last, strict=True):
        cosine = np.sum(b * w.T, dtype=np.float64) / (np.linalg.norm(b) * np.linalg.norm(w))
        assert angle == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-3)


# ---- what is refused, by name


@pytest.mark.parametrize("method", LEARN[:1] + LEARN[3:], ids=lambda m: f"{m.name}-{m.feedback}")
def test_learned_feedback_is_refused_on_lava_and_in_integers(method):
    graph = method.graph(Network(layers=LAYERS, loss="squared_error", saturation=1.0))
    with pytest.raises(
        SpecError, match=f"method '{method.name}' has no processes or equations for engine 'lava'"
    ):
        check_together(method, graph, Learning(engine="lava", batch_size=1))
    with pytest.raises(
        SpecError, match=f"method '{method.name}' does not learn in arithmetic 'loihi'"
    ) as caught:
        check_together(method, graph, IntegerLearning())
    assert "\n" not in str(caught.value)
    check_together(method, graph, Learning())


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (FeedbackAlignment(feedback="tied"), "'fa' with tied feedback is 'backprop'; use --method backprop"),
        (FeedbackAlignment(feedback="learned"), "'fa' with learned feedback is 'kolen-pollack'"),
        (KolenPollack(feedback="random"), "'kolen-pollack' with random feedback is 'fa'; use --method fa"),
        (KolenPollack(feedback="tied"), "'kolen-pollack' with tied feedback is 'backprop'"),
        (
            DirectFeedbackAlignment(feedback="tied"),
            "'dfa' with tied feedback: there is no weight from a hidden",
        ),
        (DirectFeedbackAlignment(feedback="learned"), "'dfa' with learned feedback: there is no weight"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_feedback_that_is_another_method_is_refused_by_that_name(method, words):
    graph = method.graph(Network(layers=LAYERS))
    with pytest.raises(SpecError, match=words) as caught:
        check_together(method, graph, Learning())
    assert "\n" not in str(caught.value)
