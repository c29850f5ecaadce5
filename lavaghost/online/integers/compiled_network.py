"""A network in integers as compiled loops see it: mantissas, states and traces, and the way in and out."""

from typing import Any

import numpy as np

from lavaghost.dynamics import Parameters, initial_parameters, wire
from lavaghost.engines.compiled.memory import Arrays, Mantissas, Memory, States, laid_out
from lavaghost.engines.compiled.steps import Shifts
from lavaghost.engines.compiled.toolchain import said
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import Formats, LoihiWidths, exponent_of
from lavaghost.online.integers.kernels import EngineRule, Plastic, Trials, perform
from lavaghost.online.integers.settings import (
    IntegerLearning,
)
from lavaghost.online.integers.update import (
    error_shifts,
    grain_of,
    rule_of,
    shared_numbers,
    trace_limit,
)

ALL = 10**6
"""As many steps as the schedule has."""
NOTHING = Trials(
    reset=False, free=0, keep=False, nudged=0, errors=False, learn=False, network=False, seed=0, first=0
)
WHOLE = NOTHING._replace(reset=True, free=ALL, keep=True, nudged=ALL)
FREE = WHOLE._replace(nudged=0)
ANY = np.zeros((1, 1), np.int32)
"""One trial whose messages do not matter."""
_NONE = np.zeros(0, np.int64)
STILL = Plastic(_NONE, _NONE, _NONE, _NONE, _NONE, 0, 0, 0, False, False, False)
NO_RULE = EngineRule(0, 0, 0, 0, 0, 0, 0, 0)
"""Where nothing learns."""
COMPILING = "compiling the loops of integers, once on this computer: about 15 seconds"


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


