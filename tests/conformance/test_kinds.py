"""What every kind of projection owes, over all that are registered, those of other packages too, and toys that are not.

A kind that is registered under `lavaghost.kinds` is taken in by itself. All that it computes is held to one thing: its
exact matrix.
"""

from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Factors, Method
from lavaghost.methods.brainprop import BrainProp
from lavaghost.methods.by_name import METHODS, method_of
from lavaghost.methods.carried import multiplied
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from lavaghost.net.graph import Graph
from lavaghost.net.kinds import KINDS, Products
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import cosine, diagnose
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run
from tests.networks import asked
from tests.strategies import distance, fast, fed_back
from tests.tolerances import gamma
from tests.toy_kinds import TOYS, known

SIZES = [(7, 5), (5, 7), (6, 6), (1, 4), (4, 1), (16, 9)]
"""Sizes of the populations before and after a projection."""
LAYERS = [(12, 10, 8, 6), (9, 9, 9, 9), (16, 8, 4, 2)]
"""Networks, of which the first that a kind can connect is tried."""
BATCH = 16
EXPLORING = BrainProp(epsilon=0.3)
"""A reward tells of one class, so that it takes more epochs, and gains less where weights are shared."""


def between(name: str, n_pre: int, n_post: int) -> Products:
    return KINDS.find(name).between((n_pre,), (n_post,))


def connects(name: str, sizes: tuple[int, ...]) -> bool:
    """Whether a kind connects populations of these sizes, each with the next; it may refuse some by a `SpecError`."""
    try:
        for n_pre, n_post in pairwise(sizes):
            between(name, n_pre, n_post)
    except SpecError:
        return False
    return True


def weighted() -> list[str]:
    """The kinds that have weights."""
    with known(*TOYS):
        return [name for name in KINDS.names() if np.prod(between(name, 6, 6).shape) > 0]


every = pytest.mark.parametrize("kind", weighted())
precisely = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(autouse=True)
def toys():
    with known(*TOYS):
        yield


def cases(kind: str, dtype: Any):
    """Products between all sizes that the kind connects, with weights, inputs and outputs of a few samples."""
    found = 0
    for (n_pre, n_post), seed in product(filter(partial(connects, kind), SIZES), (0, 1)):
        rng = np.random.default_rng([n_pre, n_post, seed])
        products = between(kind, n_pre, n_post)
        w = rng.normal(size=products.shape).astype(dtype)
        x, y = (rng.normal(size=(5, n)).astype(dtype) for n in (n_pre, n_post))
        found += 1
        yield products, w, x, y
    assert found


def near(found: Array, wanted: Array, size: Array, terms: int, dtype: Any) -> None:
    """Within the roundings of sums of so many terms; `size` is the same sum of absolute values."""
    assert found.dtype == dtype
    assert found.shape == wanted.shape
    assert (np.abs(found - wanted) <= gamma(terms, dtype) * size + np.finfo(dtype).tiny).all()


# ---- its products


@every
@precisely
def test_its_matrix_is_linear_in_its_weights_and_of_their_type(kind: str, dtype):
    for products, w, x, y in cases(kind, dtype):
        matrix = products.matrix(w)
        assert matrix.shape == (y.shape[1], x.shape[1])
        assert matrix.dtype == dtype
        assert not products.matrix(np.zeros_like(w)).any()
        # powers of two are exact
        np.testing.assert_array_equal(products.matrix(-4 * w), -4 * matrix)
        # every weight is in it, and nothing else
        assert set(np.unique(matrix)) <= {*np.unique(w), 0.0}
        assert products.matrix(np.ones_like(w)).sum() >= w.size


@every
@precisely
def test_all_products_are_those_of_its_matrix(kind: str, dtype):
    for products, w, x, y in cases(kind, dtype):
        m = products.matrix(w).astype(np.float64)
        for given, found, matrix in (
            (x, products.product(w, x), m.T),
            (y, products.product_transposed(w, y), m),
        ):
            size = np.abs(given).astype(np.float64) @ np.abs(matrix)
            near(found, given.astype(np.float64) @ matrix, size, max(m.shape) + 5, dtype)


