"""How well a trained network classifies, in each engine, and whether the engines agree."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from lavaghost.base.errors import ModelFileError, SpecError, warn
from lavaghost.base.names import ArithmeticName
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.threads import suited_threads
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork

BATCH = 250
SAME = 1e-5
"""Outputs this near to each other, of the largest, are the same: a batch rounds its samples in different orders."""
MAX_CONFUSION = 50
"""Most classes of which a confusion matrix is given: 2500 counts."""

SamplesDone = Callable[[int], None]
"""Called with the number of samples done so far."""


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
    if trained.learning.method == "frozen":
        return
    cosines = trained.record.get("result", {}).get("cosines", [])
    silent = [str(k) for k, cosine in enumerate(cosines[:-1], start=1) if cosine == 0]
    if silent:
        warn(
            f"the cosine of hidden layer {', '.join(silent)} is 0: it is dead, or no error reaches it; {remedy}"
        )


def arithmetic_of(trained: Model) -> ArithmeticName:
    """loihi for a network that was quantised or that learned in integers, else float."""
    return "loihi" if "integer" in trained.record else "float"


def outputs(trained: Model, x: Array) -> Array:
    """r_L at the free fixed point, `(samples, n_L)`, float32."""
    engine = Equilibrium(trained.network, BATCH, free_sweeps=trained.learning.free_sweeps)
    with suited_threads(trained.network, BATCH):
        return engine.output(trained.params, x)


def integer_form(trained: Model) -> Loihi:
    """The arithmetic that a quantised or integer-trained network was made for. Raises `ModelFileError`."""
    form = trained.record.get("integer")
    try:
        if not isinstance(form, Mapping):
            raise SpecError("it was not quantised")
        widths = LoihiWidths.parse(form["widths"])
        formats = Formats(**{name: tuple(int(f) for f in group) for name, group in form["formats"].items()})
    except (SpecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"the network has no usable integer form: {error}; run lavaghost quantize"
        ) from error
    return Loihi(formats, widths)


def integer_outputs(trained: Model, x: Array, report: SamplesDone = lambda done: None) -> Array:
    """Output states at the end of the free phase, real numbers `(samples, n_L)`, of a network in integers."""
    arith = integer_form(trained)
    network = CompiledNetwork(trained.network, arith.formats, arith.widths, trained.params)
    out = np.empty((len(x), trained.network.layers[-1]))
    for i in range(0, len(x), BATCH):
        out[i : i + BATCH] = arith.real(network.outputs(arith.input(x[i : i + BATCH])))
        report(min(i + BATCH, len(x)))
    return out


def stepped_outputs(trained: Model, x: Array, report: SamplesDone = lambda done: None) -> Array:
    """r_L at the end of the free phase of the stepped engine in batches, `(samples, n_L)`, float64."""
    engine, parts = Stepped(trained.network), []
    with suited_threads(trained.network, BATCH):
        for i in range(0, len(x), BATCH):
            parts.append(engine.output(trained.params, x[i : i + BATCH]))
            report(min(i + BATCH, len(x)))
    return np.concatenate(parts)


def one_by_one(trained: Model, x: Array) -> Array:
    """r_L at the end of the free phase of the stepped engine, one sample at a time, float64.

    A batch would round its matrix products in another order; one sample is what Lava computes.
    """
    engine = Stepped(trained.network)
    with suited_threads(trained.network, 1):
        return np.concatenate([engine.output(trained.params, x[i : i + 1]) for i in range(len(x))])


def evaluate(
    trained: Model,
    x: Array,
    y: Array,
    engine: str,
    report: SamplesDone = lambda done: None,
    lava_model: Literal["fused", "decomposed"] = "fused",
    arithmetic: ArithmeticName | None = None,
) -> Evaluation:
    """Run `x (samples, n_0)` through `engine`: equilibrium, stepped or lava.

    `arithmetic` is float or loihi; by default that of the network, which is loihi if it was quantised or learned in
    integers. Raises `MissingError` without Lava, `SpecError` for what does not go together.
    """
    arithmetic = arithmetic or arithmetic_of(trained)
    start = time.perf_counter()
    steps = len(x) * trained.network.schedule.t_free_steps
    extra: dict[str, float] = {}
    if engine == "equilibrium":
        if arithmetic == "loihi":
            raise SpecError("engine 'equilibrium' has no integers; use stepped or lava, or arithmetic float")
        found, steps = outputs(trained, x), 0
    elif engine == "stepped":
        run_steps = integer_outputs if arithmetic == "loihi" else stepped_outputs
        found = run_steps(trained, x, report)
    elif engine == "lava":
        from lavaghost.lava.runner import evaluate as run_lava

        arith = integer_form(trained) if arithmetic == "loihi" else None
        run = run_lava(trained.network, trained.params, x, arith=arith, progress=report, model=lava_model)
        found, steps = run.output, run.steps
        same = one_by_one(trained, x) if arith is None else integer_outputs(trained, x)
        extra = {
            "against_stepped": float(np.abs(found - same).max()),
            "label_agreement": float((found.argmax(axis=1) == same.argmax(axis=1)).mean()),
        }
    else:
        raise SpecError(f"engine {engine!r} is unknown; use equilibrium, stepped or lava")
    report(len(x))
    warn_of_dead(trained, found)
    accuracy = float((found.argmax(axis=1) == y).mean())
    seconds = time.perf_counter() - start
    return Evaluation(engine, arithmetic, accuracy, len(x), seconds, steps, found, **extra)
