"""`Learning`: how long, in which engine and by which steps a method's changes are applied."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lavaghost.base.names import Decay, Engine
from lavaghost.base.spec import NotNegative, Positive, Spec


class Learning(Spec):
    """Training in floating point. `eta` means what a backprop learning rate means, for every method and rule.

    Example: `RunSpec(learning=Learning(epochs=15, eta=0.05))`.
    """

    arithmetic: Literal["float"] = "float"
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
    init_std: Positive | None = None
    """Standard deviation of the first weights, drawn from a normal distribution; He's unless given."""
    margin: NotNegative | None = None
    """One sample at a time: no target is given where the answer is right by more than this."""


def engine_faults(learning: Any) -> list[str]:
    """What an engine has no use for, a line each."""
    found = []
    if getattr(learning, "tolerance", None) is not None and learning.engine != "equilibrium":
        found.append(
            f"learning.tolerance belongs to engine 'equilibrium'; for '{learning.engine}' set the schedule's "
            "t_free_steps and t_nudge_steps"
        )
    single = learning.engine != "equilibrium" and getattr(learning, "batch_size", 1) == 1
    if getattr(learning, "margin", None) is not None and not single:
        found.append(
            "learning.margin withholds the target of single samples; use engine 'lava', arithmetic loihi, or "
            "`lavaghost adapt`"
        )
    return found


SHALLOW = 7
"""Most layers for which the default step of `Learning` holds."""


def usual_eta(depth: int) -> float:
    """The step that goes with L = `depth` layers, for where none is named: 0.1, or 0.1 / L from eight layers on.

    A step moves every layer, and each of them the output, so what a step may be falls with their number; for
    backprop as for ghosts (docs/results.md).
    """
    eta = Learning().eta
    return eta if depth <= SHALLOW else float(f"{eta / depth:.1g}")