@every
@precisely
def test_apply_accumulates_as_blas_does(kind: str, dtype):
    """out <- alpha W x + beta out, and with beta 0 what was there is not read."""
    for products, w, x, y in cases(kind, dtype):
        m = products.matrix(w).astype(np.float64)
        ways = ((products.apply, x, y, m.T), (products.apply_transposed, y, x, m))
        for (apply, given, start, matrix), (alpha, beta) in product(
            ways, [(1.0, 0.0), (1.0, 1.0), (-0.5, 1.0), (0.3, 0.7), (2.0, 0.0)]
        ):
            out = start.copy() if beta else np.full_like(start, np.nan)
            kept = [a.copy() for a in (w, given)]
            assert apply(w, given, out, alpha, beta) is out
            wanted = alpha * (given.astype(np.float64) @ matrix) + beta * start.astype(np.float64)
            size = abs(alpha) * (np.abs(given) @ np.abs(matrix)) + beta * np.abs(start)
            near(out, wanted, size, max(m.shape) + 7, dtype)
            np.testing.assert_array_equal(w, kept[0])
            np.testing.assert_array_equal(given, kept[1])


@every
def test_apply_writes_into_part_of_a_buffer(kind: str):
    """An engine's buffers are longer than its last batch."""
    for products, w, x, y in cases(kind, np.float32):
        out = np.full((8, y.shape[1]), 7.0, np.float32)
        products.apply(w, x, out[:5])
        np.testing.assert_array_equal(out[:5], products.apply(w, x, np.empty_like(y)))
        assert (out[5:] == 7.0).all()


@every
@precisely
def test_one_way_is_the_adjoint_of_the_other(kind: str, dtype):
    """<y, W x> = <W^T y, x>."""
    for products, w, x, y in cases(kind, dtype):
        up, down = products.product(w, x), products.product_transposed(w, y)
        m = np.abs(products.matrix(w).astype(np.float64))
        size = float((np.abs(y) * (np.abs(x) @ m.T)).sum())
        assert (
            abs(float((y * up).sum() - (down * x).sum())) <= gamma(2 * x.size + 2 * y.size + 20, dtype) * size
        )


@every
@precisely
def test_correlate_is_the_adjoint_of_its_matrix(kind: str, dtype):
    """<post^T pre, matrix(v)> = <correlate(post, pre), v> for every v: the gradient of what is linear in w."""
    for products, w, pre, post in cases(kind, dtype):
        outer = post.astype(np.float64).T @ pre
        found = products.correlate(post, pre, np.empty_like(w))
        assert found.shape == w.shape
        terms = len(pre) + outer.size
        for index in np.ndindex(w.shape):
            unit = np.zeros(w.shape)
            unit[index] = 1.0
            where = products.matrix(unit)
            size = (np.abs(where) * (np.abs(post).T @ np.abs(pre))).sum()
            assert abs(found[index] - (outer * where).sum()) <= gamma(terms, dtype) * size
        start = np.random.default_rng(0).normal(size=w.shape).astype(dtype)
        for alpha, beta in ((1.0, 1.0), (-0.5, 1.0), (0.3, 0.7)):
            out = start.copy()
            assert products.correlate(post, pre, out, alpha, beta) is out
            wanted = alpha * found.astype(np.float64) + beta * start
            size = abs(alpha) * np.abs(post).sum() * np.abs(pre).max() + beta * np.abs(start)
            near(out, wanted, size, terms + 5, dtype)