class CompiledNetwork:
    """Owns the integers of a network while it learns. `params` and `load` speak real numbers, exactly.

    mantissas, states   views into the `Memory` that the compiled loops work on
    """

    def __init__(
        self, network: Network, formats: Formats, widths: LoihiWidths, params: Parameters, seed: int = 0
    ) -> None:
        self.network, self.formats, self.widths, self.seed = network, formats, widths, seed
        self.arith = Loihi(formats, widths)
        mantissas, biases = self._integers(params)
        w, at_w, groups = laid_out(mantissas, np.int16)
        z, at_z, states = laid_out((*self._zeros(), *biases, *self._traces()), np.int32)
        self.mantissas, self.states = Mantissas(*groups), States(*states)
        self._memory = Memory(w, z, at_w, at_z, np.array(network.layers, np.int64))
        self.shifts = self._shifts(params)
        self._goals = self.arith.array(np.eye(network.layers[-1])).astype(np.int32)
        with said(COMPILING):
            self._perform(np.zeros((0, network.layers[0])), WHOLE)

    # ---- in and out

    def _integers(self, params: Parameters) -> tuple[Mantissas, tuple[Arrays, Arrays]]:
        """All mantissas, and the biases of neurons and ghosts."""
        wiring = wire(self.network, params, self.arith)  # which checks every range
        weights = [_mantissas(w.values) for w in wiring.weights]
        ws = tuple(weights[1:])
        back = tuple(_mantissas(b.values.T) for b in wiring.feedback) if params.feedback else ws
        learned = self.network.mechanism == "learned"
        b = tuple(np.array(a, np.int32) for a in wiring.biases)
        # what online ghosts do not have is never read
        c = tuple(np.array(a, np.int32) for a in wiring.ghost_biases) if learned else b[1:]
        left = self.bias_left
        return Mantissas(
            w=(np.ascontiguousarray(weights[0].T), *ws),
            back=back,
            g=tuple(_mantissas(w.values) for w in wiring.ghost_weights) if learned else ws,
            inhibit=tuple(_mantissas(w.values.T) for w in wiring.inhibition) if learned else back,
            bias=tuple((a >> n).astype(np.int16)[None] for a, n in zip(b, left, strict=True)),
            ghost_bias=tuple((a >> n).astype(np.int16)[None] for a, n in zip(c, left[1:], strict=True)),
        ), (b, c)

    @property
    def bias_left(self) -> Array:
        """A bias synapse has the mantissas of W_k and a presynaptic rate of 1."""
        return self.widths.state_fraction - np.array(self.formats.weights, np.int64)

    @property
    def integers(self) -> Parameters:
        """The present mantissas and, of biases, states: views."""
        held, learned = self.mantissas, self.network.mechanism == "learned"
        return Parameters(
            weights=(held.w[0].T, *held.w[1:]),
            biases=self.states.b,
            feedback=tuple(b.T for b in held.back) if self.formats.feedback else (),
            ghost_weights=held.g if learned else (),
            ghost_biases=self.states.c if learned else (),
            ghost_inhibition=tuple(i.T for i in held.inhibit) if learned else (),
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

    def _zeros(self) -> tuple[Arrays, ...]:
        """The fields of `States` before biases."""
        n, online = self.network.layers, self.network.mechanism == "online"
        whole, hidden, above = n[1:], n[1:-1], n[2:]
        ghosts = hidden if online else above
        # u, v, drive, fb, gd, inh, p, pg, u_free, v_free, left
        sizes = (whole, ghosts, whole, hidden, above, hidden, whole, above, whole, ghosts, hidden)
        return tuple(_empty(group) for group in sizes)

    def _traces(self) -> tuple[Arrays, ...]:
        """The fields of `States` after biases."""
        n = self.network.layers
        return tuple(_empty(group) for group in (n[:-1], n[1:], n[2:], n[1:-1], n[2:]))

    def plastic(self, learning: IntegerLearning, halvings: int) -> Plastic:
        """What learns, with the learning rate halved so often."""
        grain = grain_of(learning, self.widths)
        fractions = np.array(self.formats.messages[:-1], np.int64)
        return Plastic(
            bias_pre=(1 << fractions) >> 1,
            bias_left=self.bias_left,
            **error_shifts(self.network, learning, self.formats, self.widths, halvings),
            grain=grain,
            y_limit=trace_limit(self.widths, grain),
            x1_limit=(1 << self.widths.trace_bits) - 1,
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
        """Both phases of one sample of messages `x (n_0,)`, with a target in states; `states` hold the outcome."""
        return self._perform(x[None], WHOLE, targets=target[None])[0]

    def free_phase(self, x: Array) -> None:
        """The free phase alone."""
        self._perform(x[None], FREE)

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
        """Trials number `first`.. of messages `x (count, n_0)`; see `perform`. `network` is False while only
        ghosts learn; `shared (count, 5 L)` gives the numbers of rounding `shared`, -1 elsewhere.
        """
        trials = WHOLE._replace(errors=True, learn=True, network=network, first=first)
        steps, saturated, _ = self._perform(x, trials, (learning, halvings), shared, labels)
        return steps, saturated

    def outputs(self, x: Array) -> Array:
        """u_L at the end of the free phase of messages `x (count, n_0)`: `(count, n_L)` states."""
        return self._perform(x, FREE)[2]

    def errors(self, learning: IntegerLearning, sample: int, halvings: int) -> None:
        """Traces y in `states`, of a trial that has ended."""
        self._perform(ANY, NOTHING._replace(errors=True, first=sample), (learning, halvings))

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
        self._perform(x[None], NOTHING._replace(reset=True))

    def step(self, target: Array | None) -> None:
        """A later step; `target (n_L,)` in states while there is one."""
        if target is None:
            self._perform(ANY, NOTHING._replace(free=1))
        else:
            self._perform(ANY, NOTHING._replace(nudged=1), targets=target[None])

    def keep_free(self) -> None:
        """The free phase has ended."""
        self._perform(ANY, NOTHING._replace(keep=True))

    def teach(
        self, learning: IntegerLearning, x: Array, sample: int, halvings: int, network: bool = True
    ) -> None:
        """The end of a trial of messages `x (n_0,)`: what `learn` does there."""
        trials = NOTHING._replace(errors=True, learn=True, network=network, first=sample)
        self._perform(x[None], trials, (learning, halvings))

    def _perform(
        self,
        x: Array,
        trials: Trials,
        plan: tuple[IntegerLearning, int] | None = None,
        shared: Array | None = None,
        labels: Array | None = None,
        targets: Array | None = None,
    ) -> tuple[int, int, Array]:
        """`perform` on messages `x (count, n_0)`: steps, traces at their limit, and u_L `(count, n_L)`.

        `plan` is what is learned, and how often the rate is halved. Without labels, all are 0. Arguments are copied,
        so that they are always writable and in order, and their types the same.
        """
        count, schedule = len(x), self.network.schedule
        plastic, rule = STILL, NO_RULE
        if plan is not None:
            plastic, rule = self.plastic(*plan), rule_of(plan[0], self.widths)
            shared = self._shared(plan[0], trials.first, count) if shared is None else shared
        free, nudged = min(trials.free, schedule.t_free_steps - 1), min(trials.nudged, schedule.t_nudge_steps)
        out = np.empty((count, self.network.layers[-1]), np.int32)
        steps, saturated = perform(
            self._memory,
            self.shifts,
            plastic,
            rule,
            trials._replace(free=free, nudged=nudged, seed=self.seed),
            np.array(x, np.int32, order="C"),
            np.array(np.zeros(count) if labels is None else labels, np.int64, order="C"),
            np.array(self._goals if targets is None else targets, np.int32, order="C"),
            np.array(np.zeros((count, 0)) if shared is None else shared, np.int64, order="C"),
            out,
        )
        return steps, saturated, out


def _empty(sizes: tuple[int, ...]) -> Arrays:
    return tuple(np.zeros(size, np.int32) for size in sizes)


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
