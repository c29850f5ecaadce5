"""The layers that an imported graph turns out to have, collected while its nodes are gone through in order."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.tensors import Beside, RefusedError
from lavaghost.exporters.onnx_import.values import Affine, Clipped, dense, product_of, scaled, shift_of
from lavaghost.numbers.arithmetic import Array

FLOAT_TINY, FLOAT_MAX = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
MAX_MADE, MAX_MADE_IN_ALL = 1 << 24, 1 << 25
"""Numbers that folding may make in one array, and in all, for a small file; 4 and 16 times those of a large one."""


@dataclass
class Spine:
    """Hidden layers so far, each rectified in the one way that the whole network has.

    beside  the folder of the file
    opset   of ONNX's own operators
    batch   the number of samples, if the file fixes it
    numbers numbers that the file holds
    layers  (M, c) of the drives, `(n_k, n_{k-1})` and `(n_k,)`
    width   upper bound of every rate, infinite for a plain relu; None before the first layer
    scale   one factor of all inputs of the first layer, if that is all that happens to them before its weights
    folded  what was folded, one text for each node
    before  nodes that act on a value before its next weights
    made    rectifications that are layers already, and their rates
    spent   numbers that folding has made
    """

    beside: Beside
    opset: int
    batch: int | None = None
    numbers: int = 0
    layers: list[tuple[Array, Array]] = field(default_factory=list)
    width: float | None = None
    hard_sigmoid: bool = True
    scale: float = 1.0
    folded: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    made: list[tuple[Clipped, Affine]] = field(default_factory=list)
    spent: int = 0

    @property
    def lead(self) -> int:
        """Axes of the batch in front of a sample: none if it is always one sample, whose axis is like any other."""
        return 0 if self.batch == 1 else 1

    def spend(self, count: int) -> None:
        """Make room for so many numbers. Raises `RefusedError`: a small file must not become a large array."""
        self.spent += count
        if count > max(MAX_MADE, 4 * self.numbers) or self.spent > max(MAX_MADE_IN_ALL, 16 * self.numbers):
            raise RefusedError(f"would make {count} numbers of a file of {self.numbers}; too many to be folded")

    def note(self, node: ModelNode, what: str, value: Affine | None = None) -> None:
        """Remember that numbers of `node` went into others; before any weights of `value`, that they will."""
        name = f"{node.op} {(node.name or node.outputs[0])!r:.60}"
        if value is not None and value.matrix is None:
            self.before.append(name)
        else:
            self.folded.append(f"{name}: {what}")

    def weigh(self, node: ModelNode, weights: Array, value: Affine) -> Affine:
        """W value; one positive factor of the raw input is kept beside it, for the network's input scale."""
        gain = value.gain if value.layer == 0 and value.matrix is None and value.offset is None else None
        # a factor for each feature, or one below 0, is folded
        if gain is not None and gain.ndim == 0 and FLOAT_TINY <= gain <= FLOAT_MAX:
            value = replace(value, gain=None, scale=float(gain))
        rows = value.size // max(1, value.shape[-1] if value.shape else 1)
        made = weights.shape[0] * rows * value.units
        self.spend(max(made, made * weights.shape[-1] // 256))
        if value.matrix is not None:
            self.note(node, "two layers without a rectification between them, into one")
        elif value.gain is not None or value.offset is not None or value.pick is not None:
            self.note(node, f"{' and '.join(self.before[:10])} before it, into weights and bias")
        self.before = []
        return replace(product_of(weights, value), kind=str(weights.dtype))

    def layer(self, value: Any) -> Any:
        """The rates of a rectification, which becomes a layer; any other value as it is."""
        if not isinstance(value, Clipped):
            return value
        for known, rates in self.made:
            same = known.value.equals(value.value) and (known.low, known.high) == (value.low, value.high)
            if same:
                return replace(rates, shape=value.shape)
        try:
            rates = self._rectify(value)
        except RefusedError as why:
            raise RefusedError(str(why), why.node or value.node) from None
        self.made.append((value, rates))
        return rates

    def _rectify(self, clipped: Clipped) -> Affine:
        """clip(a, low, high) as a layer: low + clip(a - low, 0, high - low), or high - relu(high - a).

        All layers must have the same upper bound s. A layer of another width w is clipped as
        w / s * clip(s / w * a, 0, s): relu(a) has no width, so it goes with no other.
        """
        value, low, high, node = clipped.value, clipped.low, clipped.high, clipped.node
        if value.layer != len(self.layers):
            raise RefusedError("begins a branch; only a chain of layers is imported")
        width = math.inf if math.isinf(low) else high - low
        if not width > 0:
            raise RefusedError(f"clips to {low:g}..{high:g}; the lower bound must be below the upper")
        factor = 1.0 if self.width in (None, width) else self.width / width
        if factor == 0 or not math.isfinite(factor):
            raise RefusedError("mixes layers with and without an upper bound; clip all of them or none")
        self.spend(value.size * value.units if value.matrix is None else value.size)
        end, turned = low, math.isinf(low)
        if value.matrix is None:
            self.note(
                node, "rectified without weights before it: a layer whose weights are an identity, or picks"
            )
            self.before = []
        if turned:
            value, end = shift_of(scaled(value, -1.0), high), high
            self.note(node, f"min(a, {high:g}), as {high:g} - relu({high:g} - a)")
        elif low != 0:
            value = shift_of(value, -low)
            self.note(node, f"its lower bound {low:g} into biases")
        if factor != 1:
            value = scaled(value, factor)
            self.note(node, f"its upper bound {high:g}, made {self.width:g}, into weights")
        self.width = width if self.width is None else self.width
        self.hard_sigmoid &= clipped.hard
        self.begin(value)
        self.layers.append(dense(value))
        gain = (-1.0 if turned else 1.0) / factor
        if end != 0 or gain != 1:
            self.before.append(f"{node.op} {(node.name or node.outputs[0])!r:.60}")
        return Affine(
            layer=len(self.layers),
            shape=value.shape,
            units=value.size,
            gain=None if gain == 1 else np.array(gain),
            offset=None if end == 0 else np.full(value.size, end, np.float64),
            kind=value.kind,
        )

    def begin(self, value: Affine) -> None:
        """The first layer takes the input with one factor, which becomes the network's input scale."""
        if not self.layers:
            self.scale = value.scale

    def bounds(self, value: Affine) -> tuple[Array, Array]:
        """Least and greatest of each value, for rates and their multiples; the rest has no bounds."""
        if value.layer == 0 or value.matrix is not None or self.width is None:
            return np.array(-math.inf), np.array(math.inf)
        gain = np.asarray(1.0 if value.gain is None else value.gain)
        ends = np.zeros(gain.shape), np.where(gain == 0, 0.0, gain * self.width)
        offset = np.asarray(0.0 if value.offset is None else value.offset)
        return np.minimum(*ends) + offset, np.maximum(*ends) + offset
