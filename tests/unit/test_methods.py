"""Methods of credit assignment: backprop against differences of the loss, frozen layers, the fast ghost path."""

import numpy as np
import pytest

from lavaghost.dynamics import Parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.ghost.rules import PREDICTION, RULES, TEMPORAL
from lavaghost.methods.methods import Backprop, Frozen, Ghost, make_engine, make_method
from lavaghost.methods.optimiser import Factors, Momentum
from lavaghost.net.spec import Learning, Network, Plasticity
from tests import tolerances
from tests.strategies import Problem, descent, fast, loss, problem

LOSSES = ["squared_error", "cross_entropy"]
RATES = [{}, {"saturation": 1.0}, {"activation": "hard_sigmoid"}]


def dense(factor: Factors | None) -> np.ndarray:
    assert factor is not None
    return factor.gain / len(factor.post) * np.einsum("bj,bi->ji", factor.post.astype(np.float64), factor.pre)


def single(p: Problem) -> Problem:
    """The same problem with numbers that float32 holds exactly."""
    return p._replace(
        params=p.params.astype(np.float32), x=p.x.astype(np.float32), target=p.target.astype(np.float32)
    )


def double(p: Problem) -> Problem:
    return p._replace(params=p.params.astype(np.float64), x=p.x.astype(np.float64))


# ---- backprop


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("rates", RATES)
def test_backprop_is_the_difference_quotient_of_the_loss(loss_name, rates):
    """Every weight and bias of a tiny network, central differences in double precision, off the kinks."""
    p = single(problem((4, 6, 5, 3), 7, seed=3, margin=0.01, loss=loss_name, **rates))
    factors = Backprop(p.graph, Learning(batch_size=7)).factors(p.params, p.x, p.target)
    exact = double(p)
    h = tolerances.DIFFERENCE
    for k, factor in enumerate(factors):
        assert factor is not None
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
                    moved = Parameters.from_named(p.graph, named)
                    ends.append(loss(p.graph, moved, exact.x, exact.target))
                wanted[index] = -(ends[0] - ends[1]) / (2 * h)
            np.testing.assert_allclose(
                values, wanted, rtol=0, atol=tolerances.GRADIENT32 * np.abs(wanted).max() + 1e-9
            )


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("rates", RATES)
def test_backprop_is_the_naive_chain_rule_for_any_sample(loss_name, rates):
    p = single(problem((8, 16, 12, 10, 5), 32, loss=loss_name, mechanism="learned", **rates))
    factors = Backprop(p.graph, Learning(batch_size=32)).factors(p.params, p.x, p.target)
    exact = double(p)
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
    factors = Backprop(network, Learning(batch_size=1)).factors(params, x, target)
    assert dense(factors[0]).ravel().tolist() == [0.0, 0.0, 7.5]


def test_frozen_learns_the_output_alone_and_as_backprop_does():
    p = single(problem((6, 7, 6, 4), 9))
    learning = Learning(batch_size=9)
    frozen = Frozen(p.graph, learning).factors(p.params, p.x, p.target)
    backprop = Backprop(p.graph, learning).factors(p.params, p.x, p.target)
    assert frozen[:-1] == [None, None]
    np.testing.assert_array_equal(dense(frozen[-1]), dense(backprop[-1]))


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
        loss=loss_name,
        lam=1e-3,
        beta=1e-3,
        schedule=fast(t_free_steps=150, t_nudge_steps=150),
    )
    if engine == "equilibrium":
        p = single(p)
    learning = Learning(rule=rule, engine=engine, batch_size=12, ghosts=Plasticity(gate=0.5), sweeps=5)
    factors = make_method(p.graph, learning).factors(p.params, p.x, p.target)
    exact = double(p)
    # exact ghosts leave a rounding of 6e-8, which lam^2 beta in the gain of layer 1 makes large in float32
    if (engine, mechanism, rule) == ("equilibrium", "learned", "prediction"):
        factors = factors[2:]
    wanted = descent(p.graph, exact.params, exact.x, exact.target)
    for factor, w in zip(factors, wanted[-len(factors) :], strict=True):
        assert np.linalg.norm(dense(factor) - w) / np.linalg.norm(w) < 2e-2


