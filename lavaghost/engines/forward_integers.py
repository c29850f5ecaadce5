"""The feedforward pass of a network in integers, as numbers that any target can take: what its free phase rests at.

    a_k = W_k p_{k-1}                           W_k mantissas, p_0 the input's messages; exact
    d_k = a_k 2^exponent + b_k                  states; a negative exponent is a floor
    v_k = settled(d_k)                          where `Loihi.integrate` comes to rest from 0 with the drive d_k
    p_k = clip((clip(v_k, 0, r_max) + half) >> shift, 0, top)       hidden messages;  u_L = v_L, the outputs

A membrane that decays with cut products rests below its drive. With take = 2^decay_bits / tau it is, for d >= 0,

    v = keep v + e,  e = (d take) >> decay_bits:    v (take 2^-decay_bits), rounded up, is e
    so v is one of  ((e - 1) 2^decay_bits / take) + 1  ..  (e 2^decay_bits / take),  quotients cut;  0 for e = 0

mirrored below 0, and it stops at the first of them that it meets: from 0, at the lowest (tau 2: 2 (d >> 1) - 1).
Layer 1 of a network whose ghosts cancel all of the feedback has one drive, so its messages are these to the bit. A
drive that changes while the layer below settles may leave a membrane at any of them: `resting` are the bounds. A free
phase may end before that: `unsettled`. Where feedback is left over (`cancels`) the pass is an approximation, to be
measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lavaghost.dynamics import Parameters
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.loihi import IntegerSynapses, Loihi, shifted_by


@dataclass(frozen=True, eq=False)
class ForwardLayer:
    """One layer of weights and the units above it.

    mantissas  (n_k, n_{k-1}) int64, the exact matrix of its kind; exponent: left shift from products to states, or,
               below 0, right shift
    biases     (n_k,) int64 states
    shift, half, top   right shift from states to messages, what is added before it, the largest message; an output
               sends none, and its top is 0
    """

    mantissas: Array
    exponent: int
    biases: Array
    shift: int
    half: int
    top: int


class ShiftedSums(NamedTuple):
    """A hidden layer as p = clip((a + added) >> shift, 0, top); `added (n_k,)` int64, in units of the sums a."""

    added: Array
    shift: int
    top: int


@dataclass(frozen=True, eq=False)
class ForwardIntegers:
    """See the module. Messages, drives and outputs are int64 `(samples, n_k)`.

    cancels  whether nothing of the feedback is left in the free phase, so that the pass is what settles
    """

    layers: tuple[ForwardLayer, ...]
    arith: Loihi
    tau_steps: float
    r_max: float
    cancels: bool

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def input_fraction(self) -> int:
        """A message p_0 stands for the rate p_0 2^-input_fraction."""
        return self.arith.formats.messages[0]

    @property
    def input_top(self) -> int:
        """The largest p_0."""
        return self.arith.widths.message_limit

    @property
    def unit(self) -> float:
        """What 1 of a state stands for."""
        return 2.0**-self.arith.widths.state_fraction

    def sums(self, messages: Array, k: int) -> Array:
        """a_k of messages p_{k-1}."""
        return _product(self.layers[k - 1].mantissas, messages)

    def drives(self, messages: Array, k: int) -> Array:
        """d_k of messages p_{k-1}."""
        layer = self.layers[k - 1]
        return shifted_by(self.sums(messages, k), layer.exponent) + layer.biases

    def sent(self, states: Array, k: int) -> Array:
        """p_k of hidden membranes v_k."""
        return self.arith.message(self.arith.clip(states, 0.0, self.r_max), k)

    def settled(self, drives: Array) -> Array:
        """Where membranes rest that start at 0 and get these drives."""
        return _mirrored(drives, lambda e: (((e - 1) << self._decay) // self._take + 1) * (e > 0), self)

    def furthest(self, drives: Array) -> Array:
        """Where membranes rest that come from beyond: of the states at rest, the furthest from 0."""
        return _mirrored(drives, lambda e: (e << self._decay) // self._take, self)

    @property
    def step(self) -> int | None:
        """tau, if it divides the constants of decay: settled(d) is then (d cut to a multiple of tau) - tau + 1."""
        return None if (1 << self._decay) % self._take else (1 << self._decay) // self._take

    def shifted_sums(self, k: int) -> ShiftedSums | None:
        """Hidden layer k as one shift of its sums; None where what is between two messages is not regular.

        p_k is m or more from the drive T_m on, the least at which a membrane rests at m 2^shift - half or above. With
        T_m = m 2^shift - C, which holds for tau a power of two up to half a message, p_k = (d_k + C) >> shift; and
        floors within floors are one:  ((a 2^e + c) >> s) = (a + (c >> e)) >> (s - e).
        """
        layer = self.layers[k - 1]
        if layer.shift < max(0, layer.exponent):
            return None
        m = np.arange(1, layer.top + 1, dtype=np.int64)
        state = (m << layer.shift) - layer.half
        arriving = 1 - (-(state - 1) * self._take >> self._decay)
        least = -((-arriving << self._decay) // self._take)
        offset = (m << layer.shift) - least
        if len(set(offset.tolist())) != 1:
            return None
        added = layer.biases + int(offset[0])
        return ShiftedSums(shifted_by(added, -layer.exponent), layer.shift - layer.exponent, layer.top)

    def messages(self, inputs: Array) -> tuple[Array, ...]:
        """p_1..p_{L-1} of messages p_0."""
        sent = [np.asarray(inputs, np.int64)]
        for k in range(1, self.depth):
            sent.append(self.sent(self.settled(self.drives(sent[-1], k)), k))
        return tuple(sent[1:])

    def outputs(self, inputs: Array) -> Array:
        """u_L of messages p_0, in states."""
        last = (np.asarray(inputs, np.int64), *self.messages(inputs))[-1]
        return self.settled(self.drives(last, self.depth))

    def resting(self, inputs: Array) -> tuple[Array, Array]:
        """The smallest and the largest u_L at which messages p_0 can come to rest, if the feedback cancels.

        Interval arithmetic: exact in layer 1, whose drive never changes; above, any state at rest of any drive.
        """
        low = high = np.asarray(inputs, np.int64)
        for k, layer in enumerate(self.layers, start=1):
            positive, negative = np.maximum(layer.mantissas, 0), np.minimum(layer.mantissas, 0)
            least = _product(positive, low) + _product(negative, high)
            most = _product(positive, high) + _product(negative, low)
            d = [shifted_by(a, layer.exponent) + layer.biases for a in (least, most)]
            if k == 1:
                low = high = self.settled(d[0])
            else:
                low = np.minimum(self.settled(d[0]), self.furthest(d[0]))
                high = np.maximum(self.settled(d[1]), self.furthest(d[1]))
            if k < self.depth:
                low, high = self.sent(low, k), self.sent(high, k)
        return low, high

    @property
    def _decay(self) -> int:
        return self.arith.widths.decay_bits

    @property
    def _take(self) -> int:
        return self.arith.take(self.tau_steps)


def forward_integers(graph: Graph, integers: Integers) -> ForwardIntegers:
    """The feedforward pass of `graph` with `integers`. Raises `SpecError` for what its arithmetic cannot add up."""
    arith, params = integers.arith, Parameters.from_named(graph, integers.arrays)
    schedule = graph.schedule
    same = schedule.tau_steps == schedule.tau_ghost_steps
    return ForwardIntegers(
        layers=tuple(_layers(graph, params, arith)),
        arith=arith,
        tau_steps=schedule.tau_steps,
        r_max=graph.r_max,
        cancels=graph.depth == 1 or not graph.has_feedback or not graph.lam or (graph.copies and same),
    )


def _layers(graph: Graph, params: Parameters, arith: Loihi) -> Iterator[ForwardLayer]:
    widths, formats = arith.widths, arith.formats
    for k, (w, b) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        held: IntegerSynapses = arith.held(w, "weights", k, graph.up[k - 1])
        highest = arith.clip(np.array(widths.state_limit), 0.0, graph.r_max)
        yield ForwardLayer(
            mantissas=held.values.astype(np.int64),
            exponent=held.exponent,
            biases=b.astype(np.int64),
            shift=widths.state_fraction - formats.messages[k],
            half=arith.half(k),
            top=int(arith.message(highest, k)) if k < graph.depth else 0,
        )


def unsettled(net: ForwardIntegers, inputs: Array, t_free_steps: int) -> Array:
    """How far u_L can be from rest at the end of a free phase, in states: `(samples, n_L)`, if the feedback cancels.

    A step brings a membrane whose drive no longer changes nearer by the decay, and by 1 at least:
    D <- min(keep D rounded up, D - 1). Layer 1 starts at 0 with its drive; its messages rest after steps that are
    counted. A layer above gets, until those below rest, drives between those of no message and of all at once, which
    bound its D; the messages that it sends rest when D is 0.
    """
    messages = np.asarray(inputs, np.int64)
    steps, arrived, v = (
        t_free_steps - 1,
        messages,
        np.zeros((len(messages), len(net.layers[0].biases)), np.int64),
    )
    if net.depth == 1:
        distance = np.abs(net.settled(net.drives(messages, 1)))
    else:
        drive = net.drives(messages, 1)
        rest = net.sent(net.settled(drive), 1)
        while (net.sent(v, 1) != rest).any():
            v, steps = net.arith.integrate(v, drive, net.tau_steps), steps - 1
        arrived, distance = rest, np.zeros(0, np.int64)
    for k in range(2, net.depth + 1):
        layer = net.layers[k - 1]
        most, least = (
            shifted_by(_product(bound(layer.mantissas, 0), arrived), layer.exponent) + layer.biases
            for bound in (np.maximum, np.minimum)
        )
        high = np.maximum(net.furthest(most), 0)
        low = np.minimum(net.furthest(least), 0)
        distance = high - low
        if k < net.depth:
            while distance.any() and steps > 0:
                distance, steps = _nearer(net, distance), steps - 1
            arrived = net.sent(high, k)
    for _ in range(max(0, steps)):
        distance = _nearer(net, distance)
    return distance


def _nearer(net: ForwardIntegers, distance: Array) -> Array:
    """The distance from rest after one more step."""
    one = 1 << net.arith.widths.decay_bits
    keep = one - net.arith.take(net.tau_steps)
    return np.maximum(np.minimum(-(-distance * keep // one), distance - 1), 0)


def _product(mantissas: Array, messages: Array) -> Array:
    """W p for each sample: sums below 2^53, by BLAS (`Loihi.check_sum`)."""
    return (messages.astype(np.float64) @ mantissas.T.astype(np.float64)).astype(np.int64)


def _mirrored(drives: Array, rest: Callable[[Array], Array], net: ForwardIntegers) -> Array:
    """`rest` of what arrives of positive drives in a step, its mirror image below 0; held in the bits of a state."""
    taken = np.abs(drives) * net.arith.take(net.tau_steps) >> net.arith.widths.decay_bits
    return net.arith.saturate(np.sign(drives) * rest(taken))
