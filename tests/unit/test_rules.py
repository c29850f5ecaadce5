"""The two local rules: what they read of a trial, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.engines import Local, Trial
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.ghost.rules import PREDICTION, RULES, TEMPORAL
from tests.strategies import descent, fast, problem

LOCAL = Local(free=np.array([[1.0]]), change=np.array([[2.0]]), unpredicted=np.array([[3.0]]))


def test_temporal_is_the_change_of_the_rate_and_prediction_what_was_not_predicted():
    np.testing.assert_array_equal(TEMPORAL.post(LOCAL), [[2.0]])
    np.testing.assert_array_equal(PREDICTION.post(LOCAL), [[3.0]])


def test_prediction_without_predicting_ghosts_is_refused_with_the_remedy():
    with pytest.raises(SpecError, match="use mechanism 'duplicate' or 'learned'"):
        PREDICTION.post(LOCAL._replace(unpredicted=None))
    np.testing.assert_array_equal(TEMPORAL.post(LOCAL._replace(unpredicted=None)), [[2.0]])


def test_rules_are_listed_under_their_names_and_cannot_be_changed():
    assert {name: rule.name for name, rule in RULES.items()} == {name: name for name in RULES}
    with pytest.raises(TypeError):
        RULES["own"] = TEMPORAL  # type: ignore[index]


def test_a_trial_hands_out_its_layers_from_one():
    arrays = tuple(np.full((1, 1), float(k)) for k in range(6))
    trial = Trial(x=arrays[0], free=arrays[:2], change=arrays[2:4], unpredicted=arrays[4:], pre=arrays[:2])
    assert [a.item() for a in trial.local(2) if a is not None] == [1.0, 3.0, 5.0]
    online = trial._replace(unpredicted=())
    assert online.local(1).unpredicted is None


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_in_layer_one_both_rules_read_the_same(mechanism):
    """The input is clamped: its prediction is the neuron's own free rate."""
    p = problem((5, 7, 6, 4), 8, mechanism=mechanism, schedule=fast())
    for engine in (Equilibrium(p.graph, 8, sweeps=3, dtype=np.float64), Stepped(p.graph)):
        local = engine.trial(p.params, p.x, p.target).local(1)
        np.testing.assert_array_equal(TEMPORAL.post(local), PREDICTION.post(local))


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_what_is_unpredicted_is_what_the_nudge_adds_to_the_rate_and_not_to_its_ghost(mechanism):
    """From the definition: r_k - rho(G r_{k-1} + c), nudged minus free, in the equilibrium engine."""
    p = problem((5, 7, 6, 4), 8, mechanism=mechanism, lam=0.05, beta=0.5, copied=False)
    engine = Equilibrium(p.graph.having(free_sweeps=60), 8, sweeps=200, tolerance=1e-14, dtype=np.float64)
    trial = engine.trial(p.params, p.x, p.target)
    nudged = [a + b for a, b in zip(trial.free, trial.change, strict=True)]
    for k in (2, 3):
        copies = mechanism == "duplicate"
        w = p.params.weights[k - 1] if copies else p.params.ghost_weights[k - 2]
        b = p.params.biases[k - 1] if copies else p.params.ghost_biases[k - 2]
        missed = []
        for rates in (trial.free, nudged):
            ghost = rates[k - 2] @ w.T + b
            missed.append(rates[k - 1] - (ghost if k == 3 else np.maximum(ghost, 0)))
        if copies:
            np.testing.assert_allclose(missed[0], 0, rtol=0, atol=1e-12)
        else:
            assert np.abs(missed[0]).max() > 2 * np.abs(trial.unpredicted[k - 1]).max()
        np.testing.assert_allclose(trial.unpredicted[k - 1], missed[1] - missed[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_prediction_bears_ghosts_that_predict_badly(engine):
    """Its error is O(lam |W - G|): with ghosts near zero it is that of the temporal rule, with exact ones gone."""
    errors = []
    for share in (0.0, 0.5, 0.9, 1.0):
        p = problem(
            (5, 30, 30, 4),
            40,
            mechanism="learned",
            lam=0.01,
            beta=1e-3,
            loss="squared_error",
            schedule=fast(t_free_steps=200),
        )
        for group in (p.params.ghost_weights, p.params.ghost_biases):
            for array in group:
                array[:] = share * array
        made = Equilibrium(p.graph.having(free_sweeps=60), 40, sweeps=50, dtype=np.float64)
        trial = (Stepped(p.graph) if engine == "stepped" else made).trial(p.params, p.x, p.target)
        gradient = descent(p.graph, p.params, p.x, p.target)
        cosines = []
        for k in (1, 2, 3):
            change = PREDICTION.post(trial.local(k)).T @ trial.pre[k - 1]
            wanted = gradient[k - 1]
            cosines.append((change * wanted).sum() / np.linalg.norm(change) / np.linalg.norm(wanted))
        errors.append(1 - min(cosines))
    assert errors[0] < 0.1
    assert all(later <= earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 1e-4
