"""Compiled loops for one sample in integers: `dynamics.network_step` with `loihi.Loihi`, and the update rule.

These functions define nothing. `dynamics` with `Loihi`, and `learning.integer.updated`, are the definitions; the
tests hold every state of every step, and every weight, equal to theirs. What is gained: no Python per step,
silent inputs are skipped, and a phase ends once nothing has changed in a step, since then nothing ever will.

Layouts: `w1t` is W_1^T, (n_0, n_1), so that a silent input skips a row; `ws` are W_2..W_L, (n_k, n_{k-1}); `bt` and
`it` are B_k^T and I_k^T, (n_{k+1}, n_k): tied feedback and duplicate ghosts are the very arrays of `ws`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from lavaghost.arithmetic import Array

Arrays = tuple[Array, ...]


class Net(NamedTuple):
    """Mantissas (int16) and biases (int32, in states) of a network, index 0 is layer 1 (of `ws`, layer 2)."""

    w1t: Array
    ws: Arrays
    b: Arrays
    bt: Arrays
    g: Arrays
    c: Arrays
    it: Arrays


class Shifts(NamedTuple):
    """Constants of a network; arrays int64.

    w, fb, g, i  weight exponents of W_1..W_L and of B_k, G_k, I_k
    message, half   right shift from state to message, and what is added before it, layers 1..L
    lam, beta    exponents of the gains
    take, take_ghost, decay   decay constants and their bits
    r_max, limit              upper bound of a hidden rate and of a state, in states
    sent, sent_output         largest messages of hidden and output units
    online                    whether ghosts replicate their feedback
    """

    w: Array
    fb: Array
    g: Array
    i: Array
    message: Array
    half: Array
    lam: int
    beta: int
    take: int
    take_ghost: int
    decay: int
    r_max: int
    limit: int
    sent: int
    sent_output: int
    online: bool


class Cells(NamedTuple):
    """State of one sample (int32): membranes, what arrives in the next step, and the messages just sent.

    u, v          membranes of neurons, layers 1..L, and of ghosts
    drive, fb, gd, inh   as in `dynamics.State`
    p, pg         messages of layers 1..L and of ghosts
    u_free, v_free   membranes at the end of the free phase
    left          B_k r_{k+1} - i_k at the end of the free phase
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


@njit(cache=True, nogil=True, inline="always")
def shift(a, exponent):  # type: ignore[no-untyped-def]
    """`loihi.shifted`."""
    return a << exponent if exponent >= 0 else a >> -exponent


@njit(cache=True, nogil=True, inline="always")
def integrate(v, drive, take, bits, limit):  # type: ignore[no-untyped-def]
    """`Loihi.integrate`: adding 2^bits - 1 to a negative product makes `>>` cut towards zero."""
    low = (1 << bits) - 1
    a = np.int64(v) * ((1 << bits) - take)
    b = np.int64(drive) * take
    z = ((a + ((a >> 63) & low)) >> bits) + ((b + ((b >> 63) & low)) >> bits)
    return np.int32(min(max(z, -limit), limit))


@njit(cache=True, nogil=True)
def axpy_rows(wt, p, exponent, out):  # type: ignore[no-untyped-def]
    """`out = shift(wt^T p)`, skipping silent rows."""
    out[:] = 0
    for j in range(len(p)):
        message = p[j]
        if message != 0:
            row = wt[j]
            for i in range(len(out)):
                out[i] = np.int32(out[i] + np.int32(row[i]) * message)
    for i in range(len(out)):
        out[i] = np.int32(shift(np.int64(out[i]), exponent))


@njit(cache=True, nogil=True)
def dot_rows(w, p, exponent, out):  # type: ignore[no-untyped-def]
    """`out = shift(w p)`."""
    for i in range(len(out)):
        row = w[i]
        total = np.int32(0)
        for j in range(len(p)):
            total = np.int32(total + np.int32(row[j]) * p[j])
        out[i] = np.int32(shift(np.int64(total), exponent))


@njit(cache=True, nogil=True)
def reset(cells, net, x, shifts):  # type: ignore[no-untyped-def]
    """`start_trial`."""
    for group in (cells.u, cells.drive, cells.p):
        for k in range(len(group)):
            group[k][:] = 0
    for group in (cells.v, cells.fb, cells.gd, cells.inh, cells.pg):
        for k in range(len(group)):
            group[k][:] = 0
    axpy_rows(net.w1t, x, shifts.w[0], cells.drive[0])


