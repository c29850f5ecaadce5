"""A network in integers as compiled loops see it: mantissas, states and traces, and the way in and out."""

from typing import Any

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.dynamics import Parameters, initial_parameters, wire
from lavaghost.engines.integer_kernels import Cells, Net, Shifts, keep_free, reset, step, trial
from lavaghost.learning.integer import (
    error_shifts,
    grain_of,
    rule_of,
    shared_numbers,
    trace_limit,
)
from lavaghost.learning.integer_kernels import Plastic, Traces, free_outputs, learn, learn_samples
from lavaghost.learning.integer_spec import (
    IntegerLearning,
)
from lavaghost.loihi import Loihi
from lavaghost.spec import Network
from lavaghost.widths import Formats, LoihiWidths, exponent_of


def initial_integers(network: Network, seed: int, formats: Formats, widths: LoihiWidths) -> Parameters:
    """`initial_parameters`, each weight at the nearest value that can be set; real numbers, float64."""
    real = initial_parameters(network, seed, np.float64)
    groups = {}
    for name, group in zip(Parameters._fields, real, strict=True):
        fractions = getattr(formats, name, None)
        if fractions is None:  # biases are zero
            groups[name] = group
            continue
        low, high = widths.weight_limits
        step = widths.static_step
        groups[name] = tuple(
            np.clip(np.rint(w * 2.0**s / step) * step, low, high // step * step) * 2.0**-s
            for w, s in zip(group, fractions, strict=True)
        )
    return Parameters(**groups)


class IntegerNetwork:
    """Owns the integers of a network while it learns. `params` and `load` speak real numbers, exactly."""

    def __init__(
        self, network: Network, formats: Formats, widths: LoihiWidths, params: Parameters, seed: int = 0
    ) -> None:
        self.network, self.formats, self.widths, self.seed = network, formats, widths, seed
        self.arith = Loihi(formats, widths)
        self.net, self.bias, self.ghost_bias = self._integers(params)
        self.shifts = self._shifts(params)
        self.cells = self._cells()
        self.traces = self._traces()

    # ---- in and out

    def _integers(self, params: Parameters) -> tuple[Net, tuple[Array, ...], tuple[Array, ...]]:
        wiring = wire(self.network, params, self.arith)  # which checks every range
        weights = [_mantissas(w.values) for w in wiring.weights]
        ws = tuple(weights[1:])
        tied = not params.feedback
        bt = ws if tied else tuple(_mantissas(b.values.T) for b in wiring.feedback)
        duplicate = self.network.mechanism == "duplicate"
        learned = self.network.mechanism == "learned"
        g = tuple(_mantissas(w.values) for w in wiring.ghost_weights) if learned else ws
        it = tuple(_mantissas(w.values.T) for w in wiring.inhibition) if learned else bt
        b = tuple(np.array(a, np.int32) for a in wiring.biases)
        c = tuple(np.array(a, np.int32) for a in wiring.ghost_biases) if learned else b[1:]
        if not (duplicate or learned):
            g, c, it = ws, b[1:], bt  # never read: online ghosts have no connections
        left = self.bias_left
        bias = tuple((a >> n).astype(np.int16)[None] for a, n in zip(b, left, strict=True))
        ghost_bias = tuple((a >> n).astype(np.int16)[None] for a, n in zip(c, left[1:], strict=True))
        return Net(np.ascontiguousarray(weights[0].T), ws, b, bt, g, c, it), bias, ghost_bias

    @property
    def bias_left(self) -> Array:
        """A bias synapse has the mantissas of W_k and a presynaptic rate of 1."""
        return self.widths.state_fraction - np.array(self.formats.weights, np.int64)

    @property
    def integers(self) -> Parameters:
        """The present mantissas and, of biases, states: views."""
        net, learned = self.net, self.network.mechanism == "learned"
        return Parameters(
            weights=(net.w1t.T, *net.ws),
            biases=net.b,
            feedback=tuple(b.T for b in net.bt) if self.formats.feedback else (),
            ghost_weights=net.g if learned else (),
            ghost_biases=net.c if learned else (),
            ghost_inhibition=tuple(i.T for i in net.it) if learned else (),
        )

    @property
    def params(self) -> Parameters:
        """The present integers as real numbers, float64: exact, so that `wire` finds the same integers."""
        return real_parameters(self.integers, self.arith)

    def _shifts(self, params: Parameters) -> Shifts:
        wiring = wire(self.network, params, self.arith)
        spec, widths = self.network, self.widths

        def exponents(group: Any) -> Array:
            return np.array([w.exponent for w in group], np.int64)

        ghosts = wiring if spec.mechanism != "online" else wiring._replace(
            ghost_weights=wiring.weights[1:], inhibition=wiring.feedback
        )  # fmt: skip
        return Shifts(
            w=exponents(wiring.weights),
            fb=exponents(wiring.feedback),
            g=exponents(ghosts.ghost_weights),
            i=exponents(ghosts.inhibition),
            message=widths.state_fraction - np.array(self.formats.messages[1:], np.int64),
            half=np.array([self.arith.half(k) for k in range(1, spec.depth + 1)], np.int64),
            lam=exponent_of(spec.lam, "network.lam"),
            beta=exponent_of(spec.beta, "network.beta"),
            take=self.arith.take(spec.schedule.tau_steps),
            take_ghost=self.arith.take(spec.schedule.tau_ghost_steps),
            decay=widths.decay_bits,
            r_max=int(self.arith.clip(np.array(widths.state_limit), 0.0, spec.r_max)),
            limit=widths.state_limit,
            sent=widths.message_limit,
            sent_output=widths.output_limit,
            online=spec.mechanism == "online",
        )

    def _cells(self) -> Cells:
        n, depth = self.network.layers, self.network.depth
        online = self.network.mechanism == "online"

        def zeros(sizes: Any) -> tuple[Array, ...]:
            return tuple(np.zeros(size, np.int32) for size in sizes)

        ghosts = n[1:-1] if online else n[2:]
        return Cells(
            u=zeros(n[1:]), v=zeros(ghosts), drive=zeros(n[1:]), fb=zeros(n[1:-1]), gd=zeros(n[2:]),
            inh=zeros(n[1:-1]), p=zeros(n[1:]), pg=zeros(n[2:]), u_free=zeros(n[1:]), v_free=zeros(ghosts),
            left=zeros(n[1:depth]),
        )  # fmt: skip

    def _traces(self) -> Traces:
        n = self.network.layers

        def zeros(sizes: Any) -> tuple[Array, ...]:
            return tuple(np.zeros(size, np.int32) for size in sizes)

        return Traces(
            zeros(n[:-1]), zeros(n[1:]), zeros(n[2:]), zeros(n[1:-1]), zeros(n[2:]), np.zeros(0, np.int32)
        )

    def plastic(self, learning: IntegerLearning, halvings: int) -> Plastic:
        """What learns, with the learning rate halved so often."""
        grain = grain_of(learning, self.widths)
        fractions = np.array(self.formats.messages[:-1], np.int64)
        return Plastic(
            bias=self.bias,
            ghost_bias=self.ghost_bias,
            bias_pre=(1 << fractions) >> 1,
            bias_left=self.bias_left,
            **error_shifts(self.network, learning, self.formats, self.widths, halvings),
            grain=grain,
            y_limit=trace_limit(self.widths, grain),
            stochastic=learning.error_rounding == "stochastic",
            prediction=learning.rule == "prediction",
            learned=self.network.mechanism == "learned",
        )

    # ---- one sample at a time

    def spikes(self, messages: Array) -> Array:
        """Graded spikes in the smallest type that holds them, C-contiguous; a copy only if need be."""
        kind = np.uint8 if self.widths.message_limit < 256 else np.uint16
        return np.ascontiguousarray(messages, dtype=kind)

    def trial(self, x: Array, target: Array) -> int:
        """Both phases of one sample of messages `x (n_0,)`, with a target in states; `cells` hold the outcome."""
        schedule = self.network.schedule
        message, goal = np.asarray(x, np.int32), np.asarray(target, np.int32)
        free, nudged = schedule.t_free_steps, schedule.t_nudge_steps
        return trial(self.cells, self.net, message, goal, free, nudged, self.shifts)

    def learn(
        self,
        learning: IntegerLearning,
        x: Array,
        labels: Array,
        first: int,
        halvings: int = 0,
        network: bool = True,
        shared: Array | None = None,
    ) -> tuple[int, int]:
        """Trials number `first`.. of messages `x (count, n_0)`; see `learn_samples`. `network` is False while only
        ghosts learn; `shared (count, 5 L)` gives the numbers of rounding `shared`, -1 elsewhere.
        """
        schedule = self.network.schedule
        if shared is None:
            shared = self._shared(learning, first, len(x))
        goals = self.arith.array(np.eye(self.network.layers[-1])).astype(np.int32)
        return learn_samples(
            self.cells, self.net, self.spikes(x), labels, goals, schedule.t_free_steps,
            schedule.t_nudge_steps, self.shifts, self.plastic(learning, halvings), self.traces,
            rule_of(learning, self.widths), self.seed, first, shared, (1 << self.widths.trace_bits) - 1, network,
        )  # fmt: skip

    def _shared(self, learning: IntegerLearning, first: int, count: int) -> Array:
        """One rounding number per trial and projection, or -1 where each synapse has its own."""
        rule, shape = rule_of(learning, self.widths), (count, 5 * self.network.depth)
        bits = rule.unit + rule.step_bits
        if learning.rounding == "shared":
            return shared_numbers(self.seed, first, shape, bits)
        # adding half a step less one cuts at the middle
        return np.full(shape, -1 if learning.rounding == "independent" else (1 << (bits - 1)) - 1, np.int64)

    # ---- one step at a time, for who has a clock of his own

    def reset(self, x: Array) -> None:
        """The first step of a trial with messages `x (n_0,)`."""
        reset(self.cells, self.net, x, self.shifts)

    def step(self, target: Array | None) -> None:
        """A later step; `target (n_L,)` in states while there is one."""
        cells = self.cells
        step(cells, self.net, cells.u[-1] if target is None else target, target is not None, self.shifts)

    def keep_free(self) -> None:
        """The free phase has ended."""
        keep_free(self.cells)

    def teach(
        self, learning: IntegerLearning, x: Array, sample: int, halvings: int, network: bool = True
    ) -> None:
        """The end of a trial of messages `x (n_0,)`: what `learn` does there."""
        learn(
            self.cells, self.net, x, self.shifts, self.plastic(learning, halvings), self.traces,
            rule_of(learning, self.widths), self.seed, sample, self._shared(learning, sample, 1)[0],
            (1 << self.widths.trace_bits) - 1, network,
        )  # fmt: skip

    def outputs(self, x: Array) -> Array:
        """u_L at the end of the free phase of messages `x (count, n_0)`: `(count, n_L)` states."""
        out = np.empty((len(x), self.network.layers[-1]), np.int32)
        free = self.network.schedule.t_free_steps
        free_outputs(self.cells, self.net, self.spikes(x), free, self.shifts, out)
        return out


def _mantissas(values: Array) -> Array:
    return np.ascontiguousarray(values).astype(np.int16)


def real_parameters(integers: Parameters, arith: Loihi) -> Parameters:
    """What mantissas and, of biases, states stand for: float64, exact."""
    groups = {}
    for name, group in integers._asdict().items():
        fractions = getattr(arith.formats, name, None)
        groups[name] = tuple(
            arith.real(a) if fractions is None else np.ascontiguousarray(a) * 2.0 ** -fractions[k]
            for k, a in enumerate(group)
        )
    return Parameters(**groups)