@every
def test_fan_in_is_the_number_of_synapses_onto_a_unit(kind: str):
    """Initial weights of He's scale keep the size of relu rates."""
    for n_pre, n_post in filter(partial(connects, kind), SIZES):
        products = between(kind, n_pre, n_post)
        synapses = products.matrix(np.ones(products.shape)) != 0
        assert synapses.sum(axis=1).max() == products.fan_in
    sizes = next(sizes for sizes in [(300, 400, 200), (256, 256, 256)] if connects(kind, sizes))
    graph = Backprop().graph(Network(layers=sizes, kinds=(kind, kind)))
    params = initial_parameters(graph, 0, np.float64)
    for w, products in zip(params.weights, graph.up, strict=True):
        assert w.shape == products.shape
        assert w.std() == pytest.approx(np.sqrt(2 / products.fan_in), rel=0.15)
        assert not w.flags.writeable or w.flags.c_contiguous


# ---- a network of it


def networks(kind: str, **fields: Any) -> tuple[Network, Network]:
    """A network of this kind, and the dense one."""
    fields = {"layers": next(sizes for sizes in LAYERS if connects(kind, sizes))} | fields
    return Network(**fields, kinds=(kind,) * 3), Network(**fields)


class Pair:
    """A network of a kind with its numbers, and the dense network of its matrices."""

    def __init__(
        self, kind: str, method: Method, seed: int = 1, dtype: Any = np.float64, **fields: Any
    ) -> None:
        self.own, self.dense = (method.graph(network) for network in networks(kind, **fields))
        params = initial_parameters(self.own, seed, dtype)
        rng = np.random.default_rng([seed, 1])
        biases = tuple(rng.normal(0.1, 0.3, b.shape).astype(dtype) for b in params.biases)
        self.params = params._replace(biases=biases)
        matrices = [p.matrix(w) for p, w in zip(self.own.up, params.weights, strict=True)]
        self.matrices = self.params._replace(weights=tuple(np.ascontiguousarray(m) for m in matrices))
        if params.ghost_weights:
            self._copy()
        n = self.own.layers
        self.x = rng.normal(size=(BATCH, n[0])).astype(dtype)
        self.target = np.eye(n[-1], dtype=dtype)[rng.integers(0, n[-1], BATCH)]

    def _copy(self) -> None:
        """Learned ghosts, which are dense, as exact copies."""
        inhibition = tuple(fed_back(self.matrices, k).copy() for k in (1, 2))
        copies = {"ghost_weights": self.matrices.weights[1:], "ghost_biases": self.matrices.biases[1:]}
        copies |= {"ghost_inhibition": inhibition}
        copies = {name: tuple(a.copy() for a in group) for name, group in copies.items()}
        self.params, self.matrices = self.params._replace(**copies), self.matrices._replace(**copies)

    def sides(self) -> tuple[tuple[Graph, Parameters], tuple[Graph, Parameters]]:
        return (self.own, self.params), (self.dense, self.matrices)


GHOSTS = [
    Ghost(mechanism=mechanism, feedback=feedback, lam=0.02, schedule=fast(t_free_steps=60, t_nudge_steps=60))
    for mechanism, feedback in product(("duplicate", "learned", "online"), ("tied", "random"))
]
of_ghosts = pytest.mark.parametrize("method", GHOSTS, ids=lambda m: f"{m.mechanism}-{m.feedback}")


@every
@of_ghosts
@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_a_network_of_it_is_the_dense_network_of_its_matrices(kind: str, method: Ghost, engine: str):
    """Outputs, and all that a trial leaves for a rule; in both engines, up to the order of sums."""
    pair = Pair(kind, method)
    trials, outputs = [], []
    for graph, params in pair.sides():
        made = Stepped(graph) if engine == "stepped" else Equilibrium(graph, BATCH, sweeps=5, dtype=np.float64)
        outputs.append(made.output(params, pair.x).copy())
        trials.append(made.trial(params, pair.x, pair.target))
    np.testing.assert_allclose(*outputs, rtol=1e-12, atol=1e-12)
    own, dense = trials
    # a change is as small as beta lam^2, of rates near 1: what rounding leaves of it in time
    atol = 1e-12 if engine == "stepped" else 0
    for group in ("free", "change", "unpredicted", "pre"):
        for a, b in zip(getattr(own, group), getattr(dense, group), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=max(atol, 1e-12 * float(np.abs(b).max())))


