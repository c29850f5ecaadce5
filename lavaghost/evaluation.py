"""How well a trained network classifies, in each engine, and whether the engines agree."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.errors import SpecError
from lavaghost.trained import TrainedNetwork

BATCH = 250

Report = Callable[[int], None]
"""Called with the number of samples done so far."""


class Evaluation(NamedTuple):
    """Free-phase outputs `(samples, n_L)` of one engine, and what they are worth.

    `steps` counts simulated time steps over all samples; the equilibrium engine has none.
    `against_stepped` is the largest difference of an output to the stepped engine fed one sample at a time,
    and `label_agreement` the share of labels that are equal; both are measured for Lava only.
    """

    engine: str
    accuracy: float
    samples: int
    seconds: float
    steps: int
    outputs: Array
    against_stepped: float | None = None
    label_agreement: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures without the outputs."""
        values = {k: v for k, v in self._asdict().items() if k != "outputs" and v is not None}
        if "against_stepped" in values:
            values["max_abs_difference"] = values.pop("against_stepped")
        return values


def outputs(trained: TrainedNetwork, x: Array) -> Array:
    """r_L at the free fixed point, `(samples, n_L)`, float32."""
    engine = Equilibrium(trained.network, BATCH, free_sweeps=trained.learning.free_sweeps)
    return engine.output(trained.params, x)


def one_by_one(trained: TrainedNetwork, x: Array) -> Array:
    """r_L at the end of the free phase of the stepped engine, one sample at a time, float64.

    A batch would round its matrix products in another order; one sample is what Lava computes.
    """
    engine = Stepped(trained.network)
    return np.concatenate([engine.output(trained.params, x[i : i + 1]) for i in range(len(x))])


def evaluate(
    trained: TrainedNetwork,
    x: Array,
    y: Array,
    engine: str,
    report: Report = lambda done: None,
    lava_model: Literal["fused", "decomposed"] = "fused",
) -> Evaluation:
    """Run `x (samples, n_0)` through `engine`: equilibrium, stepped or lava. Raises `MissingError` without Lava."""
    start = time.perf_counter()
    steps = len(x) * trained.network.schedule.t_free_steps
    extra: dict[str, float] = {}
    if engine == "equilibrium":
        found, steps = outputs(trained, x), 0
    elif engine == "stepped":
        stepped, parts = Stepped(trained.network), []
        for i in range(0, len(x), BATCH):
            parts.append(stepped.output(trained.params, x[i : i + BATCH]))
            report(min(i + BATCH, len(x)))
        found = np.concatenate(parts)
    elif engine == "lava":
        from lavaghost.lava_backend.runner import evaluate as run_lava

        run = run_lava(trained.network, trained.params, x, progress=report, model=lava_model)
        found, steps = run.output, run.steps
        same = one_by_one(trained, x)
        extra = {
            "against_stepped": float(np.abs(found - same).max()),
            "label_agreement": float((found.argmax(axis=1) == same.argmax(axis=1)).mean()),
        }
    else:
        raise SpecError(f"engine {engine!r} is unknown; use equilibrium, stepped or lava")
    report(len(x))
    accuracy = float((found.argmax(axis=1) == y).mean())
    return Evaluation(engine, accuracy, len(x), time.perf_counter() - start, steps, found, **extra)
