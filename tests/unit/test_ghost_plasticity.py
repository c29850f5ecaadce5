"""Long-term plasticity of learned ghosts: its equations, its end point, its gate, and when it is applied."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.base import Changes
from lavaghost.methods.ghost.plasticity import GhostSteps, pending
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from tests.networks import asked
from tests.strategies import Problem, fast, fed_back, problem

LAYERS = (6, 12, 10, 4)


def learned(batch: int = 40, copied: bool = False, **fields) -> Problem:
    return problem(LAYERS, batch, mechanism="learned", copied=copied, lam=0.01, **fields)


def engine_of(p: Problem, kind: str):
    if kind == "stepped":
        return Stepped(p.graph)
    return Equilibrium(p.graph.having(free_sweeps=30), len(p.x), dtype=np.float64)


def snapshot(p: Problem) -> dict[str, np.ndarray]:
    return {name: a.copy() for name, a in p.params.named().items()}


def learn(p: Problem, add) -> None:
    """The ghosts' own step."""
    Momentum(p.graph, p.params, 0.9, 1e-4).apply(p.params, Changes(add=add), 0.1)


@pytest.mark.parametrize("kind", ["equilibrium", "stepped"])
def test_a_change_is_the_documented_equation(kind):
    p = learned(schedule=fast(t_free_steps=100))
    before = snapshot(p)
    trial = engine_of(p, kind).trial(p.params, p.x, p.target)
    free = [a.copy() for a in trial.free]
    _, add = pending(GhostSteps(mu=0.4, mu_inhibition=0.2), trial)
    learn(p, add)
    for k in (1, 2):
        r, above = free[k - 1], free[k]
        v = r @ before[f"ghost_weights.{k}"].T + before[f"ghost_biases.{k}"]
        g = v if k == 2 else np.maximum(v, 0)
        step = 0.4 / (np.square(r).sum(axis=1).mean() + 1)
        step_i = 0.2 / (np.square(g).sum(axis=1).mean() + 0.1)
        error = above - g
        left = above @ fed_back(p.params, k).T - g @ before[f"ghost_inhibition.{k}"].T
        wanted = {
            "ghost_weights": step * np.einsum("bj,bi->ji", error, r) / 40,
            "ghost_biases": step * error.mean(axis=0),
            "ghost_inhibition": step_i * np.einsum("bj,bi->ji", left, g) / 40,
        }
        for field, change in wanted.items():
            name = f"{field}.{k}"
            np.testing.assert_allclose(
                p.params.named()[name] - before[name], change, rtol=1e-9, atol=1e-9 * np.abs(change).max()
            )


def test_plasticity_waits_for_the_end_of_the_trial_and_leaves_the_network_alone():
    p = learned()
    before = snapshot(p)
    _, add = pending(GhostSteps(), engine_of(p, "equilibrium").trial(p.params, p.x, p.target))
    for name, array in p.params.named().items():
        np.testing.assert_array_equal(array, before[name])
    learn(p, add)
    for name, array in p.params.named().items():
        assert np.array_equal(array, before[name]) == (not name.startswith("ghost_")), name


