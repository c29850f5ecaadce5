"""Learning on Lava goes on from any network: float, quantised or learned, as the stepped engine goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lava_streams import MODELS, same, stepped

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.learner import train_on_lava
from lavaghost.lava.number_systems import AnyNumbers, arithmetic_of, arrays_of
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps, OnlineGhosts
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network, Schedule
from lavaghost.net.parameters import shapes
from lavaghost.numbers.integers import Integers, is_bias
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.course import course
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.integer_course import IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning, integer_rule
from lavaghost.training.order import order, pretraining
from tests.networks import parts

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

DRAW = np.random.default_rng(0)
DATA = Dataset(
    "blobs",
    DRAW.random((8, 16)).astype(np.float32),
    np.arange(8) % 4,
    DRAW.random((4, 16)).astype(np.float32),
    np.arange(4),
    4,
)
STEPS = OnlineGhosts(2.0**-5, 2.0**-6)
PRETRAIN = 3


def network(layers: tuple[int, ...] = (16, 12, 4), **fields: Any) -> tuple[Network, Ghost]:
    schedule = Schedule(t_free_steps=7, t_nudge_steps=5, tau_steps=1, tau_ghost_steps=1.25)
    physics = {"loss": "squared_error", "lam": 0.25, "beta": 1.0, "saturation": 1.5, "schedule": schedule}
    ghosts = GhostSteps(pretrain_batches=PRETRAIN)
    return parts(**{"layers": layers, "plasticity": ghosts, **physics, **fields})


def online() -> Learning:
    return Learning(engine="lava", batch_size=1, momentum=0.0, weight_decay=0.0, eta=0.02, epochs=1, seed=3)


def in_integers() -> IntegerLearning:
    return IntegerLearning(epochs=1, eta_exponent=-2, halve_at=(0.5,), pretrain_samples=PRETRAIN, seed=3)


def trained(graph: Graph) -> Parameters:
    """Numbers as another run leaves them, with biases."""
    draw, params = np.random.default_rng(5), initial_parameters(graph, 9, np.float64)
    return Parameters(*(tuple(a + 0.1 * draw.standard_normal(a.shape) for a in group) for group in params))


def quantised(graph: Graph) -> Integers:
    """The nearest mantissas that can be set; biases are any states, not synapses of a unit of rate 1."""
    return Integers.nearest(trained(graph).named(), default_formats(graph), DEFAULT, DEFAULT.static_step)


def learned(graph: Graph) -> Integers:
    """Mantissas that learned, so that many are odd."""
    draw, start = np.random.default_rng(6), quantised(graph)
    arrays = {
        name: a + (0 if is_bias(name) else draw.integers(-1, 2, a.shape)) for name, a in start.arrays.items()
    }
    found = Integers({n: np.clip(a, *start.limits(n)) for n, a in arrays.items()}, start.formats, DEFAULT)
    assert all((a % 2).any() for name, a in found.arrays.items() if not is_bias(name))
    return found


def reference(net: tuple[Network, Ghost], learning: Any, start: AnyNumbers, data: Dataset = DATA) -> AnyNumbers:
    """One epoch, after pre-training where ghosts learn, in the online loop or in the compiled loops."""
    graph, count = net[1].graph(net[0]), len(data.x_train)
    if isinstance(learning, IntegerLearning):
        widths, formats = DEFAULT, default_formats(graph)
        plan: Any = IntegerCourse(graph, integer_rule(net[1]), learning, formats, widths, count)
    else:
        plan = course(graph, net[1], learning, count, ghosts=STEPS if graph.ghosts_learn else None)
    rows = np.concatenate(
        [*pretraining(learning.seed, count, plan.pretrain), order(learning.seed, 0, count)]
    ).astype(int)
    return stepped(plan, start, data.x_train[rows].astype(np.float64), data.y_train[rows], 0).numbers


CASES = [
    ((16, 12, 4), {"mechanism": "duplicate"}),
    ((16, 9, 7, 4), {"mechanism": "duplicate", "feedback": "random"}),
    ((16, 12, 4), {"mechanism": "learned", "feedback": "random"}),
    ((16, 9, 7, 4), {"mechanism": "learned"}),
]


@pytest.mark.parametrize("make", [trained, quantised, learned])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("layers", "fields"), CASES)
def test_learning_goes_on_from_any_start(layers, fields, model, make):
    net = network(layers, **fields)
    graph = net[1].graph(net[0])
    learning: Any = online() if make is trained else in_integers()
    start = make(graph)
    ghosts = STEPS if graph.ghosts_learn and make is trained else None
    run = train_on_lava(
        *net, learning, DATA, start=start, processes=model, ghosts=ghosts, looks=0, diagnostics=False
    )
    same(run.numbers, reference(net, learning, start))
    for name, array in arrays_of(start).items():
        moved = bool((arrays_of(run.numbers)[name] != array).any())
        assert moved != name.startswith("feedback"), f"{name} moved, or did not"


@pytest.mark.parametrize("make", [trained, learned])
@pytest.mark.parametrize("model", MODELS)
def test_a_start_with_frozen_layers_and_a_margin(model, make):
    net = network((16, 9, 7, 4), plastic=(1, 3))
    graph = net[1].graph(net[0])
    learning: Any = (online() if make is trained else in_integers()).model_copy(update={"margin": 0.0})
    start = make(graph)
    # half of the answers are right at first
    output = Stepped(graph, arithmetic_of(start)).output(start, DATA.x_train[:4])
    data = replace(DATA, y_train=np.concatenate([output.argmax(axis=1), np.arange(4)]))
    run = train_on_lava(*net, learning, data, start=start, processes=model, looks=0, diagnostics=False)
    same(run.numbers, reference(net, learning, start, data))
    for k in (1, 2, 3):
        moved = arrays_of(run.numbers)[f"weights.{k}"] != arrays_of(start)[f"weights.{k}"]
        assert moved.any() == (k != 2)
    always = reference(net, learning.model_copy(update={"margin": None}), start, data)
    assert any((a != arrays_of(always)[name]).any() for name, a in arrays_of(run.numbers).items())


@pytest.mark.parametrize("make", [trained, quantised])
def test_what_a_start_lacks_is_drawn(make):
    """A network without ghosts, such as an imported one, gets those of the seed."""
    net = network(mechanism="learned", plasticity=GhostSteps(pretrain_batches=0))
    graph = net[1].graph(net[0])
    whole = make(graph)
    short = {name: a for name, a in arrays_of(whole).items() if not name.startswith("ghost")}
    learning: Any = online() if make is trained else in_integers().model_copy(update={"pretrain_samples": 0})
    empty = learning.model_copy(update={"epochs": 0})
    if isinstance(whole, Integers):
        start: AnyNumbers = Integers(short, whole.formats, whole.widths)
    else:
        start = Parameters(whole.weights, whole.biases)
    drawn = train_on_lava(*net, empty, DATA, looks=0, diagnostics=False)
    run = train_on_lava(*net, empty, DATA, start=start, looks=0, diagnostics=False)
    for name in shapes(graph):
        wanted = arrays_of(drawn.numbers)[name] if name.startswith("ghost") else short[name]
        np.testing.assert_array_equal(arrays_of(run.numbers)[name], wanted, err_msg=name)


def test_a_checkpoint_belongs_to_its_start(tmp_path: Path):
    net = network()
    graph = net[1].graph(net[0])
    start = trained(graph)
    train_on_lava(*net, online(), DATA, start=start, out=tmp_path, looks=0, diagnostics=False)
    with pytest.raises(ModelFileError, match="start"):
        train_on_lava(*net, online(), DATA, out=tmp_path, resume=True, looks=0, diagnostics=False)


def test_starts_that_do_not_fit_are_refused():
    net = network()
    graph = net[1].graph(net[0])
    whole, params = quantised(graph), trained(graph)
    other = network((16, 11, 4))
    wide = default_formats(graph)._replace(weights=(5, 5))
    cases: list[tuple[Any, AnyNumbers, dict[str, Any], str]] = [
        (
            online(),
            whole,
            {},
            "the start is in integers, and this run learns in floating point; start from what",
        ),
        (
            in_integers(),
            params,
            {},
            "the start is in floating point, and this run learns in integers; quantise",
        ),
        (
            in_integers(),
            whole,
            {"formats": wide},
            r"weights is \[\d, \d\] in the integers and \[5, 5\] in the run",
        ),
        (
            in_integers(),
            quantised(other[1].graph(other[0])),
            {},
            r"weights\.1 is \(11, 16\), .* needs \(12, 16\)",
        ),
        (online(), trained(other[1].graph(other[0])), {}, r"weights\.1 of the start is \(11, 16\)"),
    ]
    for learning, start, more, text in cases:
        with pytest.raises(SpecError, match=text):
            train_on_lava(*net, learning, DATA, start=start, **more)