@njit(cache=True, nogil=True)
def _ghosts(cells, net, nudged, s):  # type: ignore[no-untyped-def]
    """The ghosts' part of `network_step`; an online ghost's rate reaches its neuron in the same step."""
    changed = False
    for k in range(len(cells.v)):
        v = cells.v[k]
        if s.online:
            if not nudged:
                drive = cells.fb[k]
                for i in range(len(v)):
                    new = integrate(v[i], drive[i], s.take_ghost, s.decay, s.limit)
                    changed |= new != v[i]
                    v[i] = new
            cells.inh[k][:] = v
        else:
            drive, c = cells.gd[k], net.c[k]
            for i in range(len(v)):
                new = integrate(v[i], np.int64(drive[i]) + c[i], s.take_ghost, s.decay, s.limit)
                changed |= new != v[i]
                v[i] = new
    return changed


@njit(cache=True, nogil=True)
def step(cells, net, target, nudged, s):  # type: ignore[no-untyped-def]
    """`network_step`; returns whether any membrane changed."""
    depth = len(cells.u)
    changed = _ghosts(cells, net, nudged, s)
    for k in range(depth):
        u, drive, b = cells.u[k], cells.drive[k], net.b[k]
        if k < depth - 1:
            fb, inh = cells.fb[k], cells.inh[k]
            for i in range(len(u)):
                left = shift(np.int64(fb[i]) - inh[i], s.lam)
                new = integrate(u[i], np.int64(drive[i]) + b[i] + left, s.take, s.decay, s.limit)
                changed |= new != u[i]
                u[i] = new
        else:
            for i in range(len(u)):
                current = np.int64(drive[i]) + b[i]
                if nudged:
                    current += shift(np.int64(target[i]) - u[i], s.beta)
                new = integrate(u[i], current, s.take, s.decay, s.limit)
                changed |= new != u[i]
                u[i] = new
    if not changed:
        return False
    _send(cells, net, s)
    return True


@njit(cache=True, nogil=True)
def _message(u, linear, right, half, s, out):  # type: ignore[no-untyped-def]
    """`neuron.rate` and `Loihi.message`."""
    for i in range(len(u)):
        if linear:
            out[i] = np.int32(min(max(shift(np.int64(u[i]) + half, -right), -s.sent_output), s.sent_output))
        else:
            rate = min(max(np.int64(u[i]), 0), s.r_max)
            out[i] = np.int32(min(shift(rate + half, -right), s.sent))


@njit(cache=True, nogil=True)
def _send(cells, net, s):  # type: ignore[no-untyped-def]
    depth = len(cells.u)
    for k in range(depth):
        _message(cells.u[k], k == depth - 1, s.message[k], s.half[k], s, cells.p[k])
    for k in range(1, depth):
        dot_rows(net.ws[k - 1], cells.p[k - 1], s.w[k], cells.drive[k])
    for k in range(depth - 1):
        axpy_rows(net.bt[k], cells.p[k + 1], s.fb[k], cells.fb[k])
        if not s.online:
            _message(cells.v[k], k == depth - 2, s.message[k + 1], s.half[k + 1], s, cells.pg[k])
            dot_rows(net.g[k], cells.p[k], s.g[k], cells.gd[k])
            axpy_rows(net.it[k], cells.pg[k], s.i[k], cells.inh[k])


@njit(cache=True, nogil=True)
def keep_free(cells):  # type: ignore[no-untyped-def]
    """What the end of the free phase leaves: membranes, and feedback less inhibition."""
    for k in range(len(cells.u)):
        cells.u_free[k][:] = cells.u[k]
    for k in range(len(cells.v)):
        cells.v_free[k][:] = cells.v[k]
        for i in range(len(cells.fb[k])):
            cells.left[k][i] = cells.fb[k][i] - cells.inh[k][i]


@njit(cache=True, nogil=True)
def trial(cells, net, x, target, t_free, t_nudge, s):  # type: ignore[no-untyped-def]
    """A free and a nudged phase of one sample: `Stepped.ends`. Returns the steps that had to be computed."""
    reset(cells, net, x, s)
    steps = 1
    for _ in range(t_free - 1):
        if not step(cells, net, target, False, s):
            break
        steps += 1
    keep_free(cells)
    for _ in range(t_nudge):
        if not step(cells, net, target, True, s):
            break
        steps += 1
    return steps