def test_factors_have_the_precision_of_the_weights_and_are_contiguous():
    p = problem((6, 9, 4), 12)
    for params, dtype in ((p.params, np.float64), (p.params.astype(np.float32), np.float32)):
        for factor in make_method(p.graph, Learning(batch_size=12)).factors(params, p.x, p.target):
            assert factor is not None
            for array in (factor.post, factor.pre):
                assert array.dtype == dtype
                assert array.flags.c_contiguous


@pytest.mark.parametrize("method", ["ghost", "backprop", "frozen"])
def test_a_method_changes_neither_parameters_nor_samples(method):
    p = single(problem((6, 9, 8, 4), 12))
    kept = [a.copy() for a in (*p.params.named().values(), p.x, p.target)]
    make_method(p.graph, Learning(method=method, batch_size=12)).factors(p.params, p.x, p.target)
    for before, after in zip(kept, (*p.params.named().values(), p.x, p.target), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", ["backprop", "frozen"])
def test_controls_have_nothing_of_their_own_to_learn(method):
    p = single(problem((6, 9, 4), 12, mechanism="learned"))
    control = make_method(p.graph, Learning(method=method, batch_size=12))
    kept = [a.copy() for a in p.params.named().values()]
    control.pretrain(p.params, p.x, p.target)
    control.after_step(p.params, Momentum(p.params, 0.9, 0.0), 0.1)
    assert control.pretrain_batches == 0
    assert control.waited() == 0
    for before, after in zip(kept, p.params.named().values(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_names_make_the_methods_and_engines_that_they_name():
    network = Network(layers=(4, 5, 3))
    assert isinstance(make_method(network, Learning()), Ghost)
    assert type(make_method(network, Learning(method="backprop"))) is Backprop
    assert type(make_method(network, Learning(method="frozen"))) is Frozen
    assert isinstance(make_engine(network, Learning(engine="stepped")), Stepped)
    engine = make_engine(network, Learning(sweeps=7, tolerance=1e-3, free_sweeps=9))
    assert isinstance(engine, Equilibrium)
    assert (engine.sweeps, engine.tolerance) == (7, 1e-3)


def test_only_what_a_rule_needs_is_computed():
    network = Network(layers=(4, 5, 3))

    def pushes(network: Network, rule: str) -> bool:
        engine = make_engine(network, Learning.model_validate({"rule": rule}))
        assert isinstance(engine, Equilibrium)
        return engine.push

    assert not pushes(network, "prediction")
    assert pushes(network, "temporal")
    assert pushes(network.model_copy(update={"mechanism": "online"}), "temporal")
    assert pushes(network.model_copy(update={"mechanism": "learned"}), "prediction")


def test_a_rule_of_your_own_stands_for_the_named_one():
    p = single(problem((6, 9, 4), 12))
    twice = TEMPORAL._replace(name="twice", post=lambda local: 2 * local.change)
    learning = Learning(rule="prediction", batch_size=12)
    own = make_method(p.graph, learning, twice).factors(p.params, p.x, p.target)
    temporal = make_method(p.graph, Learning(rule="temporal", batch_size=12)).factors(p.params, p.x, p.target)
    for a, b in zip(own, temporal, strict=True):
        np.testing.assert_array_equal(dense(a), 2 * dense(b))


def test_ghost_uses_the_gain_of_each_layer():
    network = Network(layers=(6, 9, 8, 4), lam=0.5, beta=0.25, loss="squared_error")
    assert Ghost(network, Learning()).gains == [5.0 * 4, 5.0 * 2, 5.0]
    assert RULES["prediction"] is PREDICTION
