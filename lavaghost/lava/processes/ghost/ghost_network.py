"""`GhostNetwork`: a graph as one Lava process, a class for each depth and for what the graph has.

Lava wants the names of a process's Vars and of its model's attributes to be equal, so the number of layers is
fixed in a class, and whether there are feedback and ghosts, and ghosts with connections of their own (`Has`);
`ghost_network` makes and takes the right one.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavaghost.dynamics import State, Wiring, start_trial, wire
from lavaghost.lava.number_systems import AnyNumbers, arithmetic_of, check_dense, forward_only, matrices
from lavaghost.lava.phases import Lessons, errors_come_down
from lavaghost.lava.vectors import flat_size, record_size
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import IntegerSynapses
from lavaghost.online.integers.integer_course import AnyCourse

LETTERS = {
    "weights": "W",
    "biases": "b",
    "feedback": "B",
    "ghost_weights": "G",
    "ghost_biases": "c",
    "ghost_inhibition": "I",
}
"""The letter of the Vars of a field of `Parameters`."""
PIPE = 64
"""Records that the pipe to the host holds before the network has to wait for the host."""


class GhostNetwork(AbstractProcess):
    """A network of L weight layers, with the feedback and the ghosts that its graph has.

    Vars are numbered from layer 1. `numbers` are real, or the `Integers` of a chip. In integers, messages are graded
    spikes, and y_in and r_out are states, full-resolution membranes of the output.

    Without a `course` its trials are free phases of `t_free_steps`. With one, a nudged phase of `t_nudge_steps`
    follows, and at its end the network learns. `first` is the number of its first trial in the course.

    With `lessons` it presents training samples to itself, and x_in, y_in and nudge_in stay unconnected: a source of its
    own would cost a third of the time of a step.

    x_in        (n_0,)   input rates; what W_1 makes of them arrives one step later
    y_in        (n_L,)   target of the nudged phase; may stay unconnected without a course
    nudge_in    (1,)     1 in the nudged phase and 0 in the free phase, so it may stay unconnected without a course
    r_out       (n_L,)   output rates after each step
    params_out  (m,)     all parameters in one vector (`flat`), a pipe to the host: sent once the trials whose
                         numbers are in `export_after` have taught
    record_out  (m,)     free and nudged rates and ghost residual of the layers in `record` (`record_size`), a
                         pipe to the host: sent at the end of every `record_every`-th trial that teaches

    W1..WL  (n_k, n_{k-1})   b1..bL  (n_k,)   v_mem1..v_memL  (n_k,)
    B1..    (n_k, n_{k+1})   feedback, if there is any; tied, it shows W_{k+1}^T
    G1..    (n_{k+1}, n_k)   c1..  (n_{k+1},)   I1..  (n_k, n_{k+1})   ghosts that predict; copies show W, b, B
    v_ghost1..               (n_{k+1},), or (n_k,) for ghosts that replicate, which have no G, c, I
    error1..errorL (n_k,)    where errors come down beside the membranes and there is a course to learn; then B too

    Two models compute the same numbers: a fused one, and one that is a network of Lava processes (`decomposed`);
    a run configuration chooses, with `select_sub_proc_model`.
    """

    def __init__(
        self,
        *,
        graph: Graph,
        numbers: AnyNumbers,
        course: AnyCourse | None = None,
        first: int = 0,
        lessons: Lessons | None = None,
        export_after: Collection[int] = (),
        record: Sequence[int] = (),
        record_every: int = 1,
    ) -> None:
        arith = arithmetic_of(numbers)
        super().__init__(
            graph=graph,
            numbers=numbers,
            arith=arith,
            course=course,
            first=first,
            lessons=lessons,
            export_after=frozenset(export_after),
            record=tuple(record),
            record_every=record_every,
        )
        sizes = graph.layers
        self.x_in = InPort(shape=(sizes[0],))
        self.y_in = InPort(shape=(sizes[-1],))
        self.nudge_in = InPort(shape=(1,))
        self.r_out = OutPort(shape=(sizes[-1],))
        self.params_out = OutPort(shape=(flat_size(graph),))
        self.record_out = OutPort(shape=(max(1, record_size(graph, record)),))
        net = wire(graph, numbers, arith, errors_come_down(graph, course))
        state = start_trial(net, arith.zeros(1, sizes[1]), arith)
        for name, array in (connections(net) | membranes(state)).items():
            setattr(self, name, Var(shape=array.shape, init=array))

        self.to_host = [self.params_out] if export_after else []
        if record:
            self.to_host.append(self.record_out)
        for port in self.to_host:
            port.flag_external_pipe(buffer_size=PIPE if port is self.record_out else 2)


def connections(net: Wiring) -> dict[str, Array]:
    """The Vars of a network that are connections, by name; mantissas in integers."""
    groups = {
        "weights": net.weights,
        "biases": net.biases,
        "feedback": net.feedback or net.back,
        "ghost_weights": net.ghost_weights,
        "ghost_biases": net.ghost_biases,
        "ghost_inhibition": net.inhibition,
    }
    found = {}
    for field, group in groups.items():
        found |= _numbered(
            LETTERS[field], [c.integers() if isinstance(c, IntegerSynapses) else c for c in group]
        )
    return found


def membranes(state: State) -> dict[str, Array]:
    """The Vars of a network that are states, by name; views of a state with one sample."""
    v_mem = _numbered("v_mem", [u[0] for u in state.v_mem])
    v_ghost = _numbered("v_ghost", [v[0] for v in state.v_ghost])
    return v_mem | v_ghost | _numbered("error", [e[0] for e in state.error])


def _numbered(name: str, arrays: Iterable[Array]) -> dict[str, Array]:
    return {f"{name}{k}": array for k, array in enumerate(arrays, start=1)}


class Has(NamedTuple):
    """What a graph has, beside layers: feedback, ghosts, whether these have connections of their own, and errors."""

    feedback: bool
    ghosts: bool
    predicting: bool
    errors: bool = False

    @classmethod
    def of(cls, graph: Graph, course: AnyCourse | None) -> "Has":
        """What `graph` has, with a course or without."""
        return cls(graph.has_feedback, graph.has_ghosts, graph.predicts, errors_come_down(graph, course))

    @property
    def title(self) -> str:
        """How classes of this family begin."""
        if self.ghosts:
            return "Ghost" if self.predicting else "ReplicatingGhost"
        if self.errors:
            return "Error"
        return "Feedback" if self.feedback else "Feedforward"

    @property
    def letters(self) -> tuple[str, ...]:
        """Vars of each hidden layer, beside W, b and v_mem."""
        return (
            *("B" * (self.feedback or self.errors)),
            *("GcI" * self.predicting),
            *(("v_ghost",) if self.ghosts else ()),
        )


def var_names(hidden: int, has: Has) -> list[str]:
    """Names of the Vars of a network with `hidden` hidden layers."""
    of_layers = ("W", "b", "v_mem", *(("error",) if has.errors else ()))
    deep = [f"{name}{k}" for name in of_layers for k in range(1, hidden + 2)]
    return deep + [f"{name}{k}" for name in has.letters for k in range(1, hidden + 1)]


CLASSES: dict[tuple[int, Has], type[GhostNetwork]] = {}
"""The classes that were asked for, by their number of hidden layers and what they have. The files of models, which
Lava executes for each compilation, define a model for each."""


def class_of(graph: Graph, course: AnyCourse | None = None) -> type[GhostNetwork]:
    """The class of networks with as many layers as `graph`, and with what it has."""
    key = hidden, has = graph.depth - 1, Has.of(graph, course)
    if key not in CLASSES:
        text = f"{has.title} network with {hidden} hidden layers."
        body = {"__module__": __name__, "__doc__": text}
        CLASSES[key] = type(f"{has.title}Network{hidden}", (GhostNetwork,), body)
    return CLASSES[key]


def ghost_network(
    graph: Graph,
    numbers: AnyNumbers,
    course: AnyCourse | None = None,
    *,
    first: int = 0,
    lessons: Lessons | None = None,
    export_after: Collection[int] = (),
    record: Sequence[int] = (),
    record_every: int = 1,
) -> Any:
    """The Lava process of `graph`, not yet connected; see `GhostNetwork`.

    With `Integers`, `session.configuration(model, fixed=True)` runs it. Projections of other kinds than dense are their
    exact matrices. Raises `SpecError` for these with a course: Lava learns matrices.
    """
    if course is not None:
        check_dense(graph)
    elif graph.carries_errors:
        graph, numbers = forward_only(graph, numbers)
    graph, numbers = matrices(graph, numbers)
    return class_of(graph, course)(
        graph=graph,
        numbers=numbers,
        course=course,
        first=first,
        lessons=lessons,
        export_after=export_after,
        record=record,
        record_every=record_every,
    )
