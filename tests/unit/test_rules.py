"""The two local rules: what they read of a trial, and what they refuse."""

import numpy as np
import pytest

from lavaghost.engines import Local, Trial
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.errors import SpecError
from lavaghost.learning.rules import PREDICTION, RULES, TEMPORAL
from tests.strategies import fast, problem

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
    for engine in (Equilibrium(p.network, 8, sweeps=3, dtype=np.float64), Stepped(p.network)):
        local = engine.trial(p.params, p.x, p.target).local(1)
        np.testing.assert_array_equal(TEMPORAL.post(local), PREDICTION.post(local))


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_what_is_unpredicted_is_the_rate_minus_its_ghost(mechanism):
    """From the definition: r_k - rho(G r_{k-1} + c) at the nudged state, in the equilibrium engine."""
    p = problem((5, 7, 6, 4), 8, mechanism=mechanism, lam=0.05, beta=0.5, copied=False)
    engine = Equilibrium(p.network, 8, sweeps=200, tolerance=1e-14, free_sweeps=60, dtype=np.float64)
    trial = engine.trial(p.params, p.x, p.target)
    nudged = [a + b for a, b in zip(trial.free, trial.change, strict=True)]
    for k in (2, 3):
        copies = mechanism == "duplicate"
        w = p.params.weights[k - 1] if copies else p.params.ghost_weights[k - 2]
        b = p.params.biases[k - 1] if copies else p.params.ghost_biases[k - 2]
        ghost = nudged[k - 2] @ w.T + b
        ghost = ghost if k == 3 else np.maximum(ghost, 0)
        np.testing.assert_allclose(trial.unpredicted[k - 1], nudged[k - 1] - ghost, rtol=0, atol=1e-12)
