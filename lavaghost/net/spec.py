"""Networks and how they are trained, as frozen descriptions."""

import math
from typing import Annotated, Any

from pydantic import Field, model_validator

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.names import Activation, Decay, Engine, Feedback, Loss, Mechanism, MethodName, RuleName
from lavaghost.base.spec import NotNegative, Positive, Sizes, Spec


class Schedule(Spec):
    """Time, in steps of the stepped and Lava engines. A trial is a free and then a nudged phase."""

    tau_steps: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Membrane time constant of neurons; 1 relaxes in one Euler step."""
    tau_ghost_steps: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Membrane time constant of ghosts; equal to `tau_steps`, duplicate ghosts cancel at every step."""
    t_free_steps: Annotated[int, Field(ge=2, le=10**6)] = 32
    """Steps without a target; the first one resets the membranes."""
    t_nudge_steps: Annotated[int, Field(ge=1, le=10**6)] = 32
    """Steps with a target."""


class Physics(Spec):
    """What a network is made of, apart from its size: `lam` is the feedback gain, `beta` the nudging strength."""

    activation: Activation = "relu"
    saturation: Positive | None = None
    """Upper bound of a relu rate; None is unbounded. A hard sigmoid saturates at 1 by definition."""
    mechanism: Mechanism = "duplicate"
    feedback: Feedback = "tied"
    loss: Loss = "cross_entropy"
    lam: Positive = 0.03
    beta: Positive = 0.1
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _together(self) -> "Physics":
        if self.activation == "hard_sigmoid" and self.saturation not in (None, 1.0):
            raise ValueError(
                f"saturation {self.saturation} goes with relu; a hard sigmoid saturates at 1, leave it out"
            )
        return self


class Network(Physics):
    """A layered network of one-compartment rate neurons with ghost units.

    `layers` is `(n_0, ..., n_L)`, input first.
    """

    layers: Sizes

    @property
    def depth(self) -> int:
        """L, the number of weight layers."""
        return len(self.layers) - 1

    @property
    def r_max(self) -> float:
        """Upper bound of a hidden rate (infinite for a plain relu)."""
        if self.activation == "hard_sigmoid":
            return 1.0
        return math.inf if self.saturation is None else self.saturation


class Plasticity(Spec):
    """Plasticity of `learned` ghosts: long term, target-free phase only (docs/theory.md)."""

    mu: Positive = 0.5
    """Step of the ghosts' incoming weights, normalised by `mean |r|^2 + 1`; above 2 it diverges."""
    mu_inhibition: Positive = 0.3
    """Step of the ghosts' outgoing inhibition, normalised by `mean |g|^2 + 0.1`."""
    pretrain_batches: Annotated[int, Field(ge=0, le=10**9)] = 600
    """Batches on which only the ghosts learn, before anything else does."""
    gate: Positive = 0.6
    """Plasticity of the network waits while the ghost residual of any layer is above this."""


class Learning(Spec):
    """How a network is trained. `eta` means what a backprop learning rate means, for every rule."""

    method: MethodName = "ghost"
    rule: RuleName = "prediction"
    engine: Engine = "equilibrium"
    epochs: Annotated[int, Field(ge=0, le=10**6)] = 20
    batch_size: Annotated[int, Field(ge=1, le=10**6)] = 50
    eta: Positive = 0.1
    eta_decay: Decay = "linear"
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9
    weight_decay: NotNegative = 1e-4
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    sweeps: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Relaxation sweeps of the equilibrium engine; with `tolerance`, the largest number allowed."""
    tolerance: Positive | None = None
    """Solve until no rate changes by more than this, relative to the largest deviation."""
    free_sweeps: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Sweeps of the free phase; only `learned` ghosts need any."""
    ghosts: Plasticity = Plasticity()


def check_together(network: Network, learning: Learning) -> None:
    """Refuse, all at once, what each half accepts but the pair cannot do. Raises `SpecError`."""
    faults = []
    if learning.method == "ghost" and network.mechanism == "online" and learning.rule == "prediction":
        faults.append(
            "rule 'prediction' needs ghosts that predict the layer above, and mechanism 'online' only "
            "replicates its feedback; use rule 'temporal', or mechanism 'duplicate' or 'learned'"
        )
    if learning.tolerance is not None and learning.engine != "equilibrium":
        faults.append(
            f"learning.tolerance belongs to engine 'equilibrium'; for '{learning.engine}' set the schedule's "
            "t_free_steps and t_nudge_steps"
        )
    if learning.engine == "lava" and learning.method != "ghost":
        faults.append(f"method '{learning.method}' is a control and has no Lava processes; use another engine")
    if faults:
        raise SpecError(join_faults(faults))


def usual_rule(mechanism: Mechanism) -> RuleName:
    """The rule that goes best with a mechanism, for where none is named.

    Duplicate ghosts predict exactly, so their prediction error is the gradient for any `lam`. Learned ghosts
    leave a residual, which the temporal rule forgives; online ghosts predict nothing.
    """
    return "prediction" if mechanism == "duplicate" else "temporal"


SHALLOW = 7
"""Most layers for which the default step of `Learning` holds."""


def usual_eta(depth: int) -> float:
    """The step that goes with L = `depth` layers, for where none is named: 0.1, or 0.1 / L from eight layers on.

    A step moves every layer, and each of them the output, so what a step may be falls with their number; for
    backprop as for ghosts (docs/results.md).
    """
    eta = Learning().eta
    return eta if depth <= SHALLOW else float(f"{eta / depth:.1g}")


def online_defaults(depth: int) -> dict[str, Any]:
    """What goes with learning one sample at a time on Lava, for where nothing else is said.

    With `tau_steps` 1 a signal takes one step per layer: the reset and `depth` steps bring the input to the
    output, and `depth` steps the error back to layer 1. These are the shortest phases in which every layer
    learns (docs/results.md).
    """
    schedule = {"tau_steps": 1.0, "tau_ghost_steps": 1.0, "t_free_steps": depth + 1, "t_nudge_steps": depth}
    return {
        "network": {"lam": 0.25, "beta": 0.5, "schedule": schedule},
        "learning": {"batch_size": 1, "momentum": 0.0, "weight_decay": 0.0, "eta": 0.02, "epochs": 3},
    }
