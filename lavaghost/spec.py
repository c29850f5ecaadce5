"""Frozen descriptions of what is to be built: `Network`, `Schedule`, `Ghosts`, `Learning`.

They are values: validated once, hashable, never changed. A configuration file and a saved manifest hold
the same fields under the same names, so there is one schema and one set of messages.

Every model is strict: unknown keys are refused by their path and nothing is coerced (`"3"` is not 3).
`parse` turns all faults of an input into one `SpecError` line.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lavaghost.errors import SpecError, join_faults
from lavaghost.names import Activation, Decay, Engine, Feedback, Loss, Mechanism, MethodName, Rule

MAX_UNITS = 1_000_000
"""Largest layer accepted; a bound against typing errors, far above any chip's core."""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _list_to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Size = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(_list_to_tuple), Field(min_length=3, max_length=64)]
HiddenSizes = Annotated[tuple[Size, ...], BeforeValidator(_list_to_tuple), Field(min_length=1, max_length=62)]
Positive = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]


class Spec(BaseModel):
    """Base of all descriptions: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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


class Ghosts(Spec):
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
    rule: Rule = "prediction"
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
    ghosts: Ghosts = Ghosts()


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


def usual_rule(mechanism: Mechanism) -> Rule:
    """The rule that goes best with a mechanism, for where none is named.

    Duplicate ghosts predict exactly, so their prediction error is the gradient for any `lam`. Learned ghosts
    leave a residual, which the temporal rule forgives; online ghosts predict nothing.
    """
    return "prediction" if mechanism == "duplicate" else "temporal"


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


S = TypeVar("S", bound=Spec)


def parse(model: type[S], values: Mapping[str, Any], where: str = "") -> S:
    """`values` as a `model`. Raises `SpecError` with every fault, each by its path."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SpecError(join_faults(_faults(error, model, where))) from None


def _faults(error: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"])
        path = f"{where}.{path}" if where and path else where or path or model.__name__.lower()
        if fault["type"] == "extra_forbidden":
            known = ", ".join(sorted(_fields_at(model, fault["loc"][:-1])))
            lines.append(f"{path}: unknown key; known keys are {known}")
            continue
        text = fault["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(fault["input"], dict | Spec) else f", got {fault['input']!r:.80}"
        lines.append(f"{path}: {text[:1].lower()}{text[1:]}{shown}")
    return lines


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)
