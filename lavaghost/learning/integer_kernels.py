"""Compiled learning in integers, one sample after another; `learning.integer` holds the definitions.

A weight's random number is a function of seed, projection, sample and synapse (`mix`), so that a run does not
depend on the order in which synapses are visited, on layouts, or on where it was interrupted.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from lavaghost.arithmetic import Array
from lavaghost.engines.integer_kernels import trial

ERROR, GHOST_ERROR, INHIBITION_ERROR = 64, 128, 192
BIAS, GHOST, GHOST_BIAS, INHIBITION = 256, 320, 384, 448
"""First random stream of a kind, counted up by layer; those of W_1, W_2.. are 0, 1.."""


class Rule(NamedTuple):
    """Constants of the update of `learning.integer.updated`, shared by all projections.

    top         2^accumulator_bits
    unit        accumulator bits below one mantissa step of 1
    step_bits   log2 of the weight step
    low, high   smallest and largest mantissa
    right, left, mantissa   the literal of the rule: (x1 y mantissa >> right) << left
    """

    top: int
    unit: int
    step_bits: int
    low: int
    high: int
    right: int
    left: int
    mantissa: int


class Plastic(NamedTuple):
    """What learns, and how errors become traces; index 0 is layer 1.

    bias        mantissas of W_k's bias synapses, (1, n_k) int16
    ghost_bias  of G_k's, (1, n_{k+1}) int16
    bias_pre    trace x1 of the bias unit of layer k - 1; its message is twice that
    bias_left   left shift from a bias mantissa to a state
    error       right shift from an error in states to a trace, per layer; grain bits included
    ghost_error, inhibition_error   the same for the ghosts' own learning
    grain       low bits of y that stay zero
    y_limit     largest y
    stochastic  whether errors are rounded stochastically, else to the nearest
    prediction  the rule: prediction error if true, else change in time
    learned     whether ghosts learn
    """

    bias: tuple[Array, ...]
    ghost_bias: tuple[Array, ...]
    bias_pre: Array
    bias_left: Array
    error: Array
    ghost_error: Array
    inhibition_error: Array
    grain: int
    y_limit: int
    stochastic: bool
    prediction: bool
    learned: bool


class Traces(NamedTuple):
    """Buffers: x1 per layer 0..L-1, y per layer 1..L; ghosts' y and the x1 of their messages (all int32)."""

    x1: tuple[Array, ...]
    y: tuple[Array, ...]
    y_ghost: tuple[Array, ...]
    y_inhibition: tuple[Array, ...]
    x1_ghost: tuple[Array, ...]
    none: Array


@njit(cache=True, nogil=True, inline="always")
def mix(x):  # type: ignore[no-untyped-def]
    """32 random bits from a counter: `lowbias32` of C. Wellons (hash-prospector, public domain)."""
    x = np.uint32(x)
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, nogil=True)
def key_of(seed, stream, sample):  # type: ignore[no-untyped-def]
    """A 32-bit key for one projection in one trial."""
    return mix(np.uint32(mix(np.uint32(mix(np.uint32(seed)) + np.uint32(stream))) + np.uint32(sample)))


@njit(cache=True, nogil=True)
def fill(key, bits, out):  # type: ignore[no-untyped-def]
    """The numbers of 0..2^bits - 1 that entries 0, 1.. of a stream are rounded with, into `out` (int64)."""
    for i in range(len(out)):
        out[i] = np.int64(mix(np.uint32(key + np.uint32(i))) >> np.uint32(32 - bits))


@njit(cache=True, nogil=True, inline="always")
def changed(w, x1, y, y_b, q, r):  # type: ignore[no-untyped-def]
    """`learning.integer.updated`, of one weight; the second product is `x1 y_b`."""
    low, high = -r.top - 1, r.top - 1
    part = np.int32(min(max(((x1 * y * r.mantissa) >> r.right) << r.left, low), high))
    total = np.int32(min(max((np.int32(w) << r.unit) + part, low), high))
    part = np.int32(min(max(((x1 * y_b * r.mantissa) >> r.right) << r.left, low), high))
    total = np.int32(min(max(total + part, low), high))
    bits = r.unit + r.step_bits
    new = ((total + (1 << bits) - 1 - q) >> bits) << r.step_bits
    return np.int16(min(max(new, r.low), r.high))


