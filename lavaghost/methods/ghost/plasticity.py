"""Long-term plasticity of learned ghosts, from target-free phases only.

    dG_k = mu   / (mean |r_k|^2 + 1)   * mean (r_{k+1} - g_k) r_k^T,        dc_k the same for a rate of one
    dI_k = mu_I / (mean |g_k|^2 + 0.1) * mean (B_k r_{k+1} - I_k g_k) g_k^T

Least mean squares on a batch diverges for a normalised step above 2 times the inverse of the largest
eigenvalue's share of |r|^2, hence the normalisation; a bias is a weight from a unit of rate one, hence the 1.
Errors are stored at the end of the free phase and applied at the end of the trial, since any weight that
changes between the phases is amplified by lam^-(L-k) (docs/theory.md). Ghosts also follow each step of the
weights that they stand for: `G_k += dW_{k+1}`, `c_k += db_{k+1}`.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from lavaghost.base.spec import Positive, Spec
from lavaghost.dynamics.neuron import residual
from lavaghost.engines.trial import Trial
from lavaghost.numbers.arithmetic import Array


class GhostSteps(Spec):
    """Plasticity of `learned` ghosts: long term, target-free phase only (docs/theory.md).

    Example: `Ghost(mechanism="learned", plasticity=GhostSteps(mu=0.3))`.
    """

    mu: Positive = 0.5
    """Step of the ghosts' incoming weights, normalised by `mean |r|^2 + 1`; above 2 it diverges."""
    mu_inhibition: Positive = 0.3
    """Step of the ghosts' outgoing inhibition, normalised by `mean |g|^2 + 0.1`."""
    pretrain_batches: Annotated[int, Field(ge=0, le=10**9)] = 600
    """Batches on which only the ghosts learn, before anything else does."""
    gate: Positive = 0.6
    """Plasticity of the network waits while the ghost residual of any layer is above this."""


@dataclass(frozen=True)
class OnlineGhosts:
    """Steps of learned ghosts that learn one sample at a time (`learning.online`).

    They are constants: `|r|^2`, by which a batch normalises them, is not local. LMS with one sample is stable
    for `mu (|r_k|^2 + 1) < 2` and `mu_inhibition |g_k|^2 < 2`.
    """

    mu: float
    mu_inhibition: float

    def prediction(self, partner: Array, ghost: Array) -> Array:
        """mu (r_{k+1} - g_k), `(1, n_{k+1})`, from free rates."""
        return (partner - ghost) * self.mu

    def cancelling(self, left_over: Array) -> Array:
        """mu_I (B_k r_{k+1} - I_k g_k), `(1, n_k)`, at the end of the free phase."""
        return left_over * self.mu_inhibition


GROWTH = 8.0
"""How many times its first `|r|^2` a layer may reach in training before constant steps become unstable."""


def online_steps(settings: GhostSteps, trial: Trial) -> OnlineGhosts:
    """The normalised steps of `settings` as constants, for a network whose first activity is the batch `trial`.

    Of the most active sample, not of the mean, since one sample at a time has no mean, with room to grow; and
    of the partners where ghosts are meant, which start small and become like them. The next lower power of two.
    """

    def largest(rates: tuple[Array, ...]) -> float:
        return GROWTH * max(float(np.square(r).sum(axis=1).max()) for r in rates)

    mu = settings.mu / (largest(trial.free[:-1]) + 1.0)
    mu_inhibition = settings.mu_inhibition / (largest(trial.free[1:]) + 0.1)
    return OnlineGhosts(*(2.0 ** math.floor(math.log2(step)) for step in (mu, mu_inhibition)))


def pending(settings: GhostSteps, trial: Trial) -> tuple[bool, dict[str, Array]]:
    """Whether the network may learn from a trial, and what the ghosts learn from its free phase, by tensor."""
    found: dict[str, Array] = {}
    left_of = []
    for k, g in enumerate(trial.ghost_rate):
        r, left, whole = trial.free[k], trial.left_over[k], trial.whole[k]
        left_of.append(residual(whole, whole - left))
        error = trial.free[k + 1] - g
        step = settings.mu / (np.square(r).sum() / len(r) + 1.0) / len(r)
        step_i = settings.mu_inhibition / (np.square(g).sum() / len(g) + 0.1) / len(g)
        found[f"ghost_weights.{k + 1}"] = error.T @ r * step
        found[f"ghost_biases.{k + 1}"] = error.sum(axis=0) * step
        found[f"ghost_inhibition.{k + 1}"] = left.T @ g * step_i
    # a residual that is not a number is not below the gate
    return all(r <= settings.gate for r in left_of), found
