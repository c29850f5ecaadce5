"""A ghost network as a chip sees it: populations of neurons and the connections between them.

It is made from `spec.Network` alone, so it has shapes and no weights, and a network of 10^8 synapses is a list
of a dozen nodes. For inference it is the feedforward network; for learning the ghosts, their connections and the
feedback come in, and every copy of a weight is a synapse of its own, because no chip lets two places share one.

A new kind of node is a class, with one function registered in `usage.usage`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from lavaghost.base.names import Phase
from lavaghost.net.spec import Network

Role = Literal["input", "hidden", "output", "ghost", "relay"]
Kind = Literal["feedforward", "feedback", "ghost_in", "inhibition", "partial_sum"]


@dataclass(frozen=True)
class Population:
    """`size` neurons of one role. Inputs lie outside the chip; a relay adds up a part of another one's input."""

    name: str
    role: Role
    size: int

    @property
    def on_chip(self) -> bool:
        """Whether its neurons take room on a core."""
        return self.role != "input"


@dataclass(frozen=True)
class Dense:
    """All of `n_pre` neurons of `source`, from neuron `first` on, to each of the `n_post` of `target`."""

    source: str
    target: str
    kind: Kind
    n_pre: int
    n_post: int
    plastic: bool = False
    first: int = 0

    @property
    def synapses(self) -> int:
        """Their number."""
        return self.n_pre * self.n_post


@dataclass(frozen=True)
class OneToOne:
    """Neuron i of `source` to neuron i of `target`; there are `n_post` of each."""

    source: str
    target: str
    kind: Kind
    n_post: int
    plastic: bool = False

    @property
    def synapses(self) -> int:
        """Their number."""
        return self.n_post


Connection = Dense | OneToOne


@dataclass(frozen=True)
class Graph:
    """Populations and connections of one phase.

    countable    its hidden units are plain relu units, whose rates can be sent as a number of spikes
    """

    phase: Phase
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    countable: bool = True

    def into(self, name: str) -> tuple[Connection, ...]:
        """Connections to a population."""
        return tuple(c for c in self.connections if c.target == name)

    def out_of(self, name: str) -> tuple[Connection, ...]:
        """Connections from a population."""
        return tuple(c for c in self.connections if c.source == name)

    @property
    def on_chip(self) -> tuple[Population, ...]:
        """Populations that take room on cores."""
        return tuple(p for p in self.populations if p.on_chip)

    def forward(self) -> "Graph":
        """The same network for inference."""
        populations = tuple(p for p in self.populations if p.role != "ghost")
        connections = [replace(c, plastic=False) for c in self.connections if c.kind == "feedforward"]
        return Graph("inference", populations, tuple(connections), self.countable)

    @property
    def neurons(self) -> int:
        """Neurons on the chip, ghosts and relays included."""
        return sum(p.size for p in self.on_chip)

    @property
    def synapses(self) -> int:
        """All synapses."""
        return sum(c.synapses for c in self.connections)


def build(network: Network, phase: Phase) -> Graph:
    """The nodes of `network` for one phase. Names are those of the manifest: `hidden.1`, `ghost.1`."""
    n, depth, learning = network.layers, network.depth, phase == "learning"
    names = ["input", *(f"hidden.{k}" for k in range(1, depth)), "output"]
    populations = [Population("input", "input", n[0])]
    populations += [Population(names[k], "hidden", n[k]) for k in range(1, depth)]
    populations.append(Population("output", "output", n[depth]))
    connections: list[Connection] = [
        Dense(names[k - 1], names[k], "feedforward", n[k - 1], n[k], plastic=learning)
        for k in range(1, depth + 1)
    ]
    countable = network.activation == "relu" and network.saturation is None
    if not learning:
        return Graph(phase, tuple(populations), tuple(connections), countable)
    tied = network.feedback == "tied"
    for k in range(1, depth):
        ghost = f"ghost.{k}"
        # tied feedback, and each copy of it, must follow the weights that it is the transpose of
        connections.append(Dense(names[k + 1], names[k], "feedback", n[k + 1], n[k], plastic=tied))
        if network.mechanism == "online":
            populations.append(Population(ghost, "ghost", n[k]))
            connections.append(Dense(names[k + 1], ghost, "ghost_in", n[k + 1], n[k], plastic=tied))
            connections.append(OneToOne(ghost, names[k], "inhibition", n[k]))
            continue
        plastic = tied or network.mechanism == "learned"
        populations.append(Population(ghost, "ghost", n[k + 1]))
        connections.append(Dense(names[k], ghost, "ghost_in", n[k], n[k + 1], plastic=True))
        connections.append(Dense(ghost, names[k], "inhibition", n[k + 1], n[k], plastic=plastic))
    return Graph(phase, tuple(populations), tuple(connections), countable)