@njit(cache=True, nogil=True)
def learn_rows(wt, x1, y, y_b, r, key, shared):  # type: ignore[no-untyped-def]
    """Update W^T (n_pre, n_post); `y_b` is a second term, or empty. `shared` >= 0 is one number for all."""
    n, bits, two = wt.shape[1], r.unit + r.step_bits, len(y_b) > 0
    for j in range(len(x1)):
        pre = x1[j]
        if pre != 0:
            row, base = wt[j], np.uint32(key + np.uint32(j) * np.uint32(n))
            for i in range(n):
                q = np.int32(shared)
                if shared < 0:
                    q = np.int32(mix(np.uint32(base + np.uint32(i))) >> np.uint32(32 - bits))
                row[i] = changed(row[i], pre, y[i], y_b[i] if two else np.int32(0), q, r)


@njit(cache=True, nogil=True)
def learn_columns(w, x1, y, y_b, r, key, shared):  # type: ignore[no-untyped-def]
    """Update W (n_post, n_pre); the random number of a synapse is that of `learn_rows`."""
    n, bits, two = len(y), r.unit + r.step_bits, len(y_b) > 0
    for i in range(n):
        second = y_b[i] if two else np.int32(0)
        if y[i] != 0 or second != 0:
            row, base = w[i], np.uint32(key + np.uint32(i))
            for j in range(len(x1)):
                q = np.int32(shared)
                if shared < 0:
                    q = np.int32(mix(np.uint32(base + np.uint32(j) * np.uint32(n))) >> np.uint32(32 - bits))
                row[j] = changed(row[j], x1[j], y[i], second, q, r)


@njit(cache=True, nogil=True)
def trace_of(messages, limit, out):  # type: ignore[no-untyped-def]
    """`learning.integer.pre_trace`: half a message, halves to even; a trace has no sign."""
    for i in range(len(out)):
        p = max(messages[i], 0)
        out[i] = min((p >> 1) + (1 if p & 3 == 3 else 0), limit)


@njit(cache=True, nogil=True)
def to_trace(error, right, plastic, key, out, at):  # type: ignore[no-untyped-def]
    """`learning.integer.post_trace`, of one error."""
    if right <= 0:
        y = error << -right
    elif plastic.stochastic:
        y = (error + np.int64(mix(np.uint32(key + np.uint32(at))) >> np.uint32(32 - right))) >> right
    else:
        y = (error + (np.int64(1) << (right - 1))) >> right
    y <<= plastic.grain
    out[at] = np.int32(min(max(y, -plastic.y_limit), plastic.y_limit))


@njit(cache=True, nogil=True, inline="always")
def rate(u, linear, r_max):  # type: ignore[no-untyped-def]
    """`neuron.rate`."""
    return np.int64(u) if linear else min(max(np.int64(u), 0), r_max)


@njit(cache=True, nogil=True)
def errors(cells, s, plastic, traces, seed, sample):  # type: ignore[no-untyped-def]
    """The rule's error of every neuron as its trace y, from full-resolution states."""
    depth = len(cells.u)
    for k in range(depth):
        key, linear = key_of(seed, ERROR + k, sample), k == depth - 1
        # what the nudge adds to a rate and not to its partner ghost; layer 1 has no ghost
        predicted = plastic.prediction and k > 0
        ghost, ghost_free = cells.v[max(k - 1, 0)], cells.v_free[max(k - 1, 0)]
        for i in range(len(cells.u[k])):
            error = rate(cells.u[k][i], linear, s.r_max) - rate(cells.u_free[k][i], linear, s.r_max)
            if predicted:
                error -= rate(ghost[i], linear, s.r_max) - rate(ghost_free[i], linear, s.r_max)
            to_trace(error, plastic.error[k], plastic, key, traces.y[k], i)
    if plastic.learned:
        for k in range(depth - 1):
            linear = k == depth - 2
            key = key_of(seed, GHOST_ERROR + k, sample)
            for i in range(len(cells.v[k])):
                error = rate(cells.u_free[k + 1][i], linear, s.r_max) - rate(
                    cells.v_free[k][i], linear, s.r_max
                )
                to_trace(error, plastic.ghost_error[k], plastic, key, traces.y_ghost[k], i)
            key = key_of(seed, INHIBITION_ERROR + k, sample)
            for i in range(len(cells.u[k])):
                to_trace(
                    np.int64(cells.left[k][i]),
                    plastic.inhibition_error[k],
                    plastic,
                    key,
                    traces.y_inhibition[k],
                    i,
                )


