"""Kinds of projections such as third parties write: weights that are shared, and weights that are few."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from lavaghost.net.kinds import KINDS, ByMatrix, Kind, Shape
from lavaghost.numbers.arithmetic import Array


@dataclass(frozen=True)
class CirculantProducts(ByMatrix):
    """One weight for each distance from pre to post, modulo the larger of both sizes: W_ji = w_(j - i)."""

    n_pre: int
    n_post: int

    @property
    def shape(self) -> Shape:
        """One row."""
        return (max(self.n_pre, self.n_post),)

    @property
    def fan_in(self) -> int:
        """All of the layer below."""
        return self.n_pre

    def _distance(self) -> Array:
        return (np.arange(self.n_post)[:, None] - np.arange(self.n_pre)) % self.shape[0]

    def matrix(self, w: Array) -> Array:
        """See `Products`."""
        return w[self._distance()]

    def gather(self, changes: Array) -> Array:
        """See `ByMatrix`: the sum over all that share a weight."""
        found = np.zeros(self.shape, changes.dtype)
        np.add.at(found, self._distance(), changes)
        return found


@dataclass(frozen=True)
class LocalProducts(ByMatrix):
    """`width` synapses onto each unit, from neighbours of its place in the layer below: w is (n_post, width).

    What it delivers is summed without the matrix.
    """

    n_pre: int
    n_post: int
    width: int

    @property
    def shape(self) -> Shape:
        """(n_post, width)."""
        return (self.n_post, self.width)

    @property
    def fan_in(self) -> int:
        """width."""
        return self.width

    def _sources(self) -> Array:
        middle = np.arange(self.n_post) * self.n_pre // self.n_post
        return (middle[:, None] + np.arange(self.width)) % self.n_pre

    def matrix(self, w: Array) -> Array:
        """See `Products`."""
        found = np.zeros((self.n_post, self.n_pre), w.dtype)
        found[np.arange(self.n_post)[:, None], self._sources()] = w
        return found

    def gather(self, changes: Array) -> Array:
        """See `ByMatrix`."""
        return changes[np.arange(self.n_post)[:, None], self._sources()]

    def product(self, w: Array, x: Array) -> Array:
        """See `Products`."""
        return np.einsum("bjs,js->bj", x[:, self._sources()], w)


@dataclass(frozen=True)
class CirculantKind:
    """See `Kind`."""

    name: str = "toy-circulant"

    def between(self, pre: Shape, post: Shape) -> CirculantProducts:
        """See `Kind`; any shapes, flat."""
        return CirculantProducts(math.prod(pre), math.prod(post))


@dataclass(frozen=True)
class LocalKind:
    """See `Kind`."""

    name: str = "toy-local"
    width: int = field(default=3)

    def between(self, pre: Shape, post: Shape) -> LocalProducts:
        """See `Kind`; any shapes, flat."""
        return LocalProducts(math.prod(pre), math.prod(post), min(self.width, math.prod(pre)))


TOYS: tuple[Kind, ...] = (CirculantKind(), LocalKind())


@contextmanager
def known(*kinds: Kind) -> Iterator[None]:
    """While the block runs, these kinds can be named."""
    for kind in kinds:
        KINDS.register(kind.name, kind)
    try:
        yield
    finally:
        for kind in kinds:
            del KINDS._known[kind.name]
