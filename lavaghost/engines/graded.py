"""The feedforward pass in integers as vectors without a state, sent from layer to layer as graded spikes.

    x_0 = p_0 and constants 1, 2^8, 2^16        x_j = sum over links of (V x_{j-1} >> shift), max(., 0) but for the last

    sums      r = max(a_k + added, 0)            own mantissas, biases as weights from the constants: any of 24 bits
    messages  p = r >> s,  q = max(p - top, 0)   p_k = p - q: q, for units that reach the top, saturates exactly
    output    a_L; the host shifts it, adds the bias and rests it (`ForwardIntegers.settled`)

A sample enters in every step, its answer comes out `depth` steps later, and no other sample takes part in it. Lava
keeps the even ones of weights of both signs in -256..254, and all weights in 0..255 of one sign, so a matrix is an even
part and what is left. A shift would cut two parts twice, so the matrix of messages is twice the identity, shifted once
more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.engines.forward_integers import ForwardIntegers
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import shifted_by

DIGIT_BITS, LINES = 8, 3
CONSTANTS = tuple(1 << DIGIT_BITS * i for i in range(LINES))
LARGEST_EVEN = (1 << DIGIT_BITS) - 2
STATE_BITS = 24
BATCH = 1000


class GradedLink(NamedTuple):
    """A connection: `weights (n_post, n_pre)` int32, even ones of both signs or else 0..255, and a right shift."""

    weights: Array
    shift: int
    even: bool


class Stage(NamedTuple):
    """Units and all that arrives at them."""

    links: tuple[GradedLink, ...]
    rectified: bool


@dataclass(frozen=True, eq=False)
class Graded:
    """A network as stages; see the module.

    saturating  units of each hidden layer that are held at the top; the others never reached it on `samples` samples
    """

    net: ForwardIntegers
    stages: tuple[Stage, ...]
    saturating: tuple[int, ...]
    samples: int

    @property
    def depth(self) -> int:
        """Stages, and steps from input to output."""
        return len(self.stages)

    def fed(self, messages: Array) -> Array:
        """x_0 of messages p_0 `(samples, n_0)`, int32."""
        constants = np.broadcast_to(np.array(CONSTANTS), (len(messages), LINES))
        return np.concatenate([messages, constants], axis=1).astype(np.int32)

    def states(self, sums: Array) -> Array:
        """u_L of a_L, as the host computes it."""
        last = self.net.layers[-1]
        return self.net.settled(shifted_by(sums.astype(np.int64), last.exponent) + last.biases)


def graded_of(net: ForwardIntegers, calibration: Array) -> Graded:
    """Stages of `net`; units that reach the top on messages `calibration (samples, n_0)` are held there.

    Raises `SpecError` for neurons whose messages are no shift of their sums.
    """
    tops = [np.zeros(len(layer.biases), bool) for layer in net.layers[:-1]]
    for i in range(0, len(calibration), BATCH):
        found = net.messages(calibration[i : i + BATCH])
        tops = [
            top | (p == layer.top).any(axis=0) for top, p, layer in zip(tops, found, net.layers, strict=False)
        ]
    saturating = [np.flatnonzero(reached) for reached in tops]
    return Graded(
        net, tuple(_stages(net, saturating)), tuple(len(which) for which in saturating), len(calibration)
    )


def _stages(net: ForwardIntegers, saturating: list[Array]) -> Iterator[Stage]:
    before = np.zeros(0, np.int64)
    for k, layer in enumerate(net.layers, start=1):
        own = np.concatenate([layer.mantissas, -layer.mantissas[:, before]], axis=1)
        if k == net.depth:
            yield Stage(_parts(np.pad(own, ((0, 0), (0, LINES)))), rectified=False)
            return
        one = net.shifted_sums(k)
        if one is None:
            raise SpecError(
                f"deploy: layer {k} sends what is no shift of its sums, for tau_steps {net.tau_steps:g}; train with "
                "tau_steps 2, and message fractions of at most those of the products"
            )
        carried = np.pad(np.eye(LINES, dtype=np.int64), ((0, 0), (own.shape[1], 0)))
        yield Stage(_parts(np.vstack([np.hstack([own, _digits(one.added, k)]), carried])), rectified=True)
        before, n = saturating[k - 1], len(layer.biases)
        rows = np.eye(n, dtype=np.int64)[[*range(n), *before]]
        bounds = np.concatenate([np.zeros(n, np.int64), np.full(len(before), -(one.top << one.shift))])
        sent = np.vstack([np.hstack([rows, _digits(bounds, k)]), np.zeros((LINES, n + LINES), np.int64)])
        lines = np.zeros_like(sent)
        lines[-LINES:, -LINES:] = np.eye(LINES, dtype=np.int64)
        links = (GradedLink((2 * sent).astype(np.int32), one.shift + 1, even=True), *_parts(lines))
        yield Stage(links, rectified=True)


def _parts(weights: Array) -> tuple[GradedLink, ...]:
    """A matrix as an even part and what is left of it, 0..255; a part of zeros is left out."""
    even = np.clip(2 * (weights >> 1), -LARGEST_EVEN - 2, LARGEST_EVEN)
    parts = ((even, True), (weights - even, False))
    return tuple(GradedLink(part.astype(np.int32), 0, is_even) for part, is_even in parts if part.any()) or (
        GradedLink(even.astype(np.int32), 0, even=True),
    )


def _digits(values: Array, k: int) -> Array:
    """`values (n,)` as weights from the constants, digits -128..127: `(n, LINES)`."""
    found, rest = [], values
    half = 1 << DIGIT_BITS - 1
    for _ in CONSTANTS:
        found.append((rest + half) % (2 * half) - half)
        rest = (rest - found[-1]) >> DIGIT_BITS
    if rest.any():
        worst = int(values[np.abs(values).argmax()])
        raise SpecError(
            f"deploy: layer {k} adds {worst} to its sums, and {LINES} constants make {STATE_BITS} bits; use coarser "
            "weights or messages, or smaller biases"
        )
    return np.stack(found, axis=1)


def graded_reference(graded: Graded, messages: Array, state_bits: int = STATE_BITS) -> Array:
    """u_L `(samples, n_L)` in states of messages p_0, by the stages, as Lava's processes compute them.

    Raises `SpecError` if a sum leaves the bits of a state.
    """
    parts = [
        _through(graded, graded.fed(messages[i : i + BATCH]), state_bits)
        for i in range(0, len(messages), BATCH)
    ]
    width = graded.stages[-1].links[0].weights.shape[0]
    return graded.states(np.concatenate(parts) if parts else np.zeros((0, width), np.int64))


def _through(graded: Graded, x: Array, state_bits: int) -> Array:
    for j, stage in enumerate(graded.stages, start=1):
        total = np.zeros((len(x), stage.links[0].weights.shape[0]), np.int64)
        for link in stage.links:
            product = (x.astype(np.float64) @ link.weights.T.astype(np.float64)).astype(np.int64)
            total += product >> link.shift
            if (largest := int(np.abs(product).max(initial=0))) >= 2**31:
                raise SpecError(f"deploy: sums of stage {j} reach {largest}, and Lava adds up in 32 bits")
        if (largest := int(np.abs(total).max(initial=0))) >= 1 << state_bits - 1:
            raise SpecError(
                f"deploy: stage {j} reaches {largest}, and a state has {state_bits} bits; use fewer inputs, or coarser "
                "weights or messages"
            )
        x = np.maximum(total, 0) if stage.rectified else total
    return x
