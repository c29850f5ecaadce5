"""Errors that come down beside the membranes, layer by layer: what backprop and its relatives share.

    e_L = y - p(r_L),   e_k = rho'(u_k) (B_k e_{k+1}),   dW_k = e_k r_{k-1}^T

B_k is W_{k+1}^T (tied), drawn once (random), or moves as W_{k+1}^T does (learned, Kolen and Pollack 1994): with equal
steps and equal decay, what the two began with fades, and what they share stays.

In time the errors take a step a layer (`dynamics.errors`), and what the output sends is the method's `Teacher`; in the
end each synapse has the same factors (`taught_in_time`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.base.names import Engine, Feedback, Loss
from lavaghost.dynamics.errors import Sent
from lavaghost.dynamics.neuron import nudge, rate, slope
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.trial import Local
from lavaghost.methods.base import Batch, Factors, Moment, Teacher
from lavaghost.methods.ghost.rules import Rule
from lavaghost.net.graph import Graph, fed_back, layers, upwards
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, Float, gemm

IN_TIME: tuple[Engine, ...] = ("equilibrium", "stepped", "lava")
"""Engines of a method that has a `Teacher`."""


class ForwardWork(NamedTuple):
    """Graph and forward pass; `stepped` for a method that learns in time, where that is asked for."""

    graph: Graph
    engine: Equilibrium
    stepped: Stepped | None = None

    def rates(self, params: Parameters, x: Array) -> list[Array]:
        """r_0..r_L, `(batch, n_k)`; they hold until the next call."""
        return [x, *self.engine.free(params, x)]


def forward_work(graph: Graph, learning: Any) -> ForwardWork:
    """For batches of up to `learning.batch_size`."""
    return ForwardWork(graph, Equilibrium(graph.forward, learning.batch_size, push=False))


def work_in_time(graph: Graph, learning: Any) -> ForwardWork:
    """The same, in time if `learning.engine` steps."""
    work = forward_work(graph, learning)
    return work if learning.engine == "equilibrium" else work._replace(stepped=Stepped(graph))


def with_errors(network: Network, feedback: Feedback, direct: bool = False) -> Graph:
    """A network down which errors come; `direct` ones from the output to every layer."""
    wired = (*upwards(network), *fed_back(network, feedback, "error", direct))
    return Graph(network, tuple(layers(network)), wired)


def driven(graph: Graph, params: Parameters, k: int, below: Array) -> Array:
    """W_k r_{k-1} + b_k, `(batch, n_k)`."""
    out = np.empty((len(below), graph.layers[k]), below.dtype)
    out[:] = params.biases[k - 1]
    return graph.up[k - 1].apply(params.weights[k - 1], below, out, beta=1.0)


def passed_up(
    graph: Graph, params: Parameters, x: Array, drive: Array, added: Mapping[int, Array], arith: Float
) -> tuple[list[Array], list[Array]]:
    """v_1..v_L = W_k r_{k-1} + b_k, and r_0..r_L of v_k + added_k; `drive` is v_1, which needs no product again."""
    v, rates = [drive], [x]
    for k in range(1, graph.depth + 1):
        if k > 1:
            v.append(driven(graph, params, k, rates[-1]))
        u = v[-1] + added[k] if k in added else v[-1]
        rates.append(rate(u, graph, k, arith))
    return v, rates


def down(graph: Graph, params: Parameters, k: int, above: Array) -> Array:
    """B_k e `(batch, n_k)`, of `above` as long as what it comes from: W_{k+1}^T e where nothing else is fed back."""
    out = np.empty((len(above), graph.layers[k]), above.dtype)
    if graph.back and not (link := graph.back[k - 1]).transposed:
        return graph.products(link).apply(params.feedback[k - 1], above, out)
    return graph.up[k].apply_transposed(params.weights[k], above, out)


def carried(
    graph: Graph,
    params: Parameters,
    rates: Sequence[Array],
    top: Array,
    *,
    lowest: int = 1,
    back: Sequence[Array] | None = None,
) -> dict[int, Array]:
    """e_L = `top` and the errors below it down to layer `lowest`, by layer, `(batch, n_k)`.

    `rates` are r_0..r_L. `back` are dense B_k `(n_k, n_{k+1})`, from k = 1, in the place of those of the graph.
    """
    errors = {graph.depth: top}
    for k in range(graph.depth - 1, lowest - 1, -1):
        above = errors[k + 1]
        if back is None:
            below = down(graph, params, k, above)
        else:
            below = gemm(above, back[k - 1], np.empty((len(above), graph.layers[k]), above.dtype), trans_b=True)
        below *= slope(graph, rates[k])
        errors[k] = below
    return errors


def along_weights(
    graph: Graph, rates: Sequence[Array], errors: Mapping[int, Array], gain: float = 1.0
) -> dict[str, Factors]:
    """The factors of the layers that `errors` has, and of the feedback that learns with them."""
    found = {f"weights.{k}": Factors(e, rates[k - 1], gain) for k, e in errors.items()}
    return found | returned(graph, found)


@dataclass(frozen=True)
class OwnError:
    """The `Teacher` of what follows the gradient: e_L = y - p(r_L)."""

    loss: Loss

    def __call__(self, output: Array, target: Array, moment: Moment) -> Sent:
        """See `Teacher`."""
        return Sent(nudge(output, target, self.loss, FLOAT))


FLOAT = Float()


def learned_error(local: Local) -> Array:
    """The factor behind a synapse, `(batch, n_k)`: e_k, times what the output told all cells."""
    if local.error is None:
        raise SpecError("rule 'error' needs errors that come down; use it with a method that has a teacher")
    return local.error if local.factor is None else local.error * local.factor


ERROR = Rule("error", learned_error, needs_push=False)
"""What a layer learns by where errors come down."""


def taught_in_time(
    graph: Graph, engine: Stepped, params: Parameters, batch: Batch, teacher: Teacher
) -> dict[str, Factors]:
    """The factors of `batch` after a trial in steps, those of the equilibrium form up to rounding."""
    trial = engine.trial(
        params, batch.x, batch.target, sends=lambda output, target: teacher(output, target, batch.moment)
    )
    errors = {k: learned_error(trial.local(k)) for k in range(1, graph.depth + 1)}
    return along_weights(graph, trial.pre, errors)


def returned(graph: Graph, found: Mapping[str, Factors]) -> dict[str, Factors]:
    """The factors of learned feedback: those of the weights that it stands for, turned round."""
    mirrored = {}
    for k, link in enumerate(graph.back, start=1):
        factors = found.get(f"weights.{k + 1}")
        if link.own and link.plastic and link.tensor is not None and factors is not None:
            mirrored[link.tensor] = Factors(factors.pre, factors.post, factors.gain)
    return mirrored


def multiplied(graph: Graph, params: Parameters, found: Mapping[str, Factors]) -> list[Array]:
    """The changes of W_1..W_L that factors stand for, in double precision; zeros for a layer without any."""
    changes = []
    for k, (w, products) in enumerate(zip(params.weights, graph.up, strict=True), start=1):
        out = np.zeros(w.shape)
        if (factor := found.get(f"weights.{k}")) is not None:
            post, pre = (np.ascontiguousarray(a, np.float64) for a in (factor.post, factor.pre))
            products.correlate(post, pre, out)
            out *= factor.gain / len(post)
        changes.append(out)
    return changes