@every
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_duplicate_ghosts_of_it_cancel_to_the_bit_at_every_step(kind: str, feedback: str):
    method = Ghost.model_validate({"feedback": feedback, "schedule": fast()})
    pair = Pair(kind, method)
    for _, state in Stepped(pair.own).states(pair.params, pair.x):
        for back, inhibition in zip(state.feedback, state.inhibition, strict=True):
            np.testing.assert_array_equal(back, inhibition)


@every
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_backprop_through_it_is_the_gradient_of_its_weights(kind: str, loss: str):
    """The dense gradient, gathered into its weights; and by differences of the loss in the weights themselves."""
    pair = Pair(kind, Backprop(), dtype=np.float32, loss=loss)
    changes = [asked(Backprop(), g, params, pair.x, pair.target) for g, params in pair.sides()]
    own, dense = (multiplied(g, p, c.factors) for (g, p), c in zip(pair.sides(), changes, strict=True))
    for products, found, gradient, w in zip(pair.own.up, own, dense, pair.params.weights, strict=True):
        assert found.shape == w.shape
        wanted = np.array(
            [(products.matrix(unit.reshape(w.shape)) * gradient).sum() for unit in np.eye(w.size)]
        ).reshape(w.shape)
        assert distance(found, wanted) < 1e-5


@every
@pytest.mark.parametrize("rule", ["prediction", "temporal"])
def test_ghosts_follow_the_gradient_through_it(kind: str, rule: str):
    """Cosine 1 of ghost and backprop, up to O(beta) and O(lam), and the same length; duplicate and tied."""
    method = Ghost.model_validate({"rule": rule, "lam": 1e-5, "beta": 1e-4})
    pair = Pair(kind, method)
    graph, params = pair.sides()[0]
    engine = Equilibrium(graph, BATCH, sweeps=50, tolerance=1e-14, dtype=np.float64)
    trial = engine.trial(params, pair.x, pair.target)
    work = method.prepare(graph, Learning(batch_size=BATCH))._replace(gains=gains_of(graph))
    found = multiplied(graph, params, method.factors(work, params, trial))
    backprop = asked(Backprop(), graph.forward, params.astype(np.float32), pair.x, pair.target)
    for a, b in zip(found, multiplied(graph, params, backprop.factors), strict=True):
        assert cosine(a, b) == pytest.approx(1, abs=1e-6)
        assert np.linalg.norm(a) == pytest.approx(np.linalg.norm(b), rel=1e-3)


def gains_of(graph: Graph) -> tuple[float, ...]:
    """1 / (beta lam^(L - k)): what undoes the attenuation of layer k, for cross-entropy."""
    return tuple(1.0 / (graph.beta * graph.lam ** (graph.depth - k)) for k in range(1, graph.depth + 1))


@every
@of_ghosts
def test_diagnostics_of_it_are_those_of_its_matrices(kind: str, method: Ghost):
    """Random feedback has no cosine of 1 to expect in hidden layers, the output layer does."""
    pair = Pair(kind, method, dtype=np.float32)
    own, dense = (
        diagnose(graph, method, Learning(sweeps=5), params, {}, pair.x, pair.target)
        for graph, params in pair.sides()
    )
    assert own["cosines"][-1] == pytest.approx(1, abs=2e-3)
    if method.feedback == "tied":
        assert min(own["cosines"]) > 0.95
    assert own["loop_gain"] == pytest.approx(dense["loop_gain"], rel=1e-4)
    assert own["residuals"] == pytest.approx(dense["residuals"], abs=1e-5)
    assert own["norms"] == pytest.approx([float(np.linalg.norm(w)) for w in pair.params.weights], rel=1e-6)


