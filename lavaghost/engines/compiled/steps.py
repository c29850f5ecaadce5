"""Compiled loops for one sample in integers: `dynamics.network_step` with `loihi.Loihi`.

These functions define nothing. `dynamics` with `Loihi`, and `online.integers.update.updated`, are the definitions; the
tests hold every state of every step, and every weight, equal to theirs. What is gained: no Python per step,
silent inputs are skipped, and a phase ends once nothing has changed in a step, since then nothing ever will.

`m` is a `Memory`, `s` the `Shifts`; a layer k counts from 0, as columns of a table do.
"""

from typing import NamedTuple

import numpy as np

from lavaghost.engines.compiled.memory import (
    BACK,
    DRIVE,
    FB,
    GD,
    INH,
    INHIBIT,
    LEFT,
    PG,
    U_FREE,
    V_FREE,
    B,
    C,
    G,
    P,
    U,
    V,
    W,
)
from lavaghost.engines.compiled.toolchain import inner
from lavaghost.numbers.arithmetic import Array


class Shifts(NamedTuple):
    """Constants of a network; arrays int64.

    w, fb, g, i  weight exponents of W_1..W_L and of B_k, G_k, I_k
    message, half   right shift from state to message, and what is added before it, layers 1..L
    lam, beta    exponents of the gains
    take, take_ghost, decay   decay constants and their bits
    r_max, limit              upper bound of a hidden rate and of a state, in states
    sent, sent_output         largest messages of hidden and output units
    feedback, ghosts          whether hidden layers get any, and whether ghosts cancel it
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
    feedback: bool
    ghosts: bool
    online: bool


@inner
def part(a, start, count):  # type: ignore[no-untyped-def]
    """A view of `count` entries."""
    return a[start : start + count]


@inner
def states(m, group, k):  # type: ignore[no-untyped-def]
    """The states of a group that has as many as layer k has neurons."""
    return part(m.z, m.at_z[group, k], m.n[k + 1])


@inner
def above(m, group, k):  # type: ignore[no-untyped-def]
    """The states of a group that has as many as the layer above k has neurons."""
    return part(m.z, m.at_z[group, k], m.n[k + 2])


@inner
def ghost_membranes(m, group, k, s):  # type: ignore[no-untyped-def]
    """V or V_FREE: online ghosts stand beside each neuron, others for those of the layer above."""
    return part(m.z, m.at_z[group, k], m.n[k + 1] if s.online else m.n[k + 2])


@inner
def mantissas(m, group, k):  # type: ignore[no-untyped-def]
    """The mantissas between layers k and k + 1; of group W, those of W_{k+1}, between layers k - 1 and k."""
    below = k if group == W else k + 1
    return part(m.w, m.at_w[group, k], m.n[below] * m.n[below + 1])


@inner
def shift(a, exponent):  # type: ignore[no-untyped-def]
    """`loihi.shifted_by`."""
    return a << exponent if exponent >= 0 else a >> -exponent


@inner
def integrate(v, drive, take, bits, limit):  # type: ignore[no-untyped-def]
    """`Loihi.integrate`: adding 2^bits - 1 to a negative product makes `>>` cut towards zero."""
    low = (1 << bits) - 1
    a = np.int64(v) * ((1 << bits) - take)
    b = np.int64(drive) * take
    z = ((a + ((a >> 63) & low)) >> bits) + ((b + ((b >> 63) & low)) >> bits)
    return np.int32(min(max(z, -limit), limit))


@inner
def zero(a):  # type: ignore[no-untyped-def]
    """`a[:] = 0`."""
    for i in range(len(a)):
        a[i] = 0


@inner
def copy(a, out):  # type: ignore[no-untyped-def]
    """`out[:] = a`."""
    for i in range(len(a)):
        out[i] = a[i]


@inner
def axpy_rows(wt, p, exponent, out):  # type: ignore[no-untyped-def]
    """`out = shift(wt^T p)`, skipping silent rows; wt (n_p, n_out), flat."""
    zero(out)
    for j in range(len(p)):
        message = p[j]
        if message != 0:
            row = part(wt, j * len(out), len(out))
            for i in range(len(out)):
                out[i] = np.int32(out[i] + np.int32(row[i]) * message)
    for i in range(len(out)):
        out[i] = np.int32(shift(np.int64(out[i]), exponent))


@inner
def dot_rows(w, p, exponent, out):  # type: ignore[no-untyped-def]
    """`out = shift(w p)`; w (n_out, n_p), flat."""
    for i in range(len(out)):
        row = part(w, i * len(p), len(p))
        total = np.int32(0)
        for j in range(len(p)):
            total = np.int32(total + np.int32(row[j]) * p[j])
        out[i] = np.int32(shift(np.int64(total), exponent))


@inner
def reset(m, x, s):  # type: ignore[no-untyped-def]
    """`start_trial`."""
    depth = len(m.n) - 1
    for k in range(depth):
        for group in (U, DRIVE, P):
            zero(states(m, group, k))
    for k in range(depth - 1 if s.feedback else 0):
        for group in (FB, INH):
            zero(states(m, group, k))
    for k in range(depth - 1 if s.ghosts else 0):
        zero(ghost_membranes(m, V, k, s))
        for group in (GD, PG):
            zero(above(m, group, k))
    drive = part(m.z, m.at_z[DRIVE, 0], m.n[1])
    axpy_rows(part(m.w, m.at_w[W, 0], m.n[0] * m.n[1]), x, s.w[0], drive)


@inner
def _ghosts(m, nudged, s):  # type: ignore[no-untyped-def]
    """The ghosts' part of `network_step`; an online ghost's rate reaches its neuron in the same step."""
    changed = False
    for k in range(len(m.n) - 2):
        v = ghost_membranes(m, V, k, s)
        if s.online:
            drive = states(m, FB, k)
            if not nudged:
                for i in range(len(v)):
                    new = integrate(v[i], drive[i], s.take_ghost, s.decay, s.limit)
                    changed |= new != v[i]
                    v[i] = new
            copy(v, states(m, INH, k))
        else:
            drive, c = above(m, GD, k), above(m, C, k)
            for i in range(len(v)):
                new = integrate(v[i], np.int64(drive[i]) + c[i], s.take_ghost, s.decay, s.limit)
                changed |= new != v[i]
                v[i] = new
    return changed


@inner
def step(m, target, nudged, given, s):  # type: ignore[no-untyped-def]
    """`network_step`, in the nudged phase with a target or without; returns whether any membrane changed."""
    depth = len(m.n) - 1
    changed = _ghosts(m, nudged, s) if s.ghosts else False
    for k in range(depth):
        u, drive, b = states(m, U, k), states(m, DRIVE, k), states(m, B, k)
        if k < depth - 1 and s.feedback:
            fb, inh = states(m, FB, k), states(m, INH, k)
            for i in range(len(u)):
                left = shift(np.int64(fb[i]) - inh[i], s.lam)
                new = integrate(u[i], np.int64(drive[i]) + b[i] + left, s.take, s.decay, s.limit)
                changed |= new != u[i]
                u[i] = new
        else:
            for i in range(len(u)):
                current = np.int64(drive[i]) + b[i]
                if given and k == depth - 1:
                    current += shift(np.int64(target[i]) - u[i], s.beta)
                new = integrate(u[i], current, s.take, s.decay, s.limit)
                changed |= new != u[i]
                u[i] = new
    if changed:
        _send(m, s)
    return changed


@inner
def _message(u, k, s, out):  # type: ignore[no-untyped-def]
    """`neuron.rate` and `Loihi.message` of layer k."""
    right, half = s.message[k], s.half[k]
    if k == len(s.message) - 1:
        for i in range(len(u)):
            out[i] = np.int32(min(max(shift(np.int64(u[i]) + half, -right), -s.sent_output), s.sent_output))
    else:
        for i in range(len(u)):
            rate = min(max(np.int64(u[i]), 0), s.r_max)
            out[i] = np.int32(min(shift(rate + half, -right), s.sent))


@inner
def _send(m, s):  # type: ignore[no-untyped-def]
    depth = len(m.n) - 1
    for k in range(depth):
        _message(states(m, U, k), k, s, states(m, P, k))
    for k in range(1, depth):
        dot_rows(mantissas(m, W, k), states(m, P, k - 1), s.w[k], states(m, DRIVE, k))
    for k in range(depth - 1 if s.feedback else 0):
        axpy_rows(mantissas(m, BACK, k), states(m, P, k + 1), s.fb[k], states(m, FB, k))
        if s.ghosts and not s.online:
            _message(ghost_membranes(m, V, k, s), k + 1, s, above(m, PG, k))
            dot_rows(mantissas(m, G, k), states(m, P, k), s.g[k], above(m, GD, k))
            axpy_rows(mantissas(m, INHIBIT, k), above(m, PG, k), s.i[k], states(m, INH, k))


@inner
def keep_free(m, s):  # type: ignore[no-untyped-def]
    """What the end of the free phase leaves: membranes, and feedback less inhibition."""
    depth = len(m.n) - 1
    for k in range(depth):
        copy(states(m, U, k), states(m, U_FREE, k))
    for k in range(depth - 1 if s.ghosts else 0):
        copy(ghost_membranes(m, V, k, s), ghost_membranes(m, V_FREE, k, s))
    for k in range(depth - 1 if s.feedback else 0):
        fb, inh, left = states(m, FB, k), states(m, INH, k), states(m, LEFT, k)
        for i in range(len(left)):
            left[i] = fb[i] - inh[i]
