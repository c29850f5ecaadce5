"""Unit i to unit i with weight 1: the link of an online ghost to its neuron. It has no weights."""

import math
from dataclasses import dataclass

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.net.kinds.products import ByMatrix, Shape
from lavaghost.numbers.arithmetic import Array


@dataclass(frozen=True)
class OneToOneProducts(ByMatrix):
    """See `Products`; w is empty."""

    n: int

    @property
    def shape(self) -> Shape:
        """No weights."""
        return (0,)

    @property
    def fan_in(self) -> int:
        """One synapse."""
        return 1

    def matrix(self, w: Array) -> Array:
        """See `Products`: the identity."""
        return np.eye(self.n, dtype=w.dtype)

    def gather(self, changes: Array) -> Array:
        """See `ByMatrix`: nothing learns."""
        return np.zeros(0, changes.dtype)

    def product(self, w: Array, x: Array) -> Array:
        """See `Products`."""
        return x

    def product_transposed(self, w: Array, y: Array) -> Array:
        """See `Products`."""
        return y


@dataclass(frozen=True)
class OneToOneKind:
    """See `Kind`."""

    name: str = "one_to_one"

    def between(self, pre: Shape, post: Shape) -> OneToOneProducts:
        """See `Kind`."""
        if math.prod(pre) != math.prod(post):
            raise SpecError(
                f"kind one_to_one: {math.prod(pre)} units to {math.prod(post)}; give both populations one size"
            )
        return OneToOneProducts(math.prod(pre))


kind = OneToOneKind()
