"""`GhostNetwork`: the network of docs/theory.md as one Lava process, a class for each depth.

Lava wants the names of a process's Vars and of its model's attributes to be equal, so the number of layers is
fixed in a class; `ghost_network` takes the right one. Ghosts of mechanism `online` have no connections of
their own, and so a family of classes of their own.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavaghost.dynamics import Parameters, State, Wiring, start_trial, wire
from lavaghost.lava.phases import Lessons
from lavaghost.lava.vectors import flat_size, record_size
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Arithmetic, Array, Float
from lavaghost.numbers.loihi import Synapses
from lavaghost.online.integers.integer_course import AnyCourse

MAX_HIDDEN = 62
"""Hidden layers of the deepest network that `spec.Network` accepts."""
LETTERS = dict(zip(Parameters._fields, "WbBGcI", strict=True))
"""The letter of the Vars of a field of `Parameters`."""
PIPE = 64
"""Records that the pipe to the host holds before the network has to wait for the host."""


class GhostNetwork(AbstractProcess):
    """A ghost network of L weight layers. Vars are numbered from layer 1; all numbers are those of `arith`.

    `params` are real numbers, whatever `arith` makes of them. In integers, messages are graded spikes, and y_in and
    r_out are states, full-resolution membranes of the output.

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
    B1..    (n_k, n_{k+1})   feedback; tied, it shows W_{k+1}^T
    G1..    (n_{k+1}, n_k)   c1..  (n_{k+1},)   I1..  (n_k, n_{k+1})   ghosts; duplicates show W, b, B
    v_ghost1..               (n_{k+1},), or (n_k,) for online ghosts, which have no G, c, I

    Two models compute the same numbers: a fused one, and one that is a network of Lava processes (`decomposed`);
    a run configuration chooses, with `select_sub_proc_model`.
    """

    def __init__(
        self,
        *,
        network: Network,
        params: Parameters,
        course: AnyCourse | None = None,
        arith: Arithmetic | None = None,
        first: int = 0,
        lessons: Lessons | None = None,
        export_after: Collection[int] = (),
        record: Sequence[int] = (),
        record_every: int = 1,
    ) -> None:
        arith = Float() if arith is None else arith
        super().__init__(
            network=network,
            params=params,
            arith=arith,
            course=course,
            first=first,
            lessons=lessons,
            export_after=frozenset(export_after),
            record=tuple(record),
            record_every=record_every,
        )
        sizes = network.layers
        self.x_in = InPort(shape=(sizes[0],))
        self.y_in = InPort(shape=(sizes[-1],))
        self.nudge_in = InPort(shape=(1,))
        self.r_out = OutPort(shape=(sizes[-1],))
        self.params_out = OutPort(shape=(flat_size(network),))
        self.record_out = OutPort(shape=(max(1, record_size(network, record)),))
        net = wire(network, params, arith)
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
    groups = (net.weights, net.biases, net.feedback, net.ghost_weights, net.ghost_biases, net.inhibition)
    found = {}
    for letter, group in zip("WbBGcI", groups, strict=True):
        found |= _numbered(letter, [c.integers() if isinstance(c, Synapses) else c for c in group])
    return found


def membranes(state: State) -> dict[str, Array]:
    """The Vars of a network that are membranes, by name; views of a state with one sample."""
    v_mem = _numbered("v_mem", [u[0] for u in state.v_mem])
    return v_mem | _numbered("v_ghost", [v[0] for v in state.v_ghost])


def _numbered(name: str, arrays: Iterable[Array]) -> dict[str, Array]:
    return {f"{name}{k}": array for k, array in enumerate(arrays, start=1)}


def var_names(hidden: int, online: bool) -> list[str]:
    """Names of the Vars of a network with `hidden` hidden layers."""
    deep = [f"{name}{k}" for name in ("W", "b", "v_mem") for k in range(1, hidden + 2)]
    ghosts = ("B", "v_ghost") if online else ("B", "G", "c", "I", "v_ghost")
    return deep + [f"{name}{k}" for name in ghosts for k in range(1, hidden + 1)]


def _define(hidden: int, online: bool) -> type[GhostNetwork]:
    name = f"{'Online' if online else ''}GhostNetwork{hidden}"
    text = f"{'Online ghosts' if online else 'Ghosts'} in {hidden} hidden layers."
    return type(name, (GhostNetwork,), {"__module__": __name__, "__doc__": text})


CLASSES = {
    (hidden, online): _define(hidden, online) for hidden in range(1, MAX_HIDDEN + 1) for online in (False, True)
}
"""The class for a number of hidden layers, and for online ghosts or others."""


def ghost_network(
    network: Network,
    params: Parameters,
    course: AnyCourse | None = None,
    arith: Arithmetic | None = None,
    *,
    first: int = 0,
    lessons: Lessons | None = None,
    export_after: Collection[int] = (),
    record: Sequence[int] = (),
    record_every: int = 1,
) -> Any:
    """The Lava process of `network`, not yet connected; see `GhostNetwork`.

    `arith` is `Float()` unless it is given; with a `loihi.Loihi`, `session.configuration(model, fixed=True)` runs it.
    """
    process = CLASSES[network.depth - 1, network.mechanism == "online"]
    return process(
        network=network,
        params=params,
        course=course,
        arith=arith,
        first=first,
        lessons=lessons,
        export_after=export_after,
        record=record,
        record_every=record_every,
    )
