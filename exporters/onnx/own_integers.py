"""Integer ONNX of a network in integers: its own mantissas, messages and saturation; outputs in states.

    input -> Mul(f) -> Round -> Clip(0, 254) -> Cast u8  = p_0
      -> { a = 2 MatMulInteger(W >> 1) + MatMulInteger(W & 1)
           -> Add -> Max 0 -> Div 2^s -> Min top -> Cast u8 = p_k } ..
      -> a 2^e + b -> settled -> logits [N, n_L] int32, in units of 2^-state_fraction -> ArgMax -> label [N]

A mantissa of -256..255 has nine bits and the operator eight, so a product is that of W >> 1, in -128..127, twice, and
that of the lowest bits, left out where no mantissa of a layer is odd. A hidden layer is one shift of its sums
(`ForwardIntegers.shifted_sums`). Where an output rests (`settled`), with positive and negative drives apart:

    settled(d) = r(d) - r(-d),    r(d) = max(max(d, 0) / tau tau - (tau - 1), 0)      tau a whole number; d for tau 1

A floor of a negative sum is that of the sum with a multiple of the divisor added, which is taken off again.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from lavaghost.base.errors import ExportError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.engines.forward_integers import ForwardIntegers, ForwardLayer
from lavaghost.exporters.base import Carried, Expected, ExportReport
from lavaghost.exporters.held_integers import held, input_factor, inputs_of, integer_carries
from lavaghost.exporters.onnx.build import finish, save
from lavaghost.exporters.onnx.whole_build import CENTRE, IR, OPSET, IntegerBuild
from lavaghost.exporters.onnx.whole_numbers import EXACT, LARGEST, TOP, QuantizeOptions
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

OWN = {"numbers": "own"}
"""The settings of a file that has the network's own integers."""


def write_own(
    name: str, trained: Model, path: Path, options: QuantizeOptions, calibration: Dataset | None
) -> ExportReport:
    """Write the file of exporter `name`. Raises `ExportError` for what its operators cannot hold."""
    if options != QuantizeOptions():
        raise ExportError(
            f"exporter {name!r}: weight_bits and percentile are of a network in real numbers, and this one has "
            "mantissas and ranges of its own; leave them out, or quantise it anew with lavaghost quantize --weight-bits"
        )
    net = held(trained)
    most = _checked(name, net)
    split = sum(int(np.count_nonzero(layer.mantissas & 1)) for layer in net.layers)
    count = sum(layer.mantissas.size for layer in net.layers)
    bound = f"sums below 2^{math.floor(math.log2(max(1, most))) + 1} for any input"
    if most > EXACT:
        bound += ", more than float32 holds: OpenVINO adds up in it and may differ"
    weights = Carried(
        "weights",
        "faithful",
        f"the network's own mantissas of 9 bits, {split} odd of {count} with their lowest bits in products of their "
        f"own; {bound}",
    )
    activation = f"messages rounded and held in 0..{net.layers[0].top or net.input_top} as the network's"
    carries = integer_carries(trained, calibration, net, weights, activation)
    return save(_graph(trained, net), path, name, carries, dict(OWN))


def expected_own(trained: Model, raw: Array) -> Expected:
    """Output states of raw samples `(samples, n_0)`, which must be equal."""
    net = held(trained)
    logits = net.outputs(inputs_of(trained, net, raw))
    return Expected(logits, np.zeros(()), True, logits.argmax(axis=1), net.unit)


def is_own(trained: Model, settings: Mapping[str, Any]) -> bool:
    """Whether a file with these settings has integers of the network. Raises `ExportError` if the two do not match."""
    own = settings.get("numbers") == OWN["numbers"]
    if own and trained.integers is None:
        raise ExportError("the file has the integers of a network, and this network is in real numbers")
    return own


