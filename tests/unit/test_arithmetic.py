"""Number systems and the two BLAS calls, against einsum in double precision and its rounding bound."""

from itertools import product

import numpy as np
import pytest

from lavaghost.numbers.arithmetic import Array, Float, add_scaled, gemm
from tests.tolerances import gamma

DTYPES = [np.float32, np.float64]
LAYOUTS = ["C", "F", "strided", "offset"]
SHAPES = [(5, 7, 3), (1, 7, 3), (5, 1, 3), (5, 7, 1), (1, 1, 1), (33, 40, 17)]


def laid_out(a: Array, layout: str) -> Array:
    """The same numbers in another memory layout."""
    if layout == "F":
        return np.asfortranarray(a)
    if layout == "strided":
        wide = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan, a.dtype)
        wide[::2, ::3] = a
        return wide[::2, ::3]
    if layout == "offset":
        tall = np.full((a.shape[0] + 2, a.shape[1]), np.nan, a.dtype)
        tall[1:-1] = a
        return tall[1:-1]
    return np.ascontiguousarray(a)


# ---- gemm


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), list(product([False, True], repeat=2)))
def test_gemm_equals_einsum_for_every_transposition_and_layout(shape, dtype, trans_a, trans_b):
    m, inner, n = shape
    rng = np.random.default_rng(0)
    a = rng.normal(size=(inner, m) if trans_a else (m, inner)).astype(dtype)
    b = rng.normal(size=(n, inner) if trans_b else (inner, n)).astype(dtype)
    start = rng.normal(size=(m, n)).astype(dtype)
    left = (a.T if trans_a else a).astype(np.float64)
    right = (b.T if trans_b else b).astype(np.float64)
    for layout_a, layout_b, (alpha, beta) in product(LAYOUTS, LAYOUTS, [(1.0, 0.0), (-0.5, 1.0), (0.3, 0.7)]):
        out = start.copy()
        result = gemm(
            laid_out(a, layout_a),
            laid_out(b, layout_b),
            out,
            alpha=alpha,
            beta=beta,
            trans_a=trans_a,
            trans_b=trans_b,
        )
        assert result is out
        wanted = alpha * np.einsum("ik,kj->ij", left, right) + beta * start.astype(np.float64)
        size = abs(alpha) * np.abs(left) @ np.abs(right) + abs(beta) * np.abs(start)
        # the dot product, alpha and beta (rounded to the dtype themselves), and their sum
        assert (np.abs(out - wanted) <= gamma(inner + 5, dtype) * size).all(), (layout_a, layout_b)


def test_gemm_with_beta_zero_does_not_read_what_was_there():
    a = np.ones((2, 3))
    out = gemm(a, a, np.full((2, 2), np.nan), trans_b=True)
    np.testing.assert_array_equal(out, np.full((2, 2), 3.0))


def test_gemm_changes_only_its_output():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    kept = a.copy(), b.copy()
    gemm(a, b, np.empty((4, 5)), trans_b=True)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])


@pytest.mark.parametrize("layout", ["F", "strided"])
def test_gemm_refuses_an_output_that_is_not_contiguous(layout):
    a = np.ones((4, 3))
    out = laid_out(np.zeros((4, 4)), layout)
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        gemm(a, a, out, trans_b=True)


def test_gemm_refuses_shapes_that_do_not_match():
    with pytest.raises(Exception, match=r"."):
        gemm(np.ones((4, 3)), np.ones((2, 5)), np.empty((4, 5)))
    with pytest.raises(Exception, match=r"."):
        gemm(np.ones((4, 3)), np.ones((3, 5)), np.empty((4, 6)), beta=1.0)


# ---- add_scaled


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (5, 3), (1, 1)])
def test_add_scaled_is_an_addition_in_place(dtype, shape):
    rng = np.random.default_rng(0)
    x, out = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    wanted = out.astype(np.float64) - 0.3 * x.astype(np.float64)
    size = np.abs(out) + 0.3 * np.abs(x)
    kept = x.copy()
    assert add_scaled(x, out, -0.3) is out
    assert (np.abs(out - wanted) <= gamma(3, dtype) * size).all()
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("layout", ["F", "strided"])
def test_add_scaled_takes_any_layout_of_what_is_added(layout):
    x = np.arange(12.0).reshape(3, 4)
    out = np.ones((3, 4))
    add_scaled(laid_out(x, layout), out, 2.0)
    np.testing.assert_array_equal(out, 1 + 2 * x)


@pytest.mark.parametrize("layout", ["F", "strided"])
def test_add_scaled_refuses_an_output_that_is_not_contiguous(layout):
    """Otherwise the sum would go to a copy, and the step would be lost without a word."""
    out = laid_out(np.zeros((3, 4)), layout)
    with pytest.raises(ValueError, match="contiguous"):
        add_scaled(np.ones((3, 4)), out, 1.0)


# ---- Float


@pytest.mark.parametrize("dtype", DTYPES)
def test_float_means_what_each_word_says(dtype):
    arith = Float(dtype)
    a, b = arith.array([[1.0, -2.0, 0.5]]), arith.array([[0.25, 4.0, -1.0]])
    assert arith.zeros(2, 3).dtype == a.dtype == dtype
    np.testing.assert_array_equal(arith.zeros(2, 3), np.zeros((2, 3)))
    np.testing.assert_array_equal(arith.add(a, b), [[1.25, 2.0, -0.5]])
    np.testing.assert_array_equal(arith.subtract(a, b), [[0.75, -6.0, 1.5]])
    np.testing.assert_array_equal(arith.scale(a, 0.5), [[0.5, -1.0, 0.25]])
    np.testing.assert_array_equal(arith.clip(a, 0.0, 0.75), [[0.75, 0.0, 0.5]])
    np.testing.assert_array_equal(arith.clip(a, 0.0, np.inf), [[1.0, 0.0, 0.5]])
    weights = arith.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(arith.synapse(weights, a), [[-1.5, -2.0]])
    for result in (arith.add(a, b), arith.scale(a, 0.3), arith.synapse(weights, a), arith.clip(a, 0, 1)):
        assert result.dtype == dtype


def test_integrate_is_one_euler_step():
    arith = Float()
    v, drive = np.array([[1.0, 0.0]]), np.array([[3.0, -1.0]])
    np.testing.assert_array_equal(arith.integrate(v, drive, 2.0), [[2.0, -0.5]])
    np.testing.assert_array_equal(arith.integrate(v, drive, 1.0), drive)


def test_integrate_relaxes_to_its_drive_by_one_minus_one_over_tau():
    arith = Float()
    v, drive = np.array([[0.0]]), np.array([[1.0]])
    for steps in range(1, 30):
        v = arith.integrate(v, drive, 4.0)
        assert 1 - v.item() == pytest.approx(0.75**steps, rel=1e-12)
