"""`Modulated`: another method, with what neuromodulation may add to it. Inspired by Mei et al. 2023, not a copy of it.

    dropout         units that rest for a batch, in both phases and in the ghosts    `methods.dropout`
    follows         its share follows the change of the loss                          `methods.followed`
    rate            every step times rate_end^(l / (n - 1)), l = 0..n-1, in n levels over the run
    trace           a Hebbian trace beside the weights of hidden layers               `methods.trace`
    gains           the step of W_k times m_k

Mei et al. (iScience 26(2) 106026) train an LSTM by backprop through time; dropout that follows the loss, the decay and
the trace are theirs, put here under any method of a layered network. A gain per layer is ours. It turns the direction
of no layer, so no cosine shows it: look at the step norms.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from lavaghost.base.errors import SpecError
from lavaghost.base.spec import Count, NotNegative, Positive, listed
from lavaghost.dynamics.neuron import loss_of
from lavaghost.methods import footprint, trace
from lavaghost.methods.base import Batch, Changes, Method, Needs, OwnState
from lavaghost.methods.carried import ForwardWork, forward_work
from lavaghost.methods.dropout import Masked, dense_faults, drawn, scales
from lavaghost.methods.followed import HIGHEST, LOWEST, Followed
from lavaghost.methods.footprint import Footprint
from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

OWN = "modulated_"
"""What the names of its own arrays begin with."""
FOLLOWED = OWN + "dropout"


def _wrapped(values: Any) -> Method:
    from lavaghost.methods.by_name import method_of  # which knows this class too

    try:
        found = method_of(values)
    except SpecError as error:
        raise ValueError(str(error)) from error
    if isinstance(found, Modulated):
        raise ValueError("modulated cannot wrap itself; put all settings into one")
    return found


Wrapped = Annotated[
    Any,
    PlainValidator(_wrapped),
    PlainSerializer(lambda method: method.settings()),
    WithJsonSchema({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
]


class ModulatedWork(NamedTuple):
    """Graph, what the method holds, epochs of the run, and a forward pass where one is needed."""

    graph: Graph
    inner: Any
    epochs: int
    forward: ForwardWork | None


class Modulated(Method):
    """Another method, modulated; see the module. `--modulate KEY=VALUE` of the command line.

    method           what assigns credit: a method, its name, or its name and settings
    dropout          share of hidden units that rest, at first; None or 0 for none
    dropout_follows  epochs after which it follows the loss; None for never
    rate_end         factor of the steps at the end of the run, beside `eta_decay`; None for 1
    levels           of the steps in between; as many as there are epochs, if these are fewer
    hebbian          step h of the trace; None for no trace
    hebbian_share    the largest alpha
    gains            m_1..m_L, () for none

    With none of it, the run is that of the method to the bit. Example: `Modulated(method="backprop", dropout=0.3)`.
    """

    name: ClassVar[str] = "modulated"

    method: Wrapped = Ghost()
    dropout: NotNegative | None = None
    dropout_follows: Count | None = None
    rate_end: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    levels: Annotated[int, Field(ge=2, le=10**6)] = 100
    hebbian: Positive | None = None
    hebbian_share: Positive = 1e-4
    gains: Annotated[tuple[NotNegative, ...], BeforeValidator(listed)] = ()

    @property
    def core(self) -> Method:
        """See `Method`."""
        return self.method

    @property
    def needs(self) -> Needs:
        """See `Method`: those of the method, in floating point and on this machine."""
        needs = self.method.needs
        engines = tuple(engine for engine in needs.engines if engine != "lava")
        return needs._replace(engines=engines, arithmetics=("float",))

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return self.method.graph(network)

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        found = self.method.faults(graph)
        if self.dropout is not None and self.dropout >= 1:
            found.append(f"method.dropout {self.dropout:g} leaves no unit; use a share below 1, such as 0.2")
        if self.dropout_follows is not None and not LOWEST < 1 - (self.dropout or 0.0) < HIGHEST:
            found.append(
                f"method.dropout_follows moves dropout between {1 - HIGHEST:.1f} and {1 - LOWEST:.1f}, and "
                f"method.dropout is {self.dropout}; begin in between, such as 0.5, or leave dropout_follows out"
            )
        for setting, on in {"method.dropout": self.dropout, "method.hebbian": self.hebbian}.items():
            found += dense_faults(graph, setting) if on else []
        if self.gains and len(self.gains) != graph.depth:
            found.append(
                f"method.gains has {len(self.gains)} factors, and the network has {graph.depth} layers of weights; "
                "give one for each"
            )
        return found

    # ---- state

    def shapes(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """See `Method`."""
        found = self.method.shapes(graph)
        if self.dropout_follows is not None:
            found = found | {FOLLOWED: (len(Followed._fields),)}
        if self.hebbian is not None:
            found = found | {OWN + name: shape for name, shape in trace.shapes(graph).items()}
        return found

    def init(self, graph: Graph, params: Parameters, rng: np.random.Generator) -> OwnState:
        """See `Method`."""
        found = dict(self.method.init(graph, params, rng))
        if self.dropout_follows is not None:
            found[FOLLOWED] = Followed(1.0 - (self.dropout or 0.0)).array()
        if self.hebbian is not None:
            begun = trace.begun(graph, params.weights[0].dtype, self.hebbian_share, rng)
            found |= {OWN + name: array for name, array in begun.items()}
        return found

    def kept(self, state: OwnState) -> float:
        """P, the share of units that stays in a batch."""
        return Followed.of(state[FOLLOWED]).kept if FOLLOWED in state else 1.0 - (self.dropout or 0.0)

    # ---- learning

    def pretrain_batches(self, graph: Graph) -> int:
        """See `Method`."""
        return self.method.pretrain_batches(graph)

    def prepare(self, graph: Graph, learning: Any) -> ModulatedWork:
        """See `Method`."""
        looks = self.dropout_follows is not None or self.hebbian is not None
        forward = forward_work(graph, learning) if looks else None
        return ModulatedWork(graph, self.method.prepare(graph, learning), learning.epochs, forward)

    def update(
        self, work: ModulatedWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`. A probe has no dropout and no decay."""
        own = {name: array for name, array in state.items() if name.startswith(OWN)}
        rest = {name: array for name, array in state.items() if name not in own}
        own = self._followed(own, batch)
        mask = self._dropout(work.graph, own, batch)
        left = params if mask is None else mask.masked(params)
        changes, rest = self.method.update(work.inner, left, rest, batch)
        if mask is not None:
            changes = mask.returned(changes)
        changes = self._paced(work, changes, batch)
        if work.forward is not None and batch.purpose == "train":
            changes, own = self._looked(work, work.forward.rates(left, batch.x), changes, own, batch)
        return changes, {**rest, **own}

    def _followed(self, own: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """Its state, with the dropout of this epoch."""
        every, moment = self.dropout_follows, batch.moment
        if every is None or batch.purpose != "train":
            return own
        if moment.batch > 0 or moment.epoch == 0 or moment.epoch % every:
            return own
        return {**own, FOLLOWED: Followed.of(own[FOLLOWED]).stepped().array()}

    def _dropout(self, graph: Graph, own: OwnState, batch: Batch) -> Masked | None:
        if not self.dropout or batch.purpose == "probe":
            return None
        kept = self.kept(own)
        return scales(graph, drawn(graph, kept, batch.moment), kept)

    def rate(self, epoch: int, epochs: int) -> float:
        """The factor of all steps in an epoch (from 0) of a run."""
        levels = min(self.levels, epochs)
        if self.rate_end is None or levels < 2:
            return 1.0
        return self.rate_end ** (epoch * levels // epochs / (levels - 1))

    def _paced(self, work: ModulatedWork, changes: Changes, batch: Batch) -> Changes:
        """Steps times decay and gains; learned feedback has the gain of the weights that it stands for."""
        rate = self.rate(batch.moment.epoch, work.epochs) if batch.purpose == "train" else 1.0
        if rate == 1.0 and not self.gains:
            return changes

        def gain(name: str) -> float:
            field, _, k = name.partition(".")
            return self.gains[int(k) - (field == "weights")] if self.gains else 1.0

        paced = {name: f._replace(gain=f.gain * gain(name) * rate) for name, f in changes.factors.items()}
        return Changes(paced, changes.add, changes.follow)

    def _looked(
        self, work: ModulatedWork, rates: list[Array], changes: Changes, own: dict[str, Array], batch: Batch
    ) -> tuple[Changes, dict[str, Array]]:
        """What the rates of a forward pass through the network that was left add: a loss, traces."""
        if FOLLOWED in own:
            found = loss_of(rates[-1], batch.target, work.graph.loss)
            own = {**own, FOLLOWED: Followed.of(own[FOLLOWED]).heard(found, len(batch.x)).array()}
        if self.hebbian is None or not changes.factors:  # the network waits
            return changes, own
        add, traces = dict(changes.add), {name.removeprefix(OWN): array for name, array in own.items()}
        for k in trace.traced_layers(work.graph):
            own[f"{OWN}trace_{k}"], change = trace.grown(traces, k, rates, self.hebbian)
            for name, step in trace.along(changes, k, change).items():
                add[name] = add[name] + step if name in add else step
        return Changes(changes.factors, add, changes.follow), own

    # ---- what is said of it

    def figures(self, work: ModulatedWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """Those of the method, and of what is on: `dropout`, `gains`, `traces` (Frobenius norms of alpha H)."""
        rest = {name: array for name, array in state.items() if not name.startswith(OWN)}
        found = dict(self.method.figures(work.inner, params, rest, batch))
        if self.dropout:
            found["dropout"] = 1.0 - self.kept(state)
        if self.gains:
            found["gains"] = list(self.gains)
        if self.hebbian is not None:
            found["traces"] = [
                float(np.linalg.norm(state[f"{OWN}trace_{k}"].T * state[f"{OWN}trace_share_{k}"]))
                for k in trace.traced_layers(work.graph)
            ]
        return found

    def reference(self, graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array] | None:
        """See `Method`."""
        return self.method.reference(graph, params, x, target)

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`: that of the method; a trace is a second number at each synapse of a hidden layer."""
        found = self.method.footprint(graph)
        if self.hebbian is None:
            return found
        return found._replace(reads=f"{found.reads}; beside it a trace of its own, by the rates on both sides")

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: those of the method, and a forward pass and the products of traces where they are on."""
        found = self.method.operations(graph, learning)
        if self.dropout_follows is not None or self.hebbian is not None:
            found += footprint.forward(graph)
        if self.hebbian is not None:
            up = graph.along("feedforward")
            found += footprint.weights(graph, [up[k - 1] for k in trace.traced_layers(graph)])
        return found

    def usual_eta(self, depth: int) -> float:
        """See `Method`: that of the wrapped one."""
        return self.method.usual_eta(depth)

    def remedy(self, broken: Sequence[str]) -> str:
        """See `Method`."""
        return self.method.remedy(broken)
