"""What a graph asks of a chip in one phase: populations, and the shares of their inputs that projections bring.

For inference it is the feedforward part of the graph, for learning all of it; every copy of a weight is a synapse
of its own, because no chip lets two places share one. It is made from shapes alone, so a network of 10^8 synapses
is a list of a dozen shares. The partition adds relays to it, and cuts shares for them.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from lavaghost.base.names import Phase
from lavaghost.net.graph import Graph, Path, Population, Projection
from lavaghost.net.kinds import KINDS

MOST_ENTRIES = 4_000_000
"""A matrix of more is not looked at for where its synapses are."""


class Reach(NamedTuple):
    """Synapses of a projection: all, the most onto one neuron, and whether neuron i hears neuron i and no other."""

    synapses: int
    fan_in: int
    aligned: bool = False


REACHES = {
    "dense": lambda pre, post: Reach(pre * post, pre),
    "one_to_one": lambda pre, post: Reach(post, 1, aligned=True),
}
"""By kind, from the numbers of neurons."""


def reach_of(graph: Graph, projection: Projection) -> Reach:
    """Of a projection, by its kind.

    A kind of a package may say how many synapses it has by a method `synapses(pre, post)`; of others the matrix is
    looked at, and where that is too large, all to all is counted.
    Raises `SpecError` if the kind cannot connect so many neurons.
    """
    ends = graph.population(projection.source).size, graph.population(projection.target).size
    if projection.path == "feedforward":
        graph.products(projection)  # which asks the kind whether it connects them
    if (known := REACHES.get(projection.kind)) is not None:
        return known(*ends)
    return _looked_at(projection.kind, *ends, projection.transposed)


@lru_cache(maxsize=256)
def _looked_at(kind: str, n_pre: int, n_post: int, transposed: bool) -> Reach:
    ends = ((n_post,), (n_pre,)) if transposed else ((n_pre,), (n_post,))
    found = KINDS.find(kind)
    products = found.between(*ends)
    if (count := getattr(found, "synapses", None)) is not None:
        synapses = int(count(*ends))
        return Reach(synapses, -(-synapses // n_post) if transposed else min(n_pre, products.fan_in))
    if n_pre * n_post > MOST_ENTRIES:
        return REACHES["dense"](n_pre, n_post)
    # weights of no special values, so that a zero is a place without a synapse
    weights = np.random.default_rng(0).uniform(1.0, 2.0, products.shape)
    there = products.matrix(weights) != 0
    onto = np.count_nonzero(there, axis=0 if transposed else 1)
    return Reach(int(onto.sum()), int(onto.max(initial=0)))


@dataclass(frozen=True)
class Share:
    """What `n_pre` neurons of `source`, from neuron `first` on, bring to the `n_post` of `target`.

    path is that of the projection, or `partial_sum` from a relay; synapses, fan_in and aligned as in `Reach`.
    """

    source: str
    target: str
    path: Path | Literal["partial_sum"]
    n_pre: int
    n_post: int
    synapses: int
    fan_in: int
    aligned: bool = False
    plastic: bool = False
    first: int = 0

    def onto(self, n: int) -> tuple[int, int]:
        """Input axons of a core with `n` of the target's neurons, at most, and the synapses that they reach there."""
        if self.aligned:
            return n, n
        synapses = min(self.synapses, n * self.fan_in)
        return min(self.n_pre, synapses), synapses

    def cut(self, target: str, first: int, n_pre: int) -> "Share":
        """A part of it, for a relay: that of `n_pre` neurons from `first` on."""
        return replace(
            self,
            target=target,
            first=first,
            n_pre=n_pre,
            synapses=-(-self.synapses * n_pre // self.n_pre),
            fan_in=min(self.fan_in, n_pre),
        )


@dataclass(frozen=True)
class Demand:
    """The part of `graph` that `phase` needs, and the relays that a chip needs besides.

    A relay is as large as the population whose input it adds up a part of, and is called after it, with a colon.
    """

    graph: Graph
    phase: Phase
    asked: tuple[Population, ...]
    shares: tuple[Share, ...]
    relays: tuple[Population, ...] = ()

    @property
    def unbounded(self) -> bool:
        """Whether hidden units are plain relu units, as sigma-delta neurons are."""
        return self.graph.activation == "relu" and self.graph.saturation is None

    @property
    def populations(self) -> tuple[Population, ...]:
        """All, inputs and relays too."""
        return (*self.asked, *self.relays)

    @property
    def on_chip(self) -> tuple[Population, ...]:
        """Populations that take room on cores; inputs come from outside."""
        return tuple(p for p in self.populations if p.role != "input")

    def size(self, name: str) -> int:
        """Neurons of a population."""
        return next(p.size for p in self.populations if p.name == name)

    def into(self, name: str) -> tuple[Share, ...]:
        """Shares that a population gets."""
        return tuple(s for s in self.shares if s.target == name)

    def out_of(self, name: str) -> tuple[Share, ...]:
        """Shares that a population brings."""
        return tuple(s for s in self.shares if s.source == name)

    def relays_of(self, name: str) -> tuple[Population, ...]:
        """The relays of a population."""
        return tuple(r for r in self.relays if r.name.startswith(f"{name}:"))

    def during(self, paths: Collection[str]) -> "Demand":
        """The same while the projections of other paths are silent; relays pass on what they get."""
        heard = tuple(s for s in self.shares if s.path in paths or s.path == "partial_sum")
        return replace(self, shares=heard)

    @property
    def neurons(self) -> int:
        """Neurons on the chip, ghosts and relays included."""
        return sum(p.size for p in self.on_chip)

    @property
    def synapses(self) -> int:
        """All synapses."""
        return sum(s.synapses for s in self.shares)

    @property
    def plastic_synapses(self) -> int:
        """Those whose weights change; frozen layers have static ones, and so has what is a copy of them."""
        return sum(s.synapses for s in self.shares if s.plastic)


def demand_of(graph: Graph, phase: Phase) -> Demand:
    """What `graph` asks for in one phase. Names are those of the manifest: `hidden.1`, `ghost.1`."""
    learning = phase == "learning"
    asked = tuple(p for p in graph.populations if learning or p.role != "ghost")
    wanted = graph.projections if learning else graph.along("feedforward")
    return Demand(graph, phase, asked, tuple(_share(graph, p, learning) for p in wanted))


def _share(graph: Graph, projection: Projection, learning: bool) -> Share:
    return Share(
        projection.source,
        projection.target,
        projection.path,
        graph.population(projection.source).size,
        graph.population(projection.target).size,
        *reach_of(graph, projection),
        plastic=learning and projection.plastic,
    )


def resized(demand: Demand, name: str, n: int) -> Demand:
    """The same with `n` neurons in one population, without relays."""
    populations = tuple(
        p.model_copy(update={"size": n}) if p.name == name else p for p in demand.graph.populations
    )
    return demand_of(replace(demand.graph, populations=populations), demand.phase)
