"""How well a trained network classifies, in each engine, and whether the engines agree."""

import time
from typing import Any, Literal, NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError, warn
from lavaghost.base.names import ArithmeticName, Engine
from lavaghost.methods.backprop import Frozen
from lavaghost.model.answers import SamplesDone, in_integers, in_steps, one_by_one, settled
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

SAME = 1e-5
"""Outputs this near to each other, of the largest, are the same: a batch rounds its samples in different orders."""
MAX_CONFUSION = 50
"""Most classes of which a confusion matrix is given: 2500 counts."""


class Evaluation(NamedTuple):
    """Free-phase outputs `(samples, n_L)` of one engine, and what they are worth.

    `steps` counts simulated time steps over all samples; the equilibrium engine has none.
    `against_stepped` is the largest difference of an output to the stepped engine fed one sample at a time,
    and `label_agreement` the share of labels that are equal; both are measured for Lava only.
    """

    engine: str
    arithmetic: str
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

    def classes(self, y: Array) -> dict[str, Any]:
        """`class_figures` for labels `y (samples,)`."""
        return class_figures(self.outputs.argmax(axis=1), y, self.outputs.shape[1])


def class_figures(predicted: Array, y: Array, n_classes: int) -> dict[str, Any]:
    """What stands beside the accuracy: per class the samples of `y`, and the share of them that is found.

    class_counts  samples of each class; recall: share of them whose label is predicted, None without samples
    confusion     `[true][predicted]`, counts; only up to MAX_CONFUSION classes, so that records stay small
    """
    counts = np.bincount(y, minlength=n_classes)
    hits = np.bincount(y[predicted == y], minlength=n_classes)
    figures: dict[str, Any] = {
        "class_counts": counts.tolist(),
        "recall": [float(h / n) if n else None for h, n in zip(hits, counts, strict=True)],
    }
    if n_classes <= MAX_CONFUSION:
        pairs = np.bincount(y * n_classes + predicted, minlength=n_classes**2)
        figures["confusion"] = pairs.reshape(n_classes, n_classes).tolist()
    return figures


def warn_of_dead(trained: Model, found: Array) -> None:
    """Warn if outputs `found (samples, n_L)` are the same for all samples, or if no error reaches a hidden layer."""
    remedy = "train anew with inputs that fill 0..1 or are standardised, a lower learning.eta, or another seed"
    if len(found) > 1 and np.ptp(found, axis=0).max() <= SAME * np.abs(found).max():
        warn(f"the network is dead: it gives the same outputs for all {len(found)} samples; {remedy}")
    if isinstance(trained.method.core, Frozen):
        return
    cosines = trained.record.get("result", {}).get("cosines", [])
    silent = [str(k) for k, cosine in enumerate(cosines[:-1], start=1) if cosine == 0]
    if silent:
        warn(
            f"the cosine of hidden layer {', '.join(silent)} is 0: it is dead, or no error reaches it; {remedy}"
        )


def evaluate(
    trained: Model,
    x: Array,
    y: Array,
    engine: Engine | None = None,
    report: SamplesDone = lambda done: None,
    lava_model: Literal["fused", "decomposed"] = "fused",
    arithmetic: ArithmeticName | None = None,
) -> Evaluation:
    """Run `x (samples, n_0)` through `engine`: equilibrium, stepped or lava.

    Without an `engine` it is equilibrium, and for a network in integers stepped. `arithmetic` is float or loihi; by
    default that of the network, which is loihi if it was quantised or learned in integers. Raises `MissingError`
    without Lava, `SpecError` for what does not go together.
    """
    arithmetic = arithmetic or trained.arithmetic
    graph, params, integers = trained.graph, trained.params, trained.integers
    if arithmetic == "loihi" and integers is None:
        raise SpecError("the network has no integer form: it was not quantised; run lavaghost quantize")
    engine = engine or ("stepped" if arithmetic == "loihi" else "equilibrium")
    start = time.perf_counter()
    steps = len(x) * graph.schedule.t_free_steps
    extra: dict[str, float] = {}
    if engine == "equilibrium":
        if arithmetic == "loihi":
            raise SpecError("engine 'equilibrium' has no integers; use stepped or lava, or arithmetic float")
        found, steps = settled(graph, params, x), 0
    elif engine == "stepped":
        found = _stepped(trained, x, arithmetic, report)
    elif engine == "lava":
        from lavaghost.lava.runner import run_lava

        numbers = integers if arithmetic == "loihi" and integers is not None else params
        run = run_lava(graph, numbers, x, progress=report, model=lava_model)
        found, steps = run.output, run.steps
        one = one_by_one(graph, params, x) if arithmetic == "float" else _stepped(trained, x, arithmetic)
        extra = {
            "against_stepped": float(np.abs(found - one).max()),
            "label_agreement": float((found.argmax(axis=1) == one.argmax(axis=1)).mean()),
        }
    else:
        raise SpecError(f"engine {engine!r} is unknown; use equilibrium, stepped or lava")
    report(len(x))
    warn_of_dead(trained, found)
    accuracy = float((found.argmax(axis=1) == y).mean())
    seconds = time.perf_counter() - start
    return Evaluation(engine, arithmetic, accuracy, len(x), seconds, steps, found, **extra)


def _stepped(
    trained: Model, x: Array, arithmetic: ArithmeticName, report: SamplesDone = lambda done: None
) -> Array:
    if arithmetic == "loihi" and trained.integers is not None:
        return in_integers(trained.graph, trained.integers, x, report)
    return in_steps(trained.graph, trained.params, x, report)