def test_exact_ghosts_are_a_fixed_point():
    p = learned(copied=True)
    before = snapshot(p)
    ready, add = pending(GhostSteps(), engine_of(p, "equilibrium").trial(p.params, p.x, p.target))
    learn(p, add)
    assert ready
    for name, array in p.params.named().items():
        np.testing.assert_allclose(array, before[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_learning_approaches_the_copy_and_its_residual_falls(feedback):
    """On fresh samples the residual, at first that of ghosts which do little, falls by more than five times."""
    p = learned(batch=1, feedback=feedback)
    work = p.method.prepare(p.graph, Learning(batch_size=40))
    optimiser = Momentum(p.graph, p.params.astype(np.float32), 0.9, 1e-4)
    rng = np.random.default_rng(0)
    params, target = p.params.astype(np.float32), np.zeros((40, 4), np.float32)
    seen = []
    for _ in range(800):
        x = rng.normal(size=(40, 6)).astype(np.float32)
        trial = work.engine.trial(params, x, target)
        seen.append(
            max(
                np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(trial.left_over, trial.whole, strict=True)
            )
        )
        optimiser.apply(params, Changes(add=pending(p.method.plasticity, trial)[1]), 0.1)
    assert seen[0] > 0.9
    assert np.mean(seen[-10:]) < 0.18


@pytest.mark.parametrize(("mu", "stable"), [(0.5, True), (1.9, True), (50.0, False)])
def test_the_step_is_stable_below_two_and_diverges_far_above(mu, stable):
    """One batch over and over: the normalised step contracts every direction if mu < 2 (largest eigenvalue <= 1)."""
    p = learned(copied=True).change(lam=1e-9)
    p.params.ghost_weights[1][:] += 0.1
    steps = GhostSteps(mu=mu, mu_inhibition=1e-9, gate=1e9)
    # the output's ghosts are linear, so their errors obey a linear recursion
    sizes = []
    for _ in range(25):
        trial = engine_of(p, "equilibrium").trial(p.params, p.x, p.target)
        sizes.append(np.linalg.norm(trial.free[2] - trial.ghost_rate[1]))
        if sizes[-1] > 1e6 * sizes[0]:
            break
        _, add = pending(steps, trial)
        learn(p, {name: change for name, change in add.items() if name.endswith(".2")})
    if stable:
        assert all(later <= earlier for earlier, later in pairwise(sizes))
        assert sizes[-1] < 0.9 * sizes[0]
    else:
        assert sizes[-1] > 10 * sizes[0]


@pytest.mark.parametrize("gate", [0.01, 10.0])
def test_the_gate_holds_the_network_but_not_the_ghosts(gate):
    p = learned(plasticity=GhostSteps(gate=gate)).single()
    params = p.params
    before = {name: a.copy() for name, a in params.named().items()}
    changes = asked(p.method, p.graph, params, p.x, p.target)
    Momentum(p.graph, params, 0.9, 1e-4).apply(params, changes, 0.1)
    held = gate == 0.01
    assert (not changes.factors) == held
    assert (not changes.follow) == held
    for name, array in params.named().items():
        network_own = name.startswith(("weights", "biases"))
        assert np.array_equal(array, before[name]) == (network_own and held), name


def test_the_worst_layer_decides_the_gate():
    p = learned(copied=True)
    p.params.ghost_inhibition[0][:] = 0
    trial = engine_of(p, "equilibrium").trial(p.params, p.x, p.target)
    assert not pending(GhostSteps(gate=0.6), trial)[0]
    assert pending(GhostSteps(gate=1.01), trial)[0]


def test_a_residual_that_is_not_a_number_keeps_the_gate_closed():
    p = learned(copied=True)
    trial = engine_of(p, "equilibrium").trial(p.params, p.x, p.target)
    assert pending(GhostSteps(), trial)[0]
    lost = trial._replace(left_over=tuple(np.full_like(a, np.nan) for a in trial.left_over))
    assert not pending(GhostSteps(), lost)[0]


def test_ghosts_follow_the_steps_of_the_weights_that_they_copy():
    """Exact ghosts stay exact while the network learns: G_k += dW_{k+1}, c_k += db_{k+1}."""
    p = learned(copied=True, feedback="random", free_sweeps=30).single()
    params = p.params
    start = params.weights[1].copy()
    optimiser = Momentum(p.graph, params, 0.9, 1e-4)
    for _ in range(20):
        optimiser.apply(params, asked(p.method, p.graph, params, p.x, p.target), 0.05)
    assert np.abs(params.weights[1] - start).max() > 1e-2
    for k in range(2):
        np.testing.assert_allclose(params.ghost_weights[k], params.weights[k + 1], rtol=0, atol=2e-5)
        np.testing.assert_allclose(params.ghost_biases[k], params.biases[k + 1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_pretraining_moves_ghosts_alone(engine):
    p = learned(schedule=fast(t_free_steps=40))
    precision = np.float64 if engine == "stepped" else np.float32
    params = p.params.astype(precision)
    before = {name: a.copy() for name, a in params.named().items()}
    assert p.method.pretrain_batches(p.graph) == 600
    samples = p.x.astype(precision), p.target.astype(precision)
    changes = asked(p.method, p.graph, params, *samples, "pretrain", engine=engine)
    assert (changes.factors, changes.follow) == ({}, {})
    Momentum(p.graph, params, 0.9, 1e-4).apply(params, changes, 0.1)
    for name, array in params.named().items():
        assert array.dtype == precision
        assert np.array_equal(array, before[name]) == (not name.startswith("ghost_")), name


@pytest.mark.parametrize("mechanism", ["duplicate", "online"])
def test_ghosts_without_weights_of_their_own_have_nothing_to_pretrain(mechanism):
    p = problem(LAYERS, 5, mechanism=mechanism).single()
    assert p.method.pretrain_batches(p.graph) == 0
    changes = asked(p.method, p.graph, p.params, p.x, p.target)
    assert (changes.add, changes.follow) == ({}, {})


@pytest.mark.parametrize("gate", [1e-9, 10.0])
def test_a_probe_learns_nothing_and_never_waits(gate):
    """What would change is the same whether the gate is open or closed."""
    p = learned(plasticity=GhostSteps(gate=gate)).single()
    probe = asked(p.method, p.graph, p.params, p.x, p.target, "probe")
    opened = p.method.model_copy(update={"plasticity": GhostSteps(gate=10.0)})
    wanted = asked(opened, p.graph, p.params, p.x, p.target)
    assert (probe.add, probe.follow) == ({}, {})
    assert list(probe.factors) == ["weights.1", "weights.2", "weights.3"]
    for name, factor in probe.factors.items():
        np.testing.assert_array_equal(factor.post, wanted.factors[name].post)
        np.testing.assert_array_equal(factor.pre, wanted.factors[name].pre)
