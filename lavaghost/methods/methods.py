"""Methods of credit assignment under one interface: `ghost`, and the controls `backprop` and `frozen`.

A method owns its state. It gets a batch and returns, per layer, the factors of a weight change, or None where
the layer stays; after the optimiser's step it may change what belongs to it alone, such as learned ghosts.
"""

from typing import Protocol

import numpy as np

from lavaghost.dynamics import Parameters
from lavaghost.dynamics.fixed_point import FLOAT32, restoring_gain, units
from lavaghost.dynamics.neuron import nudge
from lavaghost.engines import Trial
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.trial import TrialEngine
from lavaghost.methods.ghost.plasticity import GhostPlasticity
from lavaghost.methods.ghost.rules import RULES, Rule
from lavaghost.methods.optimiser import Factors, Momentum
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.arithmetic import Array, gemm

LayerFactors = list[Factors | None]


class Method(Protocol):
    """One way to assign credit."""

    def factors(self, params: Parameters, x: Array, target: Array) -> LayerFactors:
        """Weight changes for layers 1..L from one batch: `x (batch, n_0)`, `target (batch, n_L)`."""
        ...

    def after_step(self, params: Parameters, optimiser: Momentum, eta: float) -> None:
        """Changes of the method's own parameters, once the weights have moved."""
        ...

    @property
    def pretrain_batches(self) -> int:
        """Batches that `pretrain` wants before the first epoch."""
        ...

    def pretrain(self, params: Parameters, x: Array, target: Array) -> None:
        """One batch in which only the method's own parameters learn."""
        ...

    def waited(self) -> int:
        """Batches since the last call in which the network did not learn."""
        ...


class Ghost:
    """Ghost units: a free and a nudged phase, then a local rule. All plasticity waits for the trial's end."""

    def __init__(self, network: Network, learning: Learning, rule: Rule | None = None) -> None:
        self.network, self.rule = network, rule or RULES[learning.rule]
        self.engine = make_engine(network, learning, self.rule)
        unit = (
            units(network, np.dtype(np.float32)) if learning.engine == "equilibrium" else (0,) * network.depth
        )
        self.gains = [restoring_gain(network, k, m) for k, m in enumerate(unit, start=1)]
        self.ghosts = GhostPlasticity(learning.ghosts) if network.mechanism == "learned" else None

    def factors(self, params: Parameters, x: Array, target: Array) -> LayerFactors:
        """See `Method`. None everywhere while learned ghosts do not cancel well enough."""
        trial = self.engine.trial(params, x, target)
        if self.ghosts is not None:
            self.ghosts.observe(trial)
            if not self.ghosts.ready:
                return [None] * self.network.depth
        return self.local_change(params, trial)

    def local_change(self, params: Parameters, trial: Trial) -> LayerFactors:
        """The rule's factors for a finished trial."""
        post = [self.rule.post(trial.local(k)) for k in range(1, self.network.depth + 1)]
        dtype = params.weights[0].dtype
        return [
            Factors(np.ascontiguousarray(p, dtype), np.ascontiguousarray(r, dtype), gain)
            for p, r, gain in zip(post, trial.pre, self.gains, strict=True)
        ]

    def after_step(self, params: Parameters, optimiser: Momentum, eta: float) -> None:
        """See `Method`."""
        if self.ghosts is not None:
            self.ghosts.apply(params, optimiser, eta)

    @property
    def pretrain_batches(self) -> int:
        """See `Method`."""
        return 0 if self.ghosts is None else self.ghosts.settings.pretrain_batches

    def pretrain(self, params: Parameters, x: Array, target: Array) -> None:
        """See `Method`."""
        if self.ghosts is not None:
            self.ghosts.observe(self.engine.trial(params, x, target))
            self.ghosts.apply(params)

    def waited(self) -> int:
        """See `Method`."""
        if self.ghosts is None:
            return 0
        waited, self.ghosts.waited = self.ghosts.waited, 0
        return waited


class Backprop:
    """The exact gradient by the chain rule: the control that ghost learning is measured against."""

    trained_from = 1
    pretrain_batches = 0

    def __init__(self, network: Network, learning: Learning) -> None:
        self.network = network
        forward = network.model_copy(update={"mechanism": "duplicate"})
        self.engine = Equilibrium(forward, learning.batch_size, push=False)

    def factors(self, params: Parameters, x: Array, target: Array) -> LayerFactors:
        """See `Method`: delta_L = y - p(r_L), delta_k = rho'(v_k) (W_{k+1}^T delta_{k+1})."""
        rates = self.engine.free(params, x)
        delta = nudge(rates[-1], target, self.network.loss, FLOAT32)
        found: LayerFactors = [None] * self.network.depth
        for k in range(self.network.depth - 1, self.trained_from - 2, -1):
            found[k] = Factors(delta, x if k == 0 else rates[k - 1], 1.0)
            if k >= self.trained_from:
                below = np.empty_like(rates[k - 1])
                gemm(delta, params.weights[k], below)
                below *= self._slope(rates[k - 1])
                delta = below
        return found

    def _slope(self, rate: Array) -> Array:
        """Rho' at the free state, 1 strictly inside (0, r_max) and 0 elsewhere."""
        r_max = self.network.r_max
        return (rate > 0) & (rate < r_max) if r_max < np.inf else rate > 0

    def after_step(self, params: Parameters, optimiser: Momentum, eta: float) -> None:
        """See `Method`; nothing."""

    def pretrain(self, params: Parameters, x: Array, target: Array) -> None:
        """See `Method`; nothing."""

    def waited(self) -> int:
        """See `Method`; none."""
        return 0


class Frozen(Backprop):
    """The output layer learns by its gradient, hidden layers stay random: what a useless hidden layer gives."""

    def __init__(self, network: Network, learning: Learning) -> None:
        super().__init__(network, learning)
        self.trained_from = network.depth


def make_method(network: Network, learning: Learning, rule: Rule | None = None) -> Method:
    """The method that `learning` names; `rule`, if given, stands for the one that it names."""
    if learning.method == "ghost":
        return Ghost(network, learning, rule)
    return Backprop(network, learning) if learning.method == "backprop" else Frozen(network, learning)


def make_engine(network: Network, learning: Learning, rule: Rule | None = None) -> TrialEngine:
    """The engine that `learning` names, with buffers for its batch."""
    rule = rule or RULES[learning.rule]
    if learning.engine != "equilibrium":
        return Stepped(network)
    return Equilibrium(
        network,
        learning.batch_size,
        sweeps=learning.sweeps,
        tolerance=learning.tolerance,
        free_sweeps=learning.free_sweeps,
        push=rule.needs_push or network.mechanism == "online",
        predict=rule.needs_prediction,
    )
