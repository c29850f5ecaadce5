"""One Euler step of the whole network: the only place where order and transport delays are decided.

    hidden   tau du_k/dt = -u_k + W_k r_{k-1} + b_k + lam (B_k r_{k+1} - i_k)
    output   tau du_L/dt = -u_L + W_L r_{L-1} + b_L + beta s (y - p(r_L))
    rates    r_k = clip(u_k, 0, r_max), linear at the output; r_0 = x

`p` is the identity for squared error and softmax for cross-entropy; s is 1 only while a target is given.
`i_k` is the ghosts' inhibition:

    duplicate, learned   tau_g dv_k/dt = -v_k + G_k r_k + c_k,  g_k = rate(v_k),  i_k = I_k g_k
                         (duplicate: G_k = W_{k+1}, c_k = b_{k+1}, I_k = B_k)
    online               tau_g dg_k/dt = B_k r_{k+1} - g_k without a target, held with one;  i_k = g_k

Errors that come down beside the membranes are in `dynamics.errors`.

Every matrix product takes one step to arrive, the input's too; target, nudge and the one-to-one link of an
online ghost to its neuron take none. That is how Lava's Dense connections and direct ports behave, so the
Lava processes compute these numbers exactly. A trial starts with a reset step in which membranes are zero
and arriving messages are dropped: one trial cannot see the one before it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.dynamics.errors import Sent, heard_from, hidden_error
from lavaghost.dynamics.neuron import nudge, rate
from lavaghost.net.graph import Graph
from lavaghost.net.kinds import Products
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Arithmetic, Array
from lavaghost.numbers.integers import Integers


class Wiring(NamedTuple):
    """A network's connections in one number system, ready for `network_step`; index 0 is layer 1.

    A connection is what `Arithmetic.connection` makes of a weight matrix: in floating point the matrix itself.
    `feedback` reaches membranes, and `back`, of the same B_k, the errors beside them.
    """

    graph: Graph
    weights: tuple[Any, ...]
    biases: tuple[Array, ...]
    feedback: tuple[Any, ...]
    ghost_weights: tuple[Any, ...]
    ghost_biases: tuple[Array, ...]
    inhibition: tuple[Any, ...]
    back: tuple[Any, ...] = ()


class State(NamedTuple):
    """Membranes, and the messages that arrive in the next step. All arrays are `(batch, n)`.

    v_mem        u_1..u_L
    v_ghost      v_1..v_{L-1}: (batch, n_{k+1}), or (batch, n_k) for online ghosts
    drive        W_k r_{k-1}, k = 1..L
    feedback     B_k r_{k+1}, k = 1..L-1
    ghost_drive  G_k r_k, k = 1..L-1; empty for online ghosts
    inhibition   I_k g_k, k = 1..L-1; for online ghosts g_k itself, as delivered in this step
    error        e_1..e_L, where errors come down; zeros without a target
    carried      B_k e_{k+1}, k = 1..L-1
    factor       of all changes, `(batch, 1)`, alone, if the output sends one
    """

    v_mem: tuple[Array, ...]
    v_ghost: tuple[Array, ...]
    drive: tuple[Array, ...]
    feedback: tuple[Array, ...]
    ghost_drive: tuple[Array, ...]
    inhibition: tuple[Array, ...]
    error: tuple[Array, ...] = ()
    carried: tuple[Array, ...] = ()
    factor: tuple[Array, ...] = ()


def wire(graph: Graph, numbers: Parameters | Integers, arith: Arithmetic, errors: bool = False) -> Wiring:
    """Resolve what each projection delivers by. Only tied feedback is copied.

    `errors` says whether they come down, where the graph has any; only what learns needs them.

    Integers are taken as they are, by the arithmetic that they are of. Raises `SpecError` for one of other formats.
    """
    depth = graph.depth
    if isinstance(numbers, Integers):
        params, own = Parameters.from_named(graph, numbers.arrays), numbers.arith
        if arith != own:
            raise SpecError(
                f"these integers are of {own}, and {arith} would read them as others; give their own"
            )
        join, state = own.held, _as_state
    else:
        params, join, state = numbers, arith.connection, arith.array

    def connect(group: str, products: Sequence[Products | None]) -> tuple[Any, ...]:
        arrays = getattr(params, group)
        return tuple(
            join(w, group, k, p) for k, (w, p) in enumerate(zip(arrays, products, strict=True), start=1)
        )

    weights = connect("weights", graph.up)
    biases = tuple(state(b) for b in params.biases)
    down: tuple[Any, ...] = ()
    errors = errors and graph.carries_errors
    if (graph.has_feedback or errors) and params.feedback:
        down = connect("feedback", [graph.tensors[f"feedback.{k}"] for k in range(1, depth)])
    elif graph.has_feedback or errors:
        down = tuple(arith.transposed(weights[k], k) for k in range(1, depth))
    feedback, back = ((), down) if errors else (down, ())
    if graph.copies:
        return Wiring(graph, weights, biases, feedback, weights[1:], biases[1:], feedback)
    ghost_biases = tuple(state(c) for c in params.ghost_biases)
    dense = [None] * len(params.ghost_weights)
    return Wiring(
        graph,
        weights,
        biases,
        feedback,
        connect("ghost_weights", dense),
        ghost_biases,
        connect("ghost_inhibition", dense),
        back,
    )


def _as_state(held: Array) -> Array:
    """States as steps compute with them."""
    return held.astype(np.int64)


def start_trial(net: Wiring, input_drive: Array, arith: Arithmetic) -> State:
    """The state after the reset step: membranes at zero, `W_1 x` on its way; `(batch, n_1)`."""
    graph, batch = net.graph, len(input_drive)
    n, back = graph.layers, range(1, graph.depth) if graph.has_feedback else ()
    beside = range(1, graph.depth) if graph.has_ghosts else ()
    return State(
        v_mem=tuple(arith.zeros(batch, size) for size in n[1:]),
        v_ghost=tuple(arith.zeros(batch, graph.population(f"ghost.{k}").size) for k in beside),
        drive=(input_drive, *(arith.zeros(batch, size) for size in n[2:])),
        feedback=tuple(arith.zeros(batch, n[k]) for k in back),
        ghost_drive=tuple(arith.zeros(batch, n[k + 1]) for k in beside) if graph.predicts else (),
        inhibition=tuple(arith.zeros(batch, n[k]) for k in beside),
        error=tuple(arith.zeros(batch, size) for size in n[1:]) if net.back else (),
        carried=tuple(arith.zeros(batch, n[k]) for k in range(1, graph.depth)) if net.back else (),
    )


def hidden_membrane(
    v_mem: Array,
    drive: Array,
    bias: Array,
    feedback: Array | None,
    inhibition: Array | None,
    spec: Graph,
    arith: Arithmetic,
) -> Array:
    """The next u_k of a hidden layer: `-u_k + W_k r_{k-1} + b_k + lam (B_k r_{k+1} - i_k)`, `(batch, n_k)`.

    `feedback` and `inhibition` are None where there is none.
    """
    current = arith.add(drive, bias)
    if feedback is not None:
        left_over = feedback if inhibition is None else arith.subtract(feedback, inhibition)
        current = arith.add(current, arith.scale(left_over, spec.lam))
    return arith.integrate(v_mem, current, spec.schedule.tau_steps)


def output_membrane(
    v_mem: Array, drive: Array, bias: Array, target: Array | None, spec: Graph, arith: Arithmetic
) -> Array:
    """The next u_L: `-u_L + W_L r_{L-1} + b_L`, and `beta (y - p(r_L))` while a target is given, `(batch, n_L)`."""
    current = arith.add(drive, bias)
    if target is not None:
        current = arith.add(current, arith.scale(nudge(v_mem, target, spec.loss, arith), spec.beta))
    return arith.integrate(v_mem, current, spec.schedule.tau_steps)


def ghost_membrane(v_ghost: Array, drive: Array, bias: Array, spec: Graph, arith: Arithmetic) -> Array:
    """The next v_k of duplicate or learned ghosts: `-v_k + G_k r_k + c_k`, `(batch, n_{k+1})`."""
    return arith.integrate(v_ghost, arith.add(drive, bias), spec.schedule.tau_ghost_steps)


def online_ghost(v_ghost: Array, feedback: Array, held: bool, spec: Graph, arith: Arithmetic) -> Array:
    """The next g_k of online ghosts: `B_k r_{k+1} - g_k`, or g_k where it is held, `(batch, n_k)`."""
    return v_ghost if held else arith.integrate(v_ghost, feedback, spec.schedule.tau_ghost_steps)


def network_step(
    net: Wiring,
    state: State,
    input_drive: Array,
    target: Array | None,
    arith: Arithmetic,
    nudged: bool | None = None,
    sent: Sent | None = None,
) -> State:
    """The next state.

    `input_drive` is `W_1 x` of the present input, `(batch, n_1)`: constant in a trial, so the caller computes
    it once. `target` is `(batch, n_L)` in the nudged phase and None in the free phase; also in a `nudged` phase whose
    target is withheld, in which ghosts that hold, hold. `sent` is what the output sends where errors come down, which
    stands for the target there.
    """
    spec = net.graph
    depth = spec.depth

    # what arrived acts on the membranes
    v_ghost: tuple[Array, ...] = ()
    arriving: tuple[Array, ...] = ()
    if spec.replicates:
        held = target is not None if nudged is None else nudged
        v_ghost = tuple(
            online_ghost(v, fb, held, spec, arith) for v, fb in zip(state.v_ghost, state.feedback, strict=True)
        )
        arriving = v_ghost
    elif spec.predicts:
        v_ghost = tuple(
            ghost_membrane(v, drive, c, spec, arith)
            for v, drive, c in zip(state.v_ghost, state.ghost_drive, net.ghost_biases, strict=True)
        )
        arriving = state.inhibition
    none = (None,) * (depth - 1)
    v_mem = [
        hidden_membrane(v, drive, bias, feedback, inhibition, spec, arith)
        for v, drive, bias, feedback, inhibition in zip(
            state.v_mem[:-1],
            state.drive[:-1],
            net.biases[:-1],
            state.feedback or none,
            arriving or none,
            strict=True,
        )
    ]
    v_mem.append(output_membrane(state.v_mem[-1], state.drive[-1], net.biases[-1], target, spec, arith))

    # what the new rates send arrives in the next step
    rates = [rate(v, spec, k, arith) for k, v in enumerate(v_mem, start=1)]
    r = [arith.message(own, k) for k, own in enumerate(rates, start=1)]
    drive = (input_drive, *(arith.synapse(net.weights[k], r[k - 1]) for k in range(1, depth)))
    ghost_drive, inhibition = (), v_ghost
    if spec.predicts:
        # a duplicate's incoming weights are the next layer's, so it receives the very same message
        ghost_drive = tuple(
            drive[k + 1] if w is net.weights[k + 1] else arith.synapse(w, r[k])
            for k, w in enumerate(net.ghost_weights)
        )
        inhibition = tuple(
            arith.synapse(w, arith.message(rate(v_ghost[k], spec, k + 2, arith), k + 2))
            for k, w in enumerate(net.inhibition)
        )
    error, carried = state.error, state.carried  # without a target there is nothing that could change them
    if sent is not None:
        error = (*(hidden_error(e, own, spec) for e, own in zip(carried, rates[:-1], strict=True)), sent.top)
        carried = tuple(
            arith.synapse(w, error[heard_from(spec, k) - 1]) for k, w in enumerate(net.back, start=1)
        )
    return State(
        v_mem=tuple(v_mem),
        v_ghost=v_ghost,
        drive=drive,
        feedback=tuple(arith.synapse(w, r[k + 1]) for k, w in enumerate(net.feedback)),
        ghost_drive=ghost_drive,
        inhibition=inhibition,
        error=error,
        carried=carried,
        factor=() if sent is None or sent.factor is None else (sent.factor,),
    )