def _checked(name: str, net: ForwardIntegers) -> int:
    """A bound on all sums of the file, for any input. Raises `ExportError` with all that does not fit."""
    faults, below, most = [], net.input_top, 0
    if net.input_top > TOP:
        faults.append(
            f"messages of {net.arith.widths.message_bits} bits, and a product takes 8: use message_bits 8"
        )
    if net.step is None:
        faults.append(f"tau_steps {net.tau_steps:g}: where a neuron rests needs a power of two, such as 2")
    for k, layer in enumerate(net.layers, start=1):
        if (layer.mantissas >> 1 < -CENTRE).any() or (layer.mantissas >> 1 >= CENTRE).any():
            faults.append(f"weights.{k}: mantissas of more than 9 bits, which two products do not hold")
            continue
        sums = below * np.abs(layer.mantissas).sum(axis=1)
        if k < net.depth:
            one = net.shifted_sums(k)
            if one is None:
                faults.append(
                    f"layer {k}: its messages are no shift of its sums; use tau_steps 2, and message fractions of at "
                    "most those of the products"
                )
                continue
            largest, below = int((sums + np.abs(one.added)).max(initial=0)), layer.top
        else:
            largest = int(_reach(layer, sums).max(initial=0))
        most = max(most, largest)
        if largest > LARGEST:
            faults.append(f"layer {k}: its sums reach {largest}, and 32 bits hold {LARGEST}; use fewer inputs")
    if faults:
        raise ExportError(f"exporter {name!r}: {join_faults(faults)}; or use exporter 'onnx'")
    return most


def _reach(layer: ForwardLayer, sums: Array) -> Array:
    """Bound on the drives of the output and on what they are computed by."""
    if layer.exponent >= 0:
        return (sums << layer.exponent) + np.abs(layer.biases)
    return 2 * (sums + (1 << -layer.exponent)) + np.abs(layer.biases)


def _graph(trained: Model, net: ForwardIntegers) -> onnx.ModelProto:
    """The model, unchecked."""
    build = IntegerBuild()
    build.bytes(input_factor(trained, net), 0, net.input_top)
    below = net.input_top
    for k in range(1, net.depth):
        one = net.shifted_sums(k)
        if one is None:
            raise ExportError(f"layer {k} is no shift of its sums")
        build.products(k, net.layers[k - 1].mantissas)
        build.add("Add", [build.last, build.int32(f"biases.{k}", one.added)], f"sum.{k}")
        build.rate(k, one.shift, one.top)
        below = one.top
    _output(build, net, below)
    return finish(build, trained, OPSET, IR, TensorProto.INT32, logit_unit=repr(net.unit))


def _output(build: IntegerBuild, net: ForwardIntegers, below: int) -> None:
    """u_L in states."""
    layer, step, k = net.layers[-1], net.step or 1, net.depth
    build.products(k, layer.mantissas)
    biases = layer.biases
    if layer.exponent > 0:
        build.add("Mul", [build.last, build.int32(f"factor.{k}", 1 << layer.exponent)], f"scaled.{k}")
    elif layer.exponent < 0:
        divisor = 1 << -layer.exponent
        above = int((below * np.abs(layer.mantissas).sum(axis=1)).max(initial=0)) // divisor + 1
        build.add("Add", [build.last, build.int32(f"above.{k}", above * divisor)], f"raised.{k}")
        build.add("Div", [build.last, build.int32(f"divisor.{k}", divisor)], f"scaled.{k}")
        biases = biases - above
    _rest(build, build.add("Add", [build.last, build.int32(f"biases.{k}", biases)], "drive"), net, step)


def _rest(build: IntegerBuild, drive: str, net: ForwardIntegers, step: int) -> None:
    """Where the outputs rest: positive drives less mirrored ones, each held in the bits of a state."""
    zero, limit = build.int32("zero", 0), build.int32("state_max", net.arith.widths.state_limit)

    def rests(start: str, side: str) -> str:
        build.add("Max", [start, zero], f"{side}.drive")
        if step > 1:
            tau, less = build.int32("tau", step), build.int32("below_rest", step - 1)
            build.add("Div", [build.last, tau], f"{side}.arriving")
            build.add("Mul", [build.last, tau], f"{side}.cut")
            build.add("Sub", [build.last, less], f"{side}.rest")
            build.add("Max", [build.last, zero], f"{side}.risen")
        return build.add("Min", [build.last, limit], f"{side}.state")

    positive = rests(drive, "positive")
    build.add("Sub", [positive, rests(build.add("Sub", [zero, drive], "mirrored"), "negative")], "logits")
