"""What a method of credit assignment is: a value that says what it needs, and what a batch of samples changes.

    graph = method.graph(network)                     which feedback or ghosts it puts beside a network
    state = method.init(graph, params, rng)           arrays of its own, by name; `shapes` says which
    work = method.prepare(graph, learning)            engines and buffers: nothing that is saved
    changes, state = method.update(work, params, state, batch)

Checkpoint, bundle and diagnostics take the live method with its state, so what a method keeps in `state` or in
tensors of its graph is resumed, saved and judged as it is. All that is random in it comes from `batch.moment`, and so
is a function of seed, epoch and batch.

To add one, subclass `Method` in a file of its own and hand it to `train(..., method=Mine())`, or register the class:

    [project.entry-points."lavaghost.methods"]
    mine = "my_package.my_module:Mine"

`tests/conformance/test_methods.py` checks every registered method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from lavaghost.base.names import Engine, FeedbackKind
from lavaghost.base.spec import Spec
from lavaghost.dynamics.errors import Sent
from lavaghost.methods import footprint
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.methods.learning import usual_eta
from lavaghost.net.graph import Graph, feedforward
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

OwnState = Mapping[str, Array]
"""A method's own arrays by name, without dots."""


class Needs(NamedTuple):
    """What a method asks of a run; what does not go together is refused before anything is computed.

    feedback    what its hidden layers are fed back through
    ghosts      whether its feedback is cancelled by ghosts
    engines     engines that it learns on
    arithmetics number systems that it learns in
    losses      what its output can be compared with a target by
    why         of engines that it lacks: what keeps it from them, and what to use there
    """

    feedback: FeedbackKind = "none"
    ghosts: bool = False
    engines: tuple[Engine, ...] = ("equilibrium", "stepped")
    arithmetics: tuple[str, ...] = ("float",)
    losses: tuple[str, ...] = ("cross_entropy", "squared_error")
    why: str = ""


class Moment(NamedTuple):
    """When a method is asked: seed of the run, epoch and batch from 0 (pre-training and probes have their own)."""

    seed: int
    epoch: int
    batch: int

    def rng(self, stream: int = 0) -> np.random.Generator:
        """Random numbers of this moment, as many streams as wanted; none is used by anything else."""
        return np.random.default_rng([METHOD_STREAM, self.seed, self.epoch, self.batch, stream])


Teacher = Callable[[Array, Array, Moment], Sent]
"""What the output sends down, of its rates and targets `(batch, n_L)`, and when. Frozen and picklable, for cells."""

METHOD_STREAM = 7
"""First word of the seeds of methods; the order of samples has two words, the seed and the epoch."""
PROBE_EPOCH = 2**33
"""The epoch of a probe."""


Purpose = Literal["train", "pretrain", "probe"]
"""What a batch is for, see `Batch`."""


class Batch(NamedTuple):
    """Samples `x (batch, n_0)` with targets `target (batch, n_L)`, and what they are for.

    train     the network learns
    pretrain  only what belongs to the method learns
    probe     nothing learns: what would change is measured, also where learning would wait
    """

    x: Array
    target: Array
    moment: Moment
    purpose: Purpose = "train"


class Factors(NamedTuple):
    """A change before it is multiplied out: `gain * mean over the batch of post^T pre`; of the biases, `post` alone."""

    post: Array
    pre: Array
    gain: float


@dataclass(frozen=True)
class Changes:
    """What a batch changes.

    factors   for the optimiser, by tensor: `weights.k`, with the biases of that layer, or a feedback tensor of a
              method that learns it
    add       arrays added to other tensors of the graph after the optimiser's step
    follow    tensors that make the step of another one, by name, after that

    Without factors the network waits.
    """

    factors: Mapping[str, Factors] = field(default_factory=dict)
    add: Mapping[str, Array] = field(default_factory=dict)
    follow: Mapping[str, str] = field(default_factory=dict)


class Method(Spec):
    """A method with no needs and no state; see the module. Its fields are its settings, `name` what it is called.

    Example: `class Mine(Method): name: ClassVar[str] = "mine"`.
    """

    name: ClassVar[str] = ""

    @property
    def core(self) -> "Method":
        """What assigns credit: the method itself, or the one that it modulates."""
        return self

    @property
    def called(self) -> str:
        """What messages call it: its name, and that of its core if it is another one."""
        return repr(self.name) if self.core is self else f"{self.name!r} of {self.core.name!r}"

    @property
    def needs(self) -> Needs:
        """What it asks of a run."""
        return Needs()

    def graph(self, network: Network) -> Graph:
        """The network with all that the method puts beside it; a network alone unless it says otherwise."""
        return feedforward(network)

    def faults(self, graph: Graph) -> list[str]:
        """What its settings cannot do with this graph, a line each; nothing unless it says otherwise."""
        return []

    def teacher(self, graph: Graph) -> Teacher | None:
        """What its output sends in time, where errors come down a layer a step (`dynamics.errors`).

        By that alone it learns on engines that step. None, unless it says otherwise: it learns in another way.
        """
        return None

    def shapes(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays of its state; none unless it says otherwise."""
        return {}

    def init(self, graph: Graph, params: Parameters, rng: np.random.Generator) -> OwnState:
        """The state before the first batch: zeros, unless it says otherwise."""
        return {name: np.zeros(shape, params.weights[0].dtype) for name, shape in self.shapes(graph).items()}

    def pretrain_batches(self, graph: Graph) -> int:
        """Batches for itself before the first epoch."""
        return 0

    def prepare(self, graph: Graph, learning: Any) -> Any:
        """Engines and buffers for batches of `learning.batch_size`; nothing in it is saved."""
        return None

    def update(self, work: Any, params: Parameters, state: OwnState, batch: Batch) -> tuple[Changes, OwnState]:
        """What `batch` changes, and the state after it. Neither `params` nor `state` is changed."""
        raise NotImplementedError

    def figures(self, work: Any, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """Measured figures for a row of history, on a probe; whatever JSON can hold."""
        return {}

    def reference(self, graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array] | None:
        """What its changes of W_1..W_L are compared with; None is the negative gradient of the network's loss."""
        return None

    def footprint(self, graph: Graph) -> Footprint:
        """What a training sample needs on a chip; a forward pass and the change unless it says otherwise."""
        phases = (Stretch("forward", graph.depth + 1, ("feedforward",)),)
        return Footprint(phases, ("rate",), "the rate before it, and one signal behind it", signed=True)

    def operations(self, graph: Graph, learning: Any) -> int:
        """Multiplications of weights for one training sample, as they are made here by `learning.engine`.

        A forward pass and the change unless it says otherwise.
        """
        return footprint.forward(graph) + footprint.learning(graph)

    def usual_eta(self, depth: int) -> float:
        """The step that goes with L = `depth` layers, for where none is named."""
        return usual_eta(depth)

    def remedy(self, broken: Sequence[str]) -> str:
        """What to lower where its own steps before the first epoch left the finite numbers in the tensors `broken`.

        Empty where the steps of the weights are to blame, as they are unless it says otherwise.
        """
        return ""

    def settings(self) -> dict[str, Any]:
        """The method as plain values: its name, then its settings."""
        return {"name": self.name, **self.model_dump(mode="json")}
