"""What a kind of projection is: its products, and nothing else knows how its weights make connections.

    apply               out <- alpha W x + beta out                 x (batch, n_pre),  out (batch, n_post)
    apply_transposed    out <- alpha W^T y + beta out               y (batch, n_post), out (batch, n_pre)
    correlate           out <- alpha dL/dw + beta out               w's shape; sum over the batch of post pre^T, in w
    matrix              W itself, (n_post, n_pre), exact

Engines, `dynamics.step` and the optimiser ask for these and see no matrix; where a target knows matrices only
(integers, Lava, most exporters), `matrix` is what it gets. A kind is one file: a class with the attributes of `Kind`,
registered with `register`, or in a package of its own:

    [project.entry-points."lavaghost.kinds"]
    mine = "my_package.my_module:kind"

`tests/conformance/test_kinds.py` checks every registered kind.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from lavaghost.numbers.arithmetic import Array

Shape = tuple[int, ...]


@runtime_checkable
class Products(Protocol):
    """A kind between two populations; see the equations above.

    shape   of its weights w
    fan_in  synapses onto one unit, which set the scale of initial weights
    """

    @property
    def shape(self) -> Shape:
        """Of the weights w."""
        ...

    @property
    def fan_in(self) -> int:
        """Synapses onto one unit."""
        ...

    def apply(self, w: Array, x: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """`out = alpha W x + beta out`, in place."""
        ...

    def apply_transposed(self, w: Array, y: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """`out = alpha W^T y + beta out`, in place."""
        ...

    def correlate(self, post: Array, pre: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """`out = alpha * (sum over the batch of post pre^T, as a change of w) + beta out`, in place."""
        ...

    def product(self, w: Array, x: Array) -> Array:
        """`W x`, `(batch, n_post)`, in the type of its arguments: what a step in time delivers."""
        ...

    def product_transposed(self, w: Array, y: Array) -> Array:
        """`W^T y`, `(batch, n_pre)`."""
        ...

    def matrix(self, w: Array) -> Array:
        """W `(n_post, n_pre)`; a projection of the same weights, exactly."""
        ...


@runtime_checkable
class Kind(Protocol):
    """A kind of projection, by its name."""

    @property
    def name(self) -> str:
        """What it is called in a network's `kinds`."""
        ...

    def between(self, pre: Shape, post: Shape) -> Products:
        """Its products between populations of these shapes. Raises `SpecError` for shapes it cannot connect."""
        ...


class ByMatrix:
    """All products of a kind from its matrix and from `gather`, which sums a matrix of changes into the weights.

    The slow and sure way: a new kind may start from it and replace one product after the other.
    """

    def matrix(self, w: Array) -> Array:
        """See `Products`."""
        raise NotImplementedError

    def gather(self, changes: Array) -> Array:
        """`changes (n_post, n_pre)` of the matrix, as a change of w: the adjoint of `matrix`."""
        raise NotImplementedError

    def apply(self, w: Array, x: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return _into(out, self.product(w, x), alpha, beta)

    def apply_transposed(self, w: Array, y: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return _into(out, self.product_transposed(w, y), alpha, beta)

    def correlate(self, post: Array, pre: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return _into(out, self.gather(post.T @ pre), alpha, beta)

    def product(self, w: Array, x: Array) -> Array:
        """See `Products`."""
        return x @ self.matrix(w).T

    def product_transposed(self, w: Array, y: Array) -> Array:
        """See `Products`."""
        return y @ self.matrix(w)


def _into(out: Array, found: Array, alpha: float, beta: float) -> Array:
    if beta == 0.0:
        np.multiply(found, out.dtype.type(alpha), out=out)
        return out
    out *= out.dtype.type(beta)
    scaled: Any = found * out.dtype.type(alpha)
    out += scaled
    return out