@njit(cache=True, nogil=True)
def learn(cells, net, x, s, plastic, traces, r, seed, sample, shared, trace_limit, network):  # type: ignore[no-untyped-def]
    """All plasticity of one trial, at its end; `network` is false while only ghosts learn."""
    depth = len(cells.u)
    errors(cells, s, plastic, traces, seed, sample)
    trace_of(x, trace_limit, traces.x1[0])
    for k in range(1, depth):
        trace_of(cells.p[k - 1], trace_limit, traces.x1[k])
    one = np.ones(1, np.int32)
    if network:
        learn_rows(net.w1t, traces.x1[0], traces.y[0], traces.none, r, key_of(seed, 0, sample), shared[0])
        for k in range(1, depth):
            learn_columns(
                net.ws[k - 1], traces.x1[k], traces.y[k], traces.none, r, key_of(seed, k, sample), shared[k]
            )
        for k in range(depth):
            one[0] = plastic.bias_pre[k]
            key = key_of(seed, BIAS + k, sample)
            learn_rows(plastic.bias[k], one, traces.y[k], traces.none, r, key, shared[depth + k])
            for i in range(len(net.b[k])):
                net.b[k][i] = np.int32(plastic.bias[k][0, i]) << plastic.bias_left[k]
    if plastic.learned:
        for k in range(depth - 1):
            # the ghosts follow each step of the weights that they stand for
            follow = traces.y[k + 1] if network else traces.none
            key = key_of(seed, GHOST + k, sample)
            learn_columns(net.g[k], traces.x1[k + 1], traces.y_ghost[k], follow, r, key, shared[2 * depth + k])
            one[0] = plastic.bias_pre[k + 1]
            key = key_of(seed, GHOST_BIAS + k, sample)
            learn_rows(plastic.ghost_bias[k], one, traces.y_ghost[k], follow, r, key, shared[3 * depth + k])
            for i in range(len(net.c[k])):
                net.c[k][i] = np.int32(plastic.ghost_bias[k][0, i]) << plastic.bias_left[k + 1]
            trace_of(cells.pg[k], trace_limit, traces.x1_ghost[k])
            key = key_of(seed, INHIBITION + k, sample)
            learn_rows(
                net.it[k],
                traces.x1_ghost[k],
                traces.y_inhibition[k],
                traces.none,
                r,
                key,
                shared[4 * depth + k],
            )


@njit(cache=True, nogil=True)
def learn_samples(
    cells, net, inputs, labels, targets, t_free, t_nudge, s, plastic, traces, r, seed, first, shared, trace_limit,
    network,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Trials `first`, `first + 1`.. of `inputs (count, n_0)`; `targets (n_L, n_L)` holds one state per label.

    `shared (count, 5 L)` is one rounding number per projection and trial, or -1 for one of each synapse's own.
    Returns the steps computed, and how many entries of W_1..W_L traces were at their limit.
    """
    steps, saturated = 0, 0
    x = np.empty(inputs.shape[1], np.int32)
    for t in range(len(inputs)):
        x[:] = inputs[t]
        steps += trial(cells, net, x, targets[labels[t]], t_free, t_nudge, s)
        learn(cells, net, x, s, plastic, traces, r, seed, first + t, shared[t], trace_limit, network)
        for k in range(len(traces.y)):
            for i in range(len(traces.y[k])):
                saturated += abs(traces.y[k][i]) == plastic.y_limit
    return steps, saturated


@njit(cache=True, nogil=True)
def free_outputs(cells, net, inputs, t_free, s, out):  # type: ignore[no-untyped-def]
    """u_L at the end of the free phase of each of `inputs (count, n_0)`, into `out (count, n_L)`."""
    x = np.empty(inputs.shape[1], np.int32)
    for t in range(len(inputs)):
        x[:] = inputs[t]
        trial(cells, net, x, cells.u[-1], t_free, 0, s)
        out[t] = cells.u[-1]
