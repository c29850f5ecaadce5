"""Float -> integers: a trained network in the bits of a chip, and what that costs.

Scales are powers of two, chosen from data: messages so that a high percentile of a layer's rates fits, weights so
that the squared error of what they deliver to calibration samples is smallest, clipped weights included. The
network that comes out is again a `Model`, of `Integers`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, wire
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.base import Method
from lavaghost.model.answers import BATCH, settled
from lavaghost.model.inputs import unsigned_for
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, Float
from lavaghost.numbers.integers import Integers, is_bias
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths, nearest_power
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.settings import adjusted

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

    model: Model
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


def quantise_model(
    model: Model,
    data: Dataset,
    widths: LoihiWidths = DEFAULT,
    percentile: float = 99.9,
    calibration: int = CALIBRATION,
) -> Quantised:
    """`model` in integers of `widths`, calibrated on training samples and measured on the test set.

    `lam`, `beta` become the nearest powers of two: nothing of them is left in a free phase with exact ghosts. Inputs
    below 0 come in two channels (`unsigned_for`). Raises `SpecError` for what integers cannot hold.
    """
    if not 0 < percentile <= 100:
        raise SpecError(f"percentile is {percentile}; give a share of the rates above 0 and up to 100")
    model, data = unsigned_for(model, data)
    method = shifting(model.method, model.graph)
    graph = method.graph(model.network)
    x = np.ascontiguousarray(data.x_train[:calibration], np.float32)
    integers, clipped = fitted(graph, model.params, x, widths, percentile)
    compiled = CompiledNetwork(graph, integers)
    found = compiled.outputs(compiled.arith.input(data.x_test)).argmax(axis=1)
    wanted = settled(model.graph, model.params, data.x_test).argmax(axis=1)
    result = Quantised(
        model=model,
        accuracy=float((found == data.y_test).mean()),
        float_accuracy=float((wanted == data.y_test).mean()),
        label_agreement=float((found == wanted).mean()),
        samples=len(found),
        weight_bits=widths.weight_bits,
        layers=_layer_reports(graph, integers, model.params, data.x_test[:BATCH], clipped),
    )
    record = {**model.record, "quantised": result.as_json()}
    return replace(result, model=replace(model, method=method, tensors=integers, record=record))


def shifting(method: Method, graph: Graph) -> Method:
    """The method with gains that shifts can do; one whose graph has none is left as it is."""
    if graph.relaxation is None:
        return method
    return adjusted(method, lam=nearest_power(graph.lam), beta=nearest_power(graph.beta))


def fitted(
    graph: Graph, params: Parameters, x: Array, widths: LoihiWidths, percentile: float
) -> tuple[Integers, dict[str, int]]:
    """Integers in formats that calibration samples ask for, and how many weights of each tensor were clipped."""
    engine = Equilibrium(graph, len(x))
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
    fractions: dict[str, list[int]] = {}
    arrays: dict[str, Array] = {name: b for name, b in params.named().items() if is_bias(name)}
    clipped: dict[str, int] = {}
    for name, w in params.named().items():
        if is_bias(name):
            continue
        energy = np.square(rates[_source(graph, name)], dtype=np.float64).mean(axis=0)
        held, s, clipped[name] = _mantissas(
            w.astype(np.float64), energy, widths, name, graph.tensors[name].matrix
        )
        arrays[name] = held
        fractions.setdefault(name.partition(".")[0], []).append(s)
    formats = Formats(tuple(messages), **{group: tuple(found) for group, found in fractions.items()})
    arith = Loihi(formats, widths)
    integers = {name: arith.array(arrays[name]) if is_bias(name) else arrays[name] for name in params.named()}
    return Integers(integers, formats, widths), clipped


def _source(graph: Graph, name: str) -> int:
    """The layer whose rates a tensor is given; ghosts stand for the one above theirs."""
    (link,) = (p for p in graph.projections if p.own and p.tensor == name)
    layers = {graph.layer(k): k for k in range(graph.depth + 1)}
    return layers[link.source] if link.source in layers else int(name.partition(".")[2]) + 1


def _fraction(largest: float, limit: int, widths: LoihiWidths) -> int:
    """The finest fraction at which `largest` still fits into `limit`."""
    if not largest > 0:  # a layer that is silent
        return widths.state_fraction
    return int(np.clip(np.floor(np.log2(limit / float(largest))), -8, widths.state_fraction))


def _mantissas(
    w: Array, energy: Array, widths: LoihiWidths, name: str, matrix: Callable[[Array], Array]
) -> tuple[Array, int, int]:
    """Mantissas, fraction and number of clipped weights with the least error `sum (dW)^2 E[r^2]` over all synapses."""
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
        error = float((np.square(matrix(held * 2.0**-s - w)) * weight).sum())
        if best is None or error < best[0]:
            best = (error, held, s, int(np.count_nonzero(held != grid)))
    assert best is not None
    return best[1].astype(np.int64), *best[2:]


def _layer_reports(
    graph: Graph, integers: Integers, real: Parameters, x: Array, clipped: dict[str, int]
) -> tuple[LayerReport, ...]:
    arith, depth, widths = integers.arith, graph.depth, integers.widths
    largest, states, sent = np.zeros(depth), np.zeros(depth, int), np.zeros(depth, int)
    state, net = None, wire(graph, integers, arith)
    for _, state in Stepped(graph, arith).states(integers, x):
        for k, v in enumerate(state.v_mem):
            size = np.abs(v)
            largest[k] = max(largest[k], size.max())
            states[k] += int((size >= widths.state_limit).sum())
            limit = widths.output_limit if k == depth - 1 else widths.message_limit
            sent[k] += int(
                (np.abs(arith.message(np.maximum(v, 0) if k < depth - 1 else v, k + 1)) >= limit).sum()
            )
    assert state is not None
    wanted, _ = Stepped(graph, Float(np.float64)).ends(real.astype(np.float64), x)
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
