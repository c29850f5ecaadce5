"""Number systems: the only place that knows how numbers round, clip, shift and saturate.

A step of the model is written once, in `dynamics`, in this vocabulary. `Float` is the plain meaning of
each word; a fixed-point chip is another class with the same words.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg import get_blas_funcs

Array = np.ndarray[Any, Any]


class Arithmetic(Protocol):
    """What a step may do to numbers. Arrays are `(batch, n)`, weights `(n_post, n_pre)`."""

    def array(self, values: Any) -> Array:
        """`values` as an array of this number system."""
        ...

    def real(self, states: Array) -> Array:
        """What numbers of this system stand for."""
        ...

    def input(self, x: Any) -> Array:
        """Input rates as the messages of layer 0."""
        ...

    def connection(self, weights: Any, group: str, k: int, products: Any = None) -> Any:
        """`weights` of layer k, as `synapse` takes them; `group` is a field of `Parameters`.

        They are a matrix `(n_post, n_pre)`, or belong to `products` (`net.kinds`).
        """
        ...

    def transposed(self, synapses: Any, k: int) -> Any:
        """The connection W_{k+1} the other way round, as the feedback of hidden layer k."""
        ...

    def zeros(self, *shape: int) -> Array:
        """Zeros of this number system."""
        ...

    def message(self, rate: Array, k: int) -> Array:
        """What a unit of layer k sends when it has this rate."""
        ...

    def synapse(self, weights: Any, rate: Array) -> Array:
        """What a connection delivers for presynaptic messages: `(batch, n_post)`."""
        ...

    def add(self, a: Array, b: Array) -> Array:
        """a + b."""
        ...

    def subtract(self, a: Array, b: Array) -> Array:
        """a - b."""
        ...

    def scale(self, a: Array, gain: float) -> Array:
        """gain * a."""
        ...

    def integrate(self, v_mem: Array, drive: Array, tau_steps: float) -> Array:
        """One Euler step of `tau dv/dt = -v + drive`."""
        ...

    def clip(self, a: Array, low: float, high: float) -> Array:
        """a, held between low and high."""
        ...


@dataclass(frozen=True, eq=False)
class Delivery:
    """A connection in floating point that is no matrix: `values`, the products of their kind, perhaps turned round."""

    products: Any
    values: Array
    turned: bool = False

    def deliver(self, rate: Array) -> Array:
        """W r, or W^T r if it is turned: `(batch, n_post)`."""
        product = self.products.product_transposed if self.turned else self.products.product
        return product(self.values, rate)


@dataclass(frozen=True)
class Float:
    """IEEE floating point, by default in double precision."""

    dtype: DTypeLike = np.float64

    def array(self, values: Any) -> Array:
        """See `Arithmetic`."""
        return np.asarray(values, dtype=self.dtype)

    def real(self, states: Array) -> Array:
        """See `Arithmetic`; themselves."""
        return states

    def input(self, x: Any) -> Array:
        """See `Arithmetic`; the rates themselves."""
        return self.array(x)

    def connection(self, weights: Any, group: str, k: int, products: Any = None) -> Any:
        """See `Arithmetic`; a matrix itself, or what its kind delivers by."""
        values = self.array(weights)
        return values if products is None or products.matrix(values) is values else Delivery(products, values)

    def transposed(self, synapses: Any, k: int) -> Any:
        """See `Arithmetic`. A copy, as a connection of its own would hold: a view rounds differently in BLAS."""
        if isinstance(synapses, Delivery):
            return Delivery(synapses.products, synapses.values.copy(), not synapses.turned)
        return np.ascontiguousarray(synapses.T)

    def zeros(self, *shape: int) -> Array:
        """See `Arithmetic`."""
        return np.zeros(shape, dtype=self.dtype)

    def message(self, rate: Array, k: int) -> Array:
        """See `Arithmetic`; the rate itself."""
        return rate

    def synapse(self, weights: Any, rate: Array) -> Array:
        """See `Arithmetic`."""
        return weights.deliver(rate) if isinstance(weights, Delivery) else rate @ weights.T

    def add(self, a: Array, b: Array) -> Array:
        """See `Arithmetic`."""
        return a + b

    def subtract(self, a: Array, b: Array) -> Array:
        """See `Arithmetic`."""
        return a - b

    def scale(self, a: Array, gain: float) -> Array:
        """See `Arithmetic`."""
        return a * gain

    def integrate(self, v_mem: Array, drive: Array, tau_steps: float) -> Array:
        """`v + (drive - v) / tau`, with the quotient as a product so that powers of two are exact."""
        return v_mem + (drive - v_mem) * (1.0 / tau_steps)

    def clip(self, a: Array, low: float, high: float) -> Array:
        """See `Arithmetic`."""
        return np.minimum(np.maximum(a, low), high) if high < np.inf else np.maximum(a, low)


_KINDS = (np.dtype(np.float32), np.dtype(np.float64))
GEMM: dict[Any, Any] = {kind: get_blas_funcs("gemm", dtype=kind) for kind in _KINDS}
AXPY: dict[Any, Any] = {kind: get_blas_funcs("axpy", dtype=kind) for kind in _KINDS}


def gemm(
    a: Array,
    b: Array,
    out: Array,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    trans_a: bool = False,
    trans_b: bool = False,
) -> Array:
    """`out = alpha * op(a) @ op(b) + beta * out`, in place, in one BLAS call without temporaries.

    All arrays are two-dimensional, float32 or float64 alike; `op` transposes where asked. `out` is
    C-contiguous; `a` and `b` are contiguous in either order. numpy's matmul has neither `alpha` nor `beta`,
    which cost a pass over the weights each (docs/results.md, Speed).
    """
    if not a.flags.c_contiguous:
        a, trans_a = a.T, not trans_a
    if not b.flags.c_contiguous:
        b, trans_b = b.T, not trans_b
    call = GEMM[out.dtype]
    # Fortran order sees every C-ordered array transposed: out^T = op(b)^T op(a)^T
    result = call(alpha, b.T, a.T, beta=beta, c=out.T, trans_a=trans_b, trans_b=trans_a, overwrite_c=1)
    if not np.shares_memory(result, out):
        raise ValueError("gemm: out must be C-contiguous, and of the dtype of a and b")
    return out


def add_scaled(x: Array, out: Array, alpha: float) -> Array:
    """`out += alpha * x`, in place and in one pass; both C-contiguous and of one dtype."""
    if not out.flags.c_contiguous:
        raise ValueError("add_scaled: out must be C-contiguous, or the sum would go to a copy")
    call = AXPY[out.dtype]
    call(x.reshape(-1), out.reshape(-1), a=alpha)
    return out