@every
def test_a_step_is_taken_in_its_weights(kind: str):
    """Two steps with momentum and decay, by the documented equations; the biases with them."""
    pair = Pair(kind, Backprop())
    graph, params = pair.sides()[0]
    optimiser = Momentum(graph, params, 0.9, 0.1)
    rng = np.random.default_rng(0)
    n = graph.layers
    w, b = params.weights[1].copy(), params.biases[1].copy()
    v_w, v_b = np.zeros_like(w), np.zeros_like(b)
    for eta in (0.1, 0.05):
        post, pre = rng.normal(size=(BATCH, n[2])), rng.normal(size=(BATCH, n[1]))
        changes = asked(Backprop(), graph, params.astype(np.float32), pair.x, pair.target)
        changes = type(changes)({"weights.2": Factors(post, pre, 3.0)})
        optimiser.apply(params, changes, eta)
        change = graph.up[1].correlate(post, pre, np.empty_like(w))
        v_w, v_b = 0.9 * v_w - 0.1 * w + 3 / BATCH * change, 0.9 * v_b + 3 / BATCH * post.sum(axis=0)
        w, b = w + eta * v_w, b + eta * v_b
    np.testing.assert_allclose(params.weights[1], w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(params.biases[1], b, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize(
    "method",
    [EXPLORING if name == "brainprop" else method_of(name) for name in METHODS.names()]
    + [Ghost(feedback="random"), Ghost(mechanism="online", lam=0.01), Ghost(mechanism="learned")],
    ids=lambda m: "-".join([m.name, *([m.mechanism, m.feedback] if isinstance(m, Ghost) else [])]),
)
def test_a_network_of_it_learns(kind: str, method: Method, digits):
    """Four epochs lower the error; ghosts with tied feedback and backprop agree in every layer, all the time."""
    sizes = next(sizes for sizes in [(64, 32, 16), (64, 64, 64)] if connects(kind, sizes))
    network = Network.model_validate(
        {"layers": (*sizes, 10), "kinds": (kind, kind, "dense"), "loss": method.needs.losses[0]}
    )
    if faults := method.faults(method.graph(network)):
        assert kind != "dense"
        assert all(f"'{method.name}'" in fault and "is not dense" in fault for fault in faults)
        return
    # a weight that is used in n places has a gradient of n terms; feedback of a scale carries errors of that scale
    shared = max(
        float((p.matrix(np.ones(p.shape)) != 0).sum() / np.prod(p.shape)) for p in method.graph(network).up
    )
    learning = Learning(
        epochs=16 if method is EXPLORING else 4,
        batch_size=20,
        seed=2,
        eta=(0.02 if method is EXPLORING and shared == 1 else 0.05) / shared / getattr(method, "scale", 1.0),
    )
    learner = FloatLearner(network, method, learning, digits)
    history = run(learner).history
    assert history[-1]["norms"] != history[0]["norms"]
    if isinstance(method, Frozen):
        return
    exact = type(method) is Backprop
    few = exact or (learner.graph.tied and (method is not EXPLORING or shared == 1))
    # hidden layers of few or shared weights cannot come to agree with random feedback
    assert history[-1]["accuracy"] > history[0]["accuracy"] + (0.2 if few else 0.05)
    if exact or method == Ghost():
        assert min(min(row["cosines"]) for row in history) > 0.98


@every
def test_what_a_network_says_of_its_kinds(kind: str):
    network, _ = networks(kind)
    graph = Ghost(feedback="random").graph(network)
    assert [p.kind for p in graph.along("feedforward")] == [kind] * 3
    assert network.kind(2) == kind
    assert graph.all_dense == (kind == "dense")
    assert {p.kind for p in graph.along("feedback")} == {"dense"}
    assert {p.kind for p in Ghost().graph(network).along("feedback")} == {kind}
