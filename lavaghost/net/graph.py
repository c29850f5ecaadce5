"""The graph: populations and projections, the one description that every room reads.

    input -> hidden.1 -> ... -> output      feedforward projections W_k, in this order
    layer k + 1 -> hidden.k                 feedback B_k, where the method has it: onto the membranes (path feedback),
                                            or onto a state of its own that holds an error (path error)
    ... -> ghost.k -> hidden.k              ghosts, where the method has them: what excites them, what they inhibit

`feedforward(network)` is a network alone. A method that needs more says so in its own `graph(network)`; the ghosts'
wiring is in `methods.ghost.mechanisms`. Engines, integers, Lava, chips, exporters, manifests and pictures ask a graph
what is there, and never which method or mechanism put it there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from lavaghost.base.names import Activation, Feedback, Loss
from lavaghost.base.spec import Count, Positive, Spec, Text
from lavaghost.net.kinds import KINDS, Products
from lavaghost.net.network import Network, Schedule

Role = Literal["input", "hidden", "output", "ghost"]
Path = Literal["feedforward", "feedback", "error", "ghost", "inhibition"]


class Population(Spec):
    """Units of one role. `bias` names a tensor; a copy's is that of the layer which it copies."""

    name: Text
    role: Role
    size: Count
    activation: Literal["linear", "relu", "hard_sigmoid"]
    bias: Text | None = None


class Projection(Spec):
    """Connections from one population to another, by way of a `kind`.

    path      feedforward, feedback (onto the membrane), error (onto a state of its own, which the membrane does not
              feel), ghost (onto a ghost) or inhibition (what its target subtracts)
    tensor    whose numbers these are; none for a kind without weights
    own       whether the tensor is this projection's; else it is a copy, on a chip a synapse of its own
    transposed   it delivers W^T of that tensor
    plastic   whether its numbers change while the network learns, be it as a copy of what does
    """

    source: Text
    target: Text
    path: Path
    kind: Text = "dense"
    tensor: Text | None = None
    own: bool = True
    transposed: bool = False
    plastic: bool = False

    @property
    def name(self) -> str:
        """`source -> target`."""
        return f"{self.source} -> {self.target}"

    @property
    def inhibitory(self) -> bool:
        """Whether the target subtracts what arrives."""
        return self.path == "inhibition"


class Relaxation(Spec):
    """The numbers of a network that relaxes to a fixed point with feedback, and is nudged.

    `lam` is the feedback gain, `beta` the nudging strength.
    """

    lam: Positive = 0.03
    beta: Positive = 0.1
    schedule: Schedule = Schedule()
    free_sweeps: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Sweeps of the equilibrium engine's free phase, where feedback is left over in it."""


