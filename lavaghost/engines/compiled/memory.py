"""Where the integers of a network lie: all arrays in two buffers, and a table that says where each begins.

So the compiled loops have arguments of the same types for every network, and one compilation serves all depths.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lavaghost.numbers.arithmetic import Array

W, BACK, G, INHIBIT, BIAS_W, GHOST_BIAS_W = np.arange(6)
"""Groups of mantissas, in the order of `Mantissas`; groups of states and traces follow, in that of `States`."""
(
    U, V, DRIVE, FB, GD, INH, P, PG, U_FREE, V_FREE, LEFT, B, C, X1, Y, Y_GHOST, Y_INHIBITION, X1_GHOST,
) = np.arange(18)  # fmt: skip

LINE = 32
"""Arrays begin at multiples of this many entries, 64 bytes or more: a line of the cache."""

Arrays = tuple[Array, ...]


class Mantissas(NamedTuple):
    """int16; index 0 is layer 1.

    w       W_1^T (n_0, n_1), so that a silent input skips a row; then W_2..W_L, (n_k, n_{k-1})
    back, g, inhibit   B_k^T, G_k, I_k^T, all (n_{k+1}, n_k): tied feedback and duplicate ghosts are the arrays of w
    bias, ghost_bias   bias synapses of W_k, (1, n_k), and of G_k, (1, n_{k+1})

    Groups of what a graph does not have are empty.
    """

    w: Arrays
    back: Arrays
    g: Arrays
    inhibit: Arrays
    bias: Arrays
    ghost_bias: Arrays


class States(NamedTuple):
    """One sample, int32; index 0 is layer 1.

    u, v          membranes of neurons, layers 1..L, and of ghosts
    drive, fb, gd, inh   as in `dynamics.State`: what arrives in the next step
    p, pg         messages just sent, of layers 1..L and of ghosts
    u_free, v_free   membranes at the end of the free phase
    left          B_k r_{k+1} - i_k at the end of the free phase
    b, c          biases of neurons and of ghosts
    x1            traces x1 of layers 0..L-1
    y             traces y of layers 1..L
    y_ghost, y_inhibition   the ghosts' y
    x1_ghost      x1 of the ghosts' messages
    """

    u: Arrays
    v: Arrays
    drive: Arrays
    fb: Arrays
    gd: Arrays
    inh: Arrays
    p: Arrays
    pg: Arrays
    u_free: Arrays
    v_free: Arrays
    left: Arrays
    b: Arrays
    c: Arrays
    x1: Arrays
    y: Arrays
    y_ghost: Arrays
    y_inhibition: Arrays
    x1_ghost: Arrays


class Memory(NamedTuple):
    """What the loops are given.

    w, z         mantissas (int16), and states (int32), one array after another
    at_w, at_z   where the array of a group (row) and a layer (column) begins, int64
    n            sizes n_0..n_L, int64
    """

    w: Array
    z: Array
    at_w: Array
    at_z: Array
    n: Array


def laid_out(groups: Sequence[Arrays], kind: type) -> tuple[Array, Array, list[Arrays]]:
    """`(buffer, at, views)`: copies of all arrays in one buffer of `kind`, and views of it in their place.

    An array that stands in several groups is held once.
    """
    begins: dict[int, int] = {}
    end = 0
    for array in (a for group in groups for a in group):
        if id(array) not in begins:
            begins[id(array)] = end
            end += -(-array.size // LINE) * LINE
    buffer, at = np.zeros(end, kind), np.zeros((len(groups), max(map(len, groups))), np.int64)
    views = []
    for g, group in enumerate(groups):
        at[g, : len(group)] = [begins[id(a)] for a in group]
        views.append(tuple(buffer[begins[id(a)] :][: a.size].reshape(a.shape) for a in group))
        for view, array in zip(views[g], group, strict=True):
            view[...] = array
    return buffer, at, views
