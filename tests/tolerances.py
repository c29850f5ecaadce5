"""Every tolerance of the tests, with its reason. Integers and repeated runs are compared for equality.

A tolerance is derived where it can be: from the number of roundings of a dtype, or from simulated time (the
comparison recursion in tests/unit/test_stepped.py). Where one is measured, the measured value stands beside it.
"""

import numpy as np


def gamma(terms: int, dtype: type) -> float:
    """n u / (1 - n u): the relative error of a sum of `terms` roundings (Higham 2002, lemma 3.1)."""
    n_u = terms * float(np.finfo(dtype).eps) / 2
    return n_u / (1 - n_u)


# ---- slopes: log error against log beta, or log lam

SLOPE = 0.05
"""Distance of a measured slope from 1. Samples keep every unit away from its kink, so that the error is a power
series; over the decades used, its second term bends the slope by a hundredth (measured: 0.998 to 1.004)."""
FLAT = 0.05
"""Distance from 0 of the slope of an error that must not depend on the variable (measured: below 0.01)."""
SOLVED = 1e-14
"""Tolerance of a converged solve in double precision: the last sweep moved nothing but roundings."""

# ---- fixed points

FREE = 1e-13
"""Double precision, relative: a forward pass of five layers is at most `gamma(5 * 64)` = 4e-14 per unit of
condition; the matrices used have a condition of a few."""
BATCH = 1e-13
"""Double precision, relative: BLAS adds the terms of one dot product in another order for another batch."""
TAU = 1e-11
"""Double precision, relative: two walks to one fixed point, once their transients are below rounding."""
CONVERGED = 1e-6
"""What the derived bound of the stepped engine must have fallen to at the longest time tested."""

# ---- gradients and steps

GRADIENT32 = 2e-5
"""Backprop in float32 against differences in double precision, relative to the layer's largest entry: three
products over at most 12 terms, `gamma(36, float32)` = 2e-6, times a cancellation of up to ten."""
DIFFERENCE = 1e-6
"""Step of a central difference in double precision: truncation and rounding both are near 1e-10."""
VALUE = 3e-4
"""A ghost update's relative distance to the gradient at beta = 1e-4, lam = 1e-5, which is O(beta) + O(lam):
measured 5e-5. A gain without its (1 + beta) would not show here, so that factor has an exact test of its own."""
FLOAT32_FACTOR = 1e-5
"""Float32 against double precision for a whole trial, relative to the layer's largest change: some 100
roundings of 6e-8 each (measured: 2.4e-7)."""
SGD = 1e-12
"""Our SGD against PyTorch's in double precision over 12 steps: a few roundings per step."""
SGD32 = 2e-5
"""The same in float32."""
