"""The layers that an imported graph turns out to have, collected while its nodes are gone through in order."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.exporters.import_graph import Node, RefusedError
from lavaghost.exporters.import_values import Affine, dense, multiplied, scaled, shifted

FLOAT_TINY, FLOAT_MAX = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass
class Chain:
    """Hidden layers so far, each rectified in the one way that the whole network has.

    batch   the number of samples, if the file fixes it
    layers  (M, c) of the drives, `(n_k, n_{k-1})` and `(n_k,)`
    width   upper bound of every rate, infinite for a plain relu; None before the first layer
    scale   one factor of all inputs, if that is all that happens to them before the first weights
    folded  what was folded, one text for each node
    before  nodes that act on a value before its next weights
    """

    batch: int | None = None
    layers: list[tuple[Array, Array]] = field(default_factory=list)
    width: float | None = None
    hard_sigmoid: bool = True
    scale: float = 1.0
    folded: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def note(self, node: Node, what: str, value: Affine | None = None) -> None:
        """Remember that numbers of `node` went into others; before any weights of `value`, that they will."""
        name = f"{node.op} {(node.name or node.outputs[0])!r:.60}"
        if value is not None and value.matrix is None:
            self.before.append(name)
        else:
            self.folded.append(f"{name}: {what}")

    def weigh(self, node: Node, weights: Array, value: Affine) -> Affine:
        """W value; one positive factor of the raw input is kept as the network's input scale."""
        gain = value.gain if value.layer == 0 and value.matrix is None and value.offset is None else None
        # a factor for each feature, or one below 0, is folded
        if gain is not None and gain.ndim == 0 and FLOAT_TINY <= gain <= FLOAT_MAX:
            self.scale = float(gain)
            value = replace(value, gain=None)
        if value.matrix is not None:
            self.note(node, "two layers without a rectification between them, into one")
        elif value.gain is not None or value.offset is not None:
            self.note(node, f"{' and '.join(self.before[:10])} before it, into weights and bias")
        self.before = []
        return multiplied(weights, value)

    def rectify(self, node: Node, value: Affine, low: float, high: float) -> Affine:
        """clip(a, low, high) as a layer: low + clip(a - low, 0, high - low).

        All layers must have the same upper bound s. A layer of another width w is clipped as
        w / s * clip(s / w * a, 0, s): relu(a) has no width, so it goes with no other.
        """
        if value.matrix is None:
            before = "the input" if value.layer == 0 else "a rate"
            raise RefusedError(f"rectifies {before} itself; it needs weights before it")
        if value.layer != len(self.layers):
            raise RefusedError("begins a branch; only a chain of layers is imported")
        low, high = (math.inf * np.sign(x) if abs(x) >= FLOAT_MAX else float(x) for x in (low, high))
        width = float(high - low)
        if not (math.isfinite(low) and width > 0):
            raise RefusedError(
                f"clips to {low:g}..{high:g}; the lower bound must be finite, and below the upper"
            )
        factor = 1.0 if self.width in (None, width) else self.width / width
        if factor == 0 or not math.isfinite(factor):
            raise RefusedError("mixes layers with and without an upper bound; clip all of them or none")
        if low != 0:
            value = shifted(value, -low)
            self.note(node, f"its lower bound {low:g} into biases")
        if factor != 1:
            value = scaled(value, factor)
            self.note(node, f"its upper bound {high:g}, made {self.width:g}, into weights")
        self.width = width if self.width is None else self.width
        self.hard_sigmoid &= node.op == "HardSigmoid"
        self.layers.append(dense(value))
        if low != 0 or factor != 1:
            self.before.append(f"{node.op} {(node.name or node.outputs[0])!r:.60}")
        return Affine(
            layer=len(self.layers),
            shape=value.shape,
            gain=None if factor == 1 else np.array(1 / factor),
            offset=None if low == 0 else np.full(value.size, low, np.float64),
        )
