"""Float -> integers: a trained network in the bits of a chip, and what that costs.

Scales are powers of two, chosen from data: messages so that a high percentile of a layer's rates fits, weights so
that the squared error of what they deliver to calibration samples is smallest, clipped weights included. The
network that comes out is again a `Model`: its numbers are real, and integers hold them exactly. Its record
names widths and formats under `integer`, so that `integer_form` finds the same integers anywhere.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, wire
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.evaluate.evaluation import BATCH, outputs
from lavaghost.model.inputs import unsigned_for
from lavaghost.model.model import Model
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Array, Float
from lavaghost.numbers.loihi import SOURCES, Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths, nearest_power
from lavaghost.online.integers.compiled_network import CompiledNetwork

CALIBRATION = 2000
"""Training samples that scales are chosen from, the first of the data set."""
FINER = 5
"""Fractions tried beyond the one that clips no weight: few bits gain by clipping the largest."""


@dataclass(frozen=True)
class LayerReport:
    """One layer in integers, on the first test samples.

    error            root mean square of `integer - float` over that of the float membranes, after the free phase
    state_range      largest magnitude of a membrane at any step, as a share of what its bits hold
    saturated        membranes and messages at their limit, at any step, and weights that were clipped: counts
    """

    layer: int
    message_fraction: int
    weight_fraction: int
    weight_exponent: int
    error: float
    state_range: float
    saturated_states: int
    saturated_messages: int
    clipped_weights: int


@dataclass(frozen=True)
class Quantised:
    """An integer network and its price; accuracies are shares of the test set."""

    trained: Model
    accuracy: float
    float_accuracy: float
    label_agreement: float
    samples: int
    weight_bits: int
    layers: tuple[LayerReport, ...]

    @property
    def saturated(self) -> int:
        """States that reached the limit of their bits; messages and weights are counted per layer."""
        return sum(layer.saturated_states for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "accuracy": self.accuracy,
            "float_accuracy": self.float_accuracy,
            "label_agreement": self.label_agreement,
            "samples": self.samples,
            "weight_bits": self.weight_bits,
            "saturated": self.saturated,
            "layers": [asdict(layer) for layer in self.layers],
        }


def quantize(
    trained: Model,
    data: Dataset,
    widths: LoihiWidths = DEFAULT,
    percentile: float = 99.9,
    calibration: int = CALIBRATION,
) -> Quantised:
    """`trained` in integers of `widths`, calibrated on training samples and measured on the test set.

    `lam`, `beta` become the nearest powers of two: nothing of them is left in a free phase with exact ghosts. Inputs
    below 0 come in two channels (`unsigned_for`). Raises `SpecError` for what integers cannot hold.
    """
    if not 0 < percentile <= 100:
        raise SpecError(f"percentile is {percentile}; give a share of the rates above 0 and up to 100")
    trained, data = unsigned_for(trained, data)
    network = shifting(trained.network)
    x = np.ascontiguousarray(data.x_train[:calibration], np.float32)
    formats, params, clipped = fitted(network, trained.params, x, widths, percentile)
    arith = Loihi(formats, widths)
    integers = CompiledNetwork(network, formats, widths, params)
    inputs = arith.input(data.x_test)
    found = integers.outputs(inputs).argmax(axis=1)
    wanted = outputs(trained, data.x_test).argmax(axis=1)
    form = {"widths": asdict(widths), "formats": formats._asdict()}
    layers = _layer_reports(network, params, trained.params, arith, data.x_test[:BATCH], clipped)
    result = Quantised(
        trained=trained,
        accuracy=float((found == data.y_test).mean()),
        float_accuracy=float((wanted == data.y_test).mean()),
        label_agreement=float((found == wanted).mean()),
        samples=len(found),
        weight_bits=widths.weight_bits,
        layers=layers,
    )
    record = {**trained.record, "integer": form, "quantised": result.as_json()}
    kept = replace(trained, network=network, params=params.astype(np.float32), record=record)
    return replace(result, trained=kept)


def shifting(network: Network) -> Network:
    """The network with gains that shifts can do."""
    return network.model_copy(update={"lam": nearest_power(network.lam), "beta": nearest_power(network.beta)})


def fitted(
    network: Network, params: Parameters, x: Array, widths: LoihiWidths, percentile: float
) -> tuple[Formats, Parameters, dict[str, int]]:
    """Formats from calibration samples, the parameters at their integers, and how many weights were clipped."""
    engine = Equilibrium(network, len(x))
    rates: list[Array] = [x, *(r.copy() for r in engine.free(params, x))]
    faults = [
        f"layer {k}: a rate of {np.abs(r).max():.4g} is beyond the largest state, {limit:.4g}; raise "
        "state_bits or lower state_fraction"
        for k, r in enumerate(rates)
        if not np.abs(r).max() <= (limit := widths.state_limit * 2.0**-widths.state_fraction)
    ]
    if faults:
        raise SpecError(join_faults(faults))
    messages = [_fraction(x.max(), widths.message_limit, widths)]
    messages += [
        _fraction(float(np.percentile(r, percentile)), widths.message_limit, widths) for r in rates[1:-1]
    ]
    messages += [_fraction(2.0 * np.abs(rates[-1]).max(), widths.output_limit, widths)]
    fractions: dict[str, tuple[int, ...]] = {}
    arrays: dict[str, tuple[Array, ...]] = {}
    clipped: dict[str, int] = {}
    for group, offset in SOURCES.items():
        found = []
        for k, w in enumerate(getattr(params, group), start=1):
            source = rates[k + offset]
            energy = np.square(source, dtype=np.float64).mean(axis=0)
            found.append(_mantissas(w.astype(np.float64), energy, widths, f"{group}.{k}"))
            clipped[f"{group}.{k}"] = found[-1][2]
        arrays[group] = tuple(w * 2.0**-s for w, s, _ in found)
        fractions[group] = tuple(s for _, s, _ in found)
    formats = Formats(tuple(messages), **fractions)
    arith = Loihi(formats, widths)
    biases = {
        group: tuple(arith.real(arith.array(b)) for b in getattr(params, group))
        for group in ("biases", "ghost_biases")
    }
    return formats, Parameters(**arrays, **biases), clipped


def _fraction(largest: float, limit: int, widths: LoihiWidths) -> int:
    """The finest fraction at which `largest` still fits into `limit`."""
    if not largest > 0:  # a layer that is silent
        return widths.state_fraction
    return int(np.clip(np.floor(np.log2(limit / float(largest))), -8, widths.state_fraction))


def _mantissas(w: Array, energy: Array, widths: LoihiWidths, name: str) -> tuple[Array, int, int]:
    """Mantissas, fraction and number of clipped weights with the least error `sum (dW)^2 E[r^2]`."""
    if not np.isfinite(w).all():
        raise SpecError(f"{name}: a weight is NaN or infinite; mend the network first")
    step = widths.static_step
    low, high = widths.weight_limits
    high = high // step * step
    largest = float(np.abs(w).max(initial=0.0))
    coarsest = int(np.floor(np.log2(high / largest))) if largest > 0 else 0
    weight = energy + 1e-12 * (energy.max(initial=0.0) + 1.0)  # silent inputs count a little
    best: tuple[float, Array, int, int] | None = None
    for s in range(coarsest, coarsest + FINER):
        grid = np.rint(w * (2.0**s / step)) * step
        held = np.clip(grid, low, high)
        error = float((np.square(held * 2.0**-s - w) * weight).sum())
        if best is None or error < best[0]:
            best = (error, held, s, int(np.count_nonzero(held != grid)))
    assert best is not None
    return best[1:]


def _layer_reports(
    network: Network, params: Parameters, real: Parameters, arith: Loihi, x: Array, clipped: dict[str, int]
) -> tuple[LayerReport, ...]:
    depth, widths = network.depth, arith.widths
    largest, states, sent = np.zeros(depth), np.zeros(depth, int), np.zeros(depth, int)
    state, net = None, wire(network, params, arith)
    for _, state in Stepped(network, arith).states(params, x):
        for k, v in enumerate(state.v_mem):
            size = np.abs(v)
            largest[k] = max(largest[k], size.max())
            states[k] += int((size >= widths.state_limit).sum())
            limit = widths.output_limit if k == depth - 1 else widths.message_limit
            sent[k] += int(
                (np.abs(arith.message(np.maximum(v, 0) if k < depth - 1 else v, k + 1)) >= limit).sum()
            )
    assert state is not None
    wanted, _ = Stepped(network, Float(np.float64)).ends(real.astype(np.float64), x)
    return tuple(
        LayerReport(
            layer=k + 1,
            message_fraction=arith.formats.messages[k + 1],
            weight_fraction=arith.formats.weights[k],
            weight_exponent=net.weights[k].exponent,
            error=_relative(arith.real(state.v_mem[k]), wanted.v_mem[k]),
            state_range=float(largest[k] / widths.state_limit),
            saturated_states=int(states[k]),
            saturated_messages=int(sent[k]),
            clipped_weights=clipped[f"weights.{k + 1}"],
        )
        for k in range(depth)
    )


def _relative(found: Array, wanted: Array) -> float:
    size = float(np.sqrt(np.square(wanted).mean()))
    return float(np.sqrt(np.square(found - wanted).mean())) / size if size > 0 else 0.0
