"""All to all: w is the matrix W `(n_post, n_pre)`. One BLAS call for each product."""

import math
from dataclasses import dataclass

from lavaghost.net.kinds.products import Shape
from lavaghost.numbers.arithmetic import Array, gemm


@dataclass(frozen=True)
class DenseProducts:
    """See `Products`."""

    n_pre: int
    n_post: int

    @property
    def shape(self) -> Shape:
        """(n_post, n_pre)."""
        return (self.n_post, self.n_pre)

    @property
    def fan_in(self) -> int:
        """n_pre."""
        return self.n_pre

    def apply(self, w: Array, x: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return gemm(x, w, out, alpha=alpha, beta=beta, trans_b=True)

    def apply_transposed(self, w: Array, y: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return gemm(y, w, out, alpha=alpha, beta=beta)

    def correlate(self, post: Array, pre: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> Array:
        """See `Products`."""
        return gemm(post, pre, out, alpha=alpha, beta=beta, trans_a=True)

    def product(self, w: Array, x: Array) -> Array:
        """See `Products`."""
        return x @ w.T

    def product_transposed(self, w: Array, y: Array) -> Array:
        """See `Products`."""
        return y @ w

    def matrix(self, w: Array) -> Array:
        """See `Products`: w itself."""
        return w


@dataclass(frozen=True)
class DenseKind:
    """See `Kind`."""

    name: str = "dense"

    def between(self, pre: Shape, post: Shape) -> DenseProducts:
        """See `Kind`; any shapes, flat."""
        return DenseProducts(math.prod(pre), math.prod(post))


kind = DenseKind()
