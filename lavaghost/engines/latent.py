"""Presentations in time of networks with prospective rates: who owns the loop over `dynamics.prospective`.

A presentation starts at rest, so that nothing of one is left in the next, and has a target from its first step. The
output is right after L steps, and its error has come down to layer 1 after 2 L.
"""

from collections.abc import Callable, Iterator, Sequence

from lavaghost.dynamics.prospective import Prospect, at_rest, prospective_step, wire_errors
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, Float

Noise = Callable[[int], Sequence[Array]]
"""xi_1..xi_{L-1} of a step, from 1."""


def passage_steps(graph: Graph) -> int:
    """2 L: steps that a signal needs up to the output, and its error down to layer 1."""
    return 2 * graph.depth


def presentation(
    graph: Graph,
    params: Parameters,
    x: Array,
    target: Array,
    *,
    beta: float,
    t_steps: int,
    felt: bool = True,
    noise: Noise | None = None,
) -> Iterator[tuple[tuple[Array, ...], Prospect]]:
    """`t_steps` steps with `x (batch, n_0)` and `target (batch, n_L)`, in the precision of `params`.

    Of each, r_0..r_{L-1} as synapses saw them in it, those of the step before, and the state after it. `felt` and
    `noise` are those of `dynamics.prospective`.
    """
    arith = Float(params.weights[0].dtype)
    net = wire_errors(graph, params, beta, felt, arith)
    x, target = arith.input(x), arith.array(target)
    drive = arith.synapse(net.weights[0], x)
    state = at_rest(graph, len(x), arith)
    for step in range(1, t_steps + 1):
        pre = (x, *state.rates[:-1])
        state = prospective_step(net, state, drive, target, arith, () if noise is None else noise(step))
        yield pre, state