@dataclass(frozen=True)
class Graph:
    """A network with all that a method puts beside it. Hashable; equal graphs are interchangeable."""

    network: Network
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    relaxation: Relaxation | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.network, self.populations, self.projections, self.relaxation))

    # ---- the network

    @property
    def layers(self) -> tuple[int, ...]:
        """n_0..n_L."""
        return self.network.layers

    @property
    def depth(self) -> int:
        """L, the number of weight layers."""
        return self.network.depth

    @property
    def r_max(self) -> float:
        """Upper bound of a hidden rate."""
        return self.network.r_max

    @property
    def activation(self) -> Activation:
        """Rate function of hidden layers."""
        return self.network.activation

    @property
    def saturation(self) -> float | None:
        """Upper bound of a relu rate, if it has one."""
        return self.network.saturation

    @property
    def loss(self) -> Loss:
        """What the output is compared with a target by."""
        return self.network.loss

    # ---- feedback and nudge

    @property
    def lam(self) -> float:
        """Feedback gain; 0 without feedback."""
        return 0.0 if self.relaxation is None else self.relaxation.lam

    @property
    def beta(self) -> float:
        """Nudging strength; 0 where nothing nudges."""
        return 0.0 if self.relaxation is None else self.relaxation.beta

    @property
    def schedule(self) -> Schedule:
        """Time. Without feedback a step carries a layer to its end point, and so many steps as layers, the output."""
        if self.relaxation is not None:
            return self.relaxation.schedule
        return Schedule(
            tau_steps=1.0, tau_ghost_steps=1.0, t_free_steps=self.depth + 1, t_nudge_steps=self.depth
        )

    @property
    def free_sweeps(self) -> int:
        """See `Relaxation`; one pass where nothing is left over."""
        return self.relaxation.free_sweeps if self.relaxation is not None and self.leaves_feedback else 1

    # ---- what is there

    @cached_property
    def has_feedback(self) -> bool:
        """Whether the membranes of hidden layers get feedback."""
        return any(p.path == "feedback" for p in self.projections)

    @cached_property
    def carries_errors(self) -> bool:
        """Whether errors come down to hidden layers beside the membranes, as in backprop."""
        return any(p.path == "error" for p in self.projections)

    @cached_property
    def back(self) -> tuple[Projection, ...]:
        """B_1..B_{L-1}, whatever they reach there."""
        return (*self.along("feedback"), *self.along("error"))

    @cached_property
    def tied(self) -> bool:
        """Whether feedback is the transpose of what it feeds back through."""
        return any(p.transposed for p in self.back)

    @cached_property
    def has_ghosts(self) -> bool:
        """Whether ghosts cancel the feedback."""
        return any(p.role == "ghost" for p in self.populations)

    @cached_property
    def predicts(self) -> bool:
        """Whether ghosts stand for the layer above: they hear the layer that they inhibit."""
        heard = {(p.source, p.target) for p in self.projections if p.path == "ghost"}
        return any(p.path == "inhibition" and (p.target, p.source) in heard for p in self.projections)

    @property
    def replicates(self) -> bool:
        """Whether ghosts copy the feedback itself, each beside its neuron, and hold it while a target is given."""
        return self.has_ghosts and not self.predicts

    @cached_property
    def ghosts_learn(self) -> bool:
        """Whether ghosts have weights of their own, which must learn to cancel."""
        return any(p.path == "ghost" and p.own for p in self.projections)

    @property
    def copies(self) -> bool:
        """Whether ghosts are exact copies of the layer above."""
        return self.predicts and not self.ghosts_learn

    @property
    def leaves_feedback(self) -> bool:
        """Whether feedback is left over at the free fixed point."""
        return self.has_feedback and (not self.has_ghosts or self.ghosts_learn)

    @cached_property
    def all_dense(self) -> bool:
        """Whether every projection with weights is dense."""
        return all(p.kind in ("dense", "one_to_one") for p in self.projections)

    def learns(self, k: int) -> bool:
        """Whether the weights and biases of layer k (from 1) learn."""
        return self.network.learns(k)

    # ---- parts, by name

    def layer(self, k: int) -> str:
        """The name of layer k (0 is the input)."""
        return layer_name(self.network, k)

    @cached_property
    def _named(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    def population(self, name: str) -> Population:
        """The population of that name."""
        return self._named[name]

    def into(self, name: str) -> tuple[Projection, ...]:
        """Projections onto a population."""
        return tuple(p for p in self.projections if p.target == name)

    def out_of(self, name: str) -> tuple[Projection, ...]:
        """Projections from a population."""
        return tuple(p for p in self.projections if p.source == name)

    def along(self, path: Path) -> tuple[Projection, ...]:
        """Projections of one path, in order."""
        return tuple(p for p in self.projections if p.path == path)

    def products(self, projection: Projection) -> Products:
        """The products of a projection's tensor, the way that the tensor goes: `transposed` turns them round."""
        pre, post = projection.source, projection.target
        if projection.transposed:
            pre, post = post, pre
        sizes = ((self.population(pre).size,), (self.population(post).size,))
        return KINDS.find(projection.kind).between(*sizes)

    @cached_property
    def up(self) -> tuple[Products, ...]:
        """The products of W_1..W_L."""
        return tuple(self.products(p) for p in self.along("feedforward"))

    @cached_property
    def tensors(self) -> dict[str, Products]:
        """The tensors of projections that have their own, and their products."""
        return {p.tensor: self.products(p) for p in self.projections if p.own and p.tensor is not None}

    # ---- other graphs

    @cached_property
    def forward(self) -> "Graph":
        """The feedforward network alone."""
        return feedforward(self.network)

    def having(self, **changes: Any) -> "Graph":
        """The same wiring with other numbers of its `Relaxation`; nothing of a graph without feedback."""
        if self.relaxation is None:
            return self
        return replace(self, relaxation=self.relaxation.model_copy(update=changes))


def layer_name(network: Network, k: int) -> str:
    """`input`, `hidden.1`.. and `output`."""
    return "input" if k == 0 else "output" if k == network.depth else f"hidden.{k}"


def feedforward(network: Network) -> Graph:
    """A network alone: no feedback, no ghosts."""
    return Graph(network, tuple(layers(network)), tuple(upwards(network)))


def layers(network: Network) -> Iterator[Population]:
    """Input, hidden layers and output."""
    yield Population(name="input", role="input", size=network.layers[0], activation="linear")
    for k in range(1, network.depth + 1):
        last = k == network.depth
        yield Population(
            name=layer_name(network, k),
            role="output" if last else "hidden",
            size=network.layers[k],
            activation="linear" if last else network.activation,
            bias=f"biases.{k}",
        )


def upwards(network: Network) -> Iterator[Projection]:
    """W_1..W_L."""
    for k in range(1, network.depth + 1):
        yield Projection(
            source=layer_name(network, k - 1),
            target=layer_name(network, k),
            path="feedforward",
            kind=network.kind(k),
            tensor=f"weights.{k}",
            plastic=network.learns(k),
        )


def fed_back(
    network: Network,
    feedback: Feedback,
    path: Literal["feedback", "error"] = "feedback",
    direct: bool = False,
) -> list[Projection]:
    """B_1..B_{L-1}: W_{k+1}^T, or a dense tensor of its own, drawn once or learned by the method.

    `direct` ones come from the output alone, `(n_k, n_L)`. One that is learned is frozen with the layer above it.
    """
    found = []
    for k in range(1, network.depth):
        above, here = layer_name(network, network.depth if direct else k + 1), layer_name(network, k)
        if feedback == "tied":
            one = Projection(
                source=above,
                target=here,
                path=path,
                kind=network.kind(k + 1),
                tensor=f"weights.{k + 1}",
                own=False,
                transposed=True,
                plastic=network.learns(k + 1),
            )
        else:
            tensor, learned = f"feedback.{k}", feedback == "learned" and network.learns(k + 1)
            one = Projection(source=above, target=here, path=path, tensor=tensor, plastic=learned)
        found.append(one)
    return found
