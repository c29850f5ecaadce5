"""A network in integers as compiled loops see it: mantissas, states and traces, and the way in and out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters, Wiring, initial_parameters, wire
from lavaghost.engines.compiled.memory import Arrays, Mantissas, Memory, States, laid_out
from lavaghost.engines.compiled.steps import Shifts
from lavaghost.engines.compiled.toolchain import said
from lavaghost.methods.ghost.rules import Rule
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
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
    reset=False,
    free=0,
    keep=False,
    nudged=0,
    given=True,
    margin=-1,
    errors=False,
    learn=False,
    network=False,
    seed=0,
    first=0,
)
WHOLE = NOTHING._replace(reset=True, free=ALL, keep=True, nudged=ALL)
FREE = WHOLE._replace(nudged=0)
ANY = np.zeros((1, 1), np.int32)
"""One trial whose messages do not matter."""
_NONE = np.zeros(0, np.int64)
STILL = Plastic(_NONE, _NONE, _NONE, _NONE, _NONE, 0, 0, 0, False, False, False, np.zeros(0, np.bool_))
NO_RULE = EngineRule(0, 0, 0, 0, 0, 0, 0, 0)
"""Where nothing learns."""
COMPILING = "compiling the loops of integers, once on this computer: about 15 seconds"


def initial_integers(graph: Graph, seed: int, formats: Formats, widths: LoihiWidths) -> Integers:
    """`initial_parameters`, each weight at the nearest value that can be set."""
    real = initial_parameters(graph, seed, np.float64).named()
    return Integers.nearest(real, formats, widths, step=widths.static_step)


class Learned(NamedTuple):
    """What some trials did.

    steps      that had to be computed
    saturated  traces of W_1..W_L at their limit
    withheld   trials whose target was withheld, since the answer was right by the margin
    outputs    u_L at the end of each free phase, `(count, n_L)` states: the answers before anything was learned
    """

    steps: int
    saturated: int
    withheld: int
    outputs: Array


class CompiledNetwork:
    """Owns the integers of a network while it learns; `integers` gives them back.

    mantissas, states   views into the `Memory` that the compiled loops work on
    """

    def __init__(self, graph: Graph, integers: Integers, seed: int = 0) -> None:
        self.graph, self.formats, self.widths, self.seed = graph, integers.formats, integers.widths, seed
        self.arith = integers.arith
        self._given = integers
        wiring = wire(graph, integers, self.arith)  # which checks every sum
        mantissas, biases = self._taken(wiring)
        w, at_w, groups = laid_out(mantissas, np.int16)
        z, at_z, states = laid_out((*self._zeros(), *biases, *self._traces()), np.int32)
        self.mantissas, self.states = Mantissas(*groups), States(*states)
        self._memory = Memory(w, z, at_w, at_z, np.array(graph.layers, np.int64))
        self.shifts = self._shifts(wiring)
        self._goals = self.arith.array(np.eye(graph.layers[-1])).astype(np.int32)
        with said(COMPILING):
            self._perform(np.zeros((0, graph.layers[0])), WHOLE)

    # ---- in and out

    def _taken(self, wiring: Wiring) -> tuple[Mantissas, tuple[Arrays, Arrays]]:
        """All mantissas, and the biases of neurons and ghosts. What a graph lacks is empty, and never read."""
        graph = self.graph
        weights = [_mantissas(w.values) for w in wiring.weights]
        ws = tuple(weights[1:])
        back = tuple(_mantissas(b.values.T) for b in wiring.feedback)
        if graph.has_feedback and graph.tied:
            back = ws
        b = tuple(np.array(a, np.int32) for a in wiring.biases)
        g, c, inhibit = (), (), ()
        if graph.ghosts_learn:
            g = tuple(_mantissas(w.values) for w in wiring.ghost_weights)
            c = tuple(np.array(a, np.int32) for a in wiring.ghost_biases)
            inhibit = tuple(_mantissas(w.values.T) for w in wiring.inhibition)
        elif graph.copies:
            g, c, inhibit = ws, b[1:], back
        left = self.bias_left
        return Mantissas(
            w=(np.ascontiguousarray(weights[0].T), *ws),
            back=back,
            g=g,
            inhibit=inhibit,
            bias=tuple(_synapses(a, n) for a, n in zip(b, left, strict=True)),
            ghost_bias=tuple(_synapses(a, n) for a, n in zip(c, left[1:], strict=False)),
        ), (b, c)

    @property
    def bias_left(self) -> Array:
        """A bias synapse has the mantissas of W_k and a presynaptic rate of 1."""
        return self.widths.state_fraction - np.array(self.formats.weights, np.int64)

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The present mantissas and, of biases, states by name: views. Of a graph that is not dense, those given."""
        graph, held = self.graph, self.mantissas
        if not graph.all_dense:
            return self._given.arrays
        felt, learned = graph.has_feedback, graph.ghosts_learn
        own = () if graph.tied else tuple(b.T for b in held.back)
        return Parameters(
            weights=(held.w[0].T, *held.w[1:]),
            biases=self.states.b,
            feedback=own if felt else self._given_back(),
            ghost_weights=held.g if learned else (),
            ghost_biases=self.states.c if learned else (),
            ghost_inhibition=tuple(i.T for i in held.inhibit) if learned else (),
        ).named()

    def _given_back(self) -> tuple[Array, ...]:
        """Feedback that no membrane feels, which is carried along."""
        return tuple(self._given.arrays[p.tensor] for p in self.graph.back if p.own and p.tensor is not None)

    @property
    def integers(self) -> Integers:
        """The present numbers, a copy."""
        return Integers(self.arrays, self.formats, self.widths)

    def _shifts(self, wiring: Wiring) -> Shifts:
        graph, widths = self.graph, self.widths
        nudges = graph.relaxation is not None

        def exponents(group: Any) -> Array:
            return np.array([w.exponent for w in group], np.int64)

        return Shifts(
            w=exponents(wiring.weights),
            fb=exponents(wiring.feedback),
            g=exponents(wiring.ghost_weights),
            i=exponents(wiring.inhibition),
            message=widths.state_fraction - np.array(self.formats.messages[1:], np.int64),
            half=np.array([self.arith.half(k) for k in range(1, graph.depth + 1)], np.int64),
            lam=exponent_of(graph.lam, "method.lam") if nudges else 0,
            beta=exponent_of(graph.beta, "method.beta") if nudges else 0,
            take=self.arith.take(graph.schedule.tau_steps),
            take_ghost=self.arith.take(graph.schedule.tau_ghost_steps),
            decay=widths.decay_bits,
            r_max=int(self.arith.clip(np.array(widths.state_limit), 0.0, graph.r_max)),
            limit=widths.state_limit,
            sent=widths.message_limit,
            sent_output=widths.output_limit,
            feedback=graph.has_feedback,
            ghosts=graph.has_ghosts,
            online=graph.replicates,
        )

    def _zeros(self) -> tuple[Arrays, ...]:
        """The fields of `States` before biases."""
        n, graph = self.graph.layers, self.graph
        whole, hidden = n[1:], n[1:-1] if graph.has_feedback else ()
        above = n[2:] if graph.has_ghosts else ()
        ghosts = tuple(graph.population(f"ghost.{k}").size for k in range(1, graph.depth)) if above else ()
        # u, v, drive, fb, gd, inh, p, pg, u_free, v_free, left
        sizes = (whole, ghosts, whole, hidden, above, hidden, whole, above, whole, ghosts, hidden)
        return tuple(_empty(group) for group in sizes)

    def _traces(self) -> tuple[Arrays, ...]:
        """The fields of `States` after biases."""
        n = self.graph.layers
        return tuple(_empty(group) for group in (n[:-1], n[1:], n[2:], n[1:-1], n[2:]))

    def plastic(self, rule: Rule, learning: IntegerLearning, halvings: int) -> Plastic:
        """What learns, with the learning rate halved so often."""
        grain = grain_of(learning, self.widths)
        fractions = np.array(self.formats.messages[:-1], np.int64)
        return Plastic(
            bias_pre=(1 << fractions) >> 1,
            bias_left=self.bias_left,
            **error_shifts(self.graph, learning, self.formats, self.widths, halvings),
            grain=grain,
            y_limit=trace_limit(self.widths, grain),
            x1_limit=(1 << self.widths.trace_bits) - 1,
            stochastic=learning.error_rounding == "stochastic",
            prediction=rule.needs_prediction,
            learned=self.graph.ghosts_learn,
            layers=np.array([self.graph.learns(k) for k in range(1, self.graph.depth + 1)]),
        )

    # ---- one sample at a time

    def spikes(self, messages: Array) -> Array:
        """Graded spikes in the smallest type that holds them, C-contiguous; a copy only if need be."""
        kind = np.uint8 if self.widths.message_limit < 256 else np.uint16
        return np.ascontiguousarray(messages, dtype=kind)

    def trial(self, x: Array, target: Array) -> int:
        """Both phases of one sample of messages `x (n_0,)`, with a target in states; `states` hold the outcome."""
        return self._perform(x[None], WHOLE, targets=target[None]).steps

    def free_phase(self, x: Array) -> None:
        """The free phase alone."""
        self._perform(x[None], FREE)

    def learn(
        self,
        rule: Rule,
        learning: IntegerLearning,
        x: Array,
        labels: Array,
        first: int,
        halvings: int = 0,
        network: bool = True,
        shared: Array | None = None,
    ) -> Learned:
        """Trials number `first`.. of messages `x (count, n_0)`; see `perform`. `network` is False while only
        ghosts learn; `shared (count, 5 L)` gives the numbers of rounding `shared`, -1 elsewhere.
        """
        trials = WHOLE._replace(
            errors=True, learn=True, network=network, first=first, margin=learning.margin_states(self.arith)
        )
        return self._perform(x, trials, (rule, learning, halvings), shared, labels)

    def outputs(self, x: Array) -> Array:
        """u_L at the end of the free phase of messages `x (count, n_0)`: `(count, n_L)` states."""
        return self._perform(x, FREE).outputs

    def errors(self, rule: Rule, learning: IntegerLearning, sample: int, halvings: int) -> None:
        """Traces y in `states`, of a trial that has ended."""
        self._perform(ANY, NOTHING._replace(errors=True, first=sample), (rule, learning, halvings))

    def _shared(self, learning: IntegerLearning, first: int, count: int) -> Array:
        """One rounding number per trial and projection, or -1 where each synapse has its own."""
        constants, shape = rule_of(learning, self.widths), (count, 5 * self.graph.depth)
        bits = constants.unit + constants.step_bits
        if learning.rounding == "shared":
            return shared_numbers(self.seed, first, shape, bits)
        # adding half a step less one cuts at the middle
        return np.full(shape, -1 if learning.rounding == "independent" else (1 << (bits - 1)) - 1, np.int64)

    # ---- one step at a time, for who has a clock of his own

    def reset(self, x: Array) -> None:
        """The first step of a trial with messages `x (n_0,)`."""
        self._perform(x[None], NOTHING._replace(reset=True))

    def step(self, target: Array | None, withheld: bool = False) -> None:
        """A later step; `target (n_L,)` in states while there is one, be it `withheld`."""
        if target is None:
            self._perform(ANY, NOTHING._replace(free=1))
        else:
            self._perform(ANY, NOTHING._replace(nudged=1, given=not withheld), targets=target[None])

    def keep_free(self) -> None:
        """The free phase has ended."""
        self._perform(ANY, NOTHING._replace(keep=True))

    def teach(
        self, rule: Rule, learning: IntegerLearning, x: Array, sample: int, halvings: int, network: bool = True
    ) -> None:
        """The end of a trial of messages `x (n_0,)`: what `learn` does there."""
        trials = NOTHING._replace(errors=True, learn=True, network=network, first=sample)
        self._perform(x[None], trials, (rule, learning, halvings))

    def _perform(
        self,
        x: Array,
        trials: Trials,
        plan: tuple[Rule, IntegerLearning, int] | None = None,
        shared: Array | None = None,
        labels: Array | None = None,
        targets: Array | None = None,
    ) -> Learned:
        """`perform` on messages `x (count, n_0)`.

        `plan` is what is learned by, and how often the rate is halved. Without labels, all are 0. Arguments are copied,
        so that they are always writable and in order, and their types the same.
        """
        count, schedule = len(x), self.graph.schedule
        plastic, constants = STILL, NO_RULE
        if plan is not None:
            plastic, constants = self.plastic(*plan), rule_of(plan[1], self.widths)
            shared = self._shared(plan[1], trials.first, count) if shared is None else shared
        if self.graph.relaxation is None and count and (trials.nudged or trials.errors):
            raise SpecError("nothing nudges this network, which has no feedback; ask for its `outputs` alone")
        free, nudged = min(trials.free, schedule.t_free_steps - 1), min(trials.nudged, schedule.t_nudge_steps)
        out = np.empty((count, self.graph.layers[-1]), np.int32)
        steps, saturated, withheld = perform(
            self._memory,
            self.shifts,
            plastic,
            constants,
            trials._replace(free=free, nudged=nudged, seed=self.seed),
            np.array(x, np.int32, order="C"),
            np.array(np.zeros(count) if labels is None else labels, np.int64, order="C"),
            np.array(self._goals if targets is None else targets, np.int32, order="C"),
            np.array(np.zeros((count, 0)) if shared is None else shared, np.int64, order="C"),
            out,
        )
        return Learned(steps, saturated, withheld, out)


def _empty(sizes: tuple[int, ...]) -> Arrays:
    return tuple(np.zeros(size, np.int32) for size in sizes)


def _synapses(bias: Array, left: int) -> Array:
    """The synapses of biases in states; where weights are finer than a state no bias learns, and it is the state."""
    return (bias >> max(0, int(left))).astype(np.int16)[None]


def _mantissas(values: Array) -> Array:
    return np.ascontiguousarray(values).astype(np.int16)
