"""The stepped engine: forward Euler in time, batched, with the transport delays of Lava.

A trial is `t_free_steps` without and `t_nudge_steps` with a target; its first step resets. It converges to
the equilibrium engine as the phases grow, and with one sample it equals the Lava processes to the bit.
"""

from collections.abc import Callable, Iterator

import numpy as np

from lavaghost.dynamics import Parameters, State, Wiring, network_step, start_trial, wire
from lavaghost.dynamics.errors import Sent
from lavaghost.dynamics.neuron import nudge, rate
from lavaghost.engines.trial import Trial
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Arithmetic, Array, Float
from lavaghost.numbers.integers import Integers

Withholds = Callable[[Array, Array], bool]
"""Of the outputs of a free phase, and of the target in the same numbers, both `(1, n_L)`."""
Sends = Callable[[Array, Array], Sent | None]
"""What the output sends down, of the outputs of a free phase and of the target, both `(batch, n_L)`."""


class Stepped:
    """Euler steps of `graph` in `arith` (double precision unless told otherwise)."""

    def __init__(self, graph: Graph, arith: Arithmetic | None = None) -> None:
        self.graph = graph
        self.arith: Arithmetic = Float() if arith is None else arith

    def states(
        self,
        numbers: Parameters | Integers,
        x: Array,
        target: Array | None = None,
        withholds: Withholds | None = None,
        sends: Sends | None = None,
    ) -> Iterator[tuple[Wiring, State]]:
        """The state after every step of a trial: `t_free_steps` of them, then, with a target, `t_nudge_steps`.

        `withholds` says of the outputs of the free phase whether the target is withheld from the nudged one.
        Where errors come down, `sends` says of them and the target what the output sends; its own error unless given.
        """
        net = wire(self.graph, numbers, self.arith, errors=target is not None)
        schedule = self.graph.schedule
        # the input is clamped in a trial, so what its weights deliver is computed once
        drive = self.arith.synapse(net.weights[0], self.arith.input(x))
        state = start_trial(net, drive, self.arith)
        yield net, state
        for _ in range(schedule.t_free_steps - 1):
            state = network_step(net, state, drive, None, self.arith)
            yield net, state
        if target is not None:
            goal: Array | None = self.arith.array(target)
            if withholds is not None and withholds(self.rates(state)[-1], goal):
                goal = None
            sent = None
            if net.back:
                sent = None if goal is None else (sends or self._output_error)(self.rates(state)[-1], goal)
                goal = None
            for _ in range(schedule.t_nudge_steps):
                state = network_step(net, state, drive, goal, self.arith, True, sent)
                yield net, state

    def _output_error(self, output: Array, target: Array) -> Sent:
        return Sent(nudge(output, target, self.graph.loss, self.arith))

    def rates(self, state: State) -> tuple[Array, ...]:
        """r_1..r_L of a state."""
        return tuple(rate(v, self.graph, k, self.arith) for k, v in enumerate(state.v_mem, start=1))

    def ghost_rates(self, state: State) -> tuple[Array, ...]:
        """g_1..g_{L-1} of a state; the rate of a ghost that replicates is its membrane."""
        if self.graph.replicates:
            return state.v_ghost
        return tuple(rate(v, self.graph, k + 1, self.arith) for k, v in enumerate(state.v_ghost, start=1))

    def ends(
        self,
        numbers: Parameters | Integers,
        x: Array,
        target: Array | None = None,
        withholds: Withholds | None = None,
        sends: Sends | None = None,
    ) -> tuple[State, State]:
        """The states at the end of the free phase and at the end of the trial; see `states`."""
        steps = self.states(numbers, x, target, withholds, sends)
        _, state = next(steps)
        free = state
        for step, (_, state) in enumerate(steps, start=2):
            if step == self.graph.schedule.t_free_steps:
                free = state
        return free, state

    def output(self, params: Parameters | Integers, x: Array) -> Array:
        """See `TrialEngine`."""
        free, _ = self.ends(params, x)
        return self.rates(free)[-1]

    def trial(
        self,
        params: Parameters | Integers,
        x: Array,
        target: Array,
        withholds: Withholds | None = None,
        sends: Sends | None = None,
    ) -> Trial:
        """See `TrialEngine`, and `states`."""
        free_state, state = self.ends(params, x, target, withholds, sends)
        return self.finished(x, free_state, state)

    def finished(self, x: Array, free_state: State, state: State) -> Trial:
        """The trial of `x (batch, n_0)` whose free phase ended in `free_state`, and which ended in `state`."""
        free, nudged = self.rates(free_state), self.rates(state)
        change = tuple(self.arith.subtract(n, f) for n, f in zip(nudged, free, strict=True))
        predicts = self.graph.predicts
        unpredicted = (change[0], *self._unpredicted(free, free_state, nudged, state)) if predicts else ()
        return Trial(
            x=np.asarray(x),
            free=free,
            change=change,
            unpredicted=unpredicted,
            pre=(self.arith.input(x), *nudged[:-1]),
            ghost_rate=self.ghost_rates(free_state) if predicts else (),
            left_over=self._left_over(free_state),
            whole=free_state.feedback,
            ghost_pre=self.ghost_rates(state) if predicts else (),
            error=state.error,
            factor=state.factor,
        )

    def _left_over(self, free: State) -> tuple[Array, ...]:
        """B_k r_{k+1} - i_k."""
        if not self.graph.has_ghosts:
            return free.feedback
        return tuple(map(self.arith.subtract, free.feedback, free.inhibition))

    def _unpredicted(
        self, free: tuple[Array, ...], free_state: State, nudged: tuple[Array, ...], state: State
    ) -> Iterator[Array]:
        """What the nudge adds to r_k - g_{k-1}, k = 2..L."""
        subtract = self.arith.subtract
        before = map(subtract, free[1:], self.ghost_rates(free_state))
        after = map(subtract, nudged[1:], self.ghost_rates(state))
        return map(subtract, after, before)
