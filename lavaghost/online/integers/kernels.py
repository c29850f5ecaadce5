"""Compiled learning in integers, one sample after another; `online.integers.update` holds the definitions.

A weight's random number is a function of seed, projection, sample and synapse (`mix`), so that a run does not
depend on the order in which synapses are visited, on layouts, or on where it was interrupted.

`perform` is all that a network is run by, so that there is one thing to compile.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from lavaghost.engines.compiled import steps as engine
from lavaghost.engines.compiled.memory import (
    BIAS_W,
    GHOST_BIAS_W,
    INHIBIT,
    LEFT,
    PG,
    U_FREE,
    V_FREE,
    X1,
    X1_GHOST,
    Y_GHOST,
    Y_INHIBITION,
    B,
    C,
    G,
    P,
    U,
    V,
    W,
    Y,
)
from lavaghost.engines.compiled.steps import (
    above,
    ghost_membranes,
    keep_free,
    mantissas,
    part,
    reset,
    states,
    step,
)
from lavaghost.engines.compiled.toolchain import compiled, digest_of, inner
from lavaghost.numbers.arithmetic import Array

ERROR, GHOST_ERROR, INHIBITION_ERROR = 64, 128, 192
BIAS, GHOST, GHOST_BIAS, INHIBITION = 256, 320, 384, 448
"""First random stream of a kind, counted up by layer; those of W_1, W_2.. are 0, 1.."""


class EngineRule(NamedTuple):
    """Constants of the update of `update.updated`, shared by all projections.

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
    """How errors become traces, and what learns; arrays int64, index 0 is layer 1.

    bias_pre    trace x1 of the bias unit of layer k - 1; its message is twice that
    bias_left   left shift from a bias mantissa to a state
    error       right shift from an error in states to a trace, per layer; grain bits included
    ghost_error, inhibition_error   the same for the ghosts' own learning
    grain       low bits of y that stay zero
    y_limit     largest y
    x1_limit    largest x1
    stochastic  whether errors are rounded stochastically, else to the nearest
    prediction  the rule: prediction error if true, else change in time
    learned     whether ghosts learn
    layers      whether the weights of a layer learn
    """

    bias_pre: Array
    bias_left: Array
    error: Array
    ghost_error: Array
    inhibition_error: Array
    grain: int
    y_limit: int
    x1_limit: int
    stochastic: bool
    prediction: bool
    learned: bool
    layers: Array


class Trials(NamedTuple):
    """Which parts of a trial `perform` goes through, in this order.

    reset       the first step
    free        most steps of the free phase after it
    keep        note the end of the free phase
    nudged      most steps of the nudged phase
    given       whether the nudged phase has a target; without one nothing nudges, and all else is as with one
    margin      a target is withheld where the answer is right by more than this, in states; never below 0
    errors      find what the neurons would learn from
    learn       learn from it, `network` or ghosts alone
    seed, first the random numbers: seed of the run and number of the first sample
    """

    reset: bool
    free: int
    keep: bool
    nudged: int
    given: bool
    margin: int
    errors: bool
    learn: bool
    network: bool
    seed: int
    first: int


@njit
def mix(x):  # type: ignore[no-untyped-def]
    """32 random bits from a counter: `lowbias32` of C. Wellons (hash-prospector, public domain)."""
    x = np.uint32(x)
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@compiled
def key_of(seed, stream, sample):  # type: ignore[no-untyped-def]
    """A 32-bit key for one projection in one trial."""
    return mix(np.uint32(mix(np.uint32(mix(np.uint32(seed)) + np.uint32(stream))) + np.uint32(sample)))


@compiled
def fill(key, bits, out):  # type: ignore[no-untyped-def]
    """The numbers of 0..2^bits - 1 that entries 0, 1.. of a stream are rounded with, into `out` (int64)."""
    for i in range(len(out)):
        out[i] = np.int64(mix(np.uint32(key + np.uint32(i))) >> np.uint32(32 - bits))


@inner
def changed(w, x1, y, y_b, q, r):  # type: ignore[no-untyped-def]
    """`update.updated`, of one weight; the second product is `x1 y_b`."""
    low, high = -r.top - 1, r.top - 1
    part = np.int32(min(max(((x1 * y * r.mantissa) >> r.right) << r.left, low), high))
    total = np.int32(min(max((np.int32(w) << r.unit) + part, low), high))
    part = np.int32(min(max(((x1 * y_b * r.mantissa) >> r.right) << r.left, low), high))
    total = np.int32(min(max(total + part, low), high))
    bits = r.unit + r.step_bits
    new = ((total + (1 << bits) - 1 - q) >> bits) << r.step_bits
    return np.int16(min(max(new, r.low), r.high))


@inner
def learn_row(row, pre, y, y_b, r, base, shared):  # type: ignore[no-untyped-def]
    """Update the synapses from one unit of trace `pre`; entry i has the random number `base + i`."""
    bits, two = r.unit + r.step_bits, len(y_b) > 0
    for i in range(len(y)):
        q = np.int32(shared)
        if shared < 0:
            q = np.int32(mix(np.uint32(base + np.uint32(i))) >> np.uint32(32 - bits))
        row[i] = changed(row[i], pre, y[i], y_b[i] if two else np.int32(0), q, r)


@njit
def learn_rows(wt, x1, y, y_b, r, key, shared):  # type: ignore[no-untyped-def]
    """Update W^T (n_pre, n_post), flat; `y_b` is a second term, or empty. `shared` >= 0 is one number for all."""
    n = len(y)
    for j in range(len(x1)):
        if x1[j] != 0:
            base = np.uint32(key + np.uint32(j) * np.uint32(n))
            learn_row(part(wt, j * n, n), x1[j], y, y_b, r, base, shared)


@njit
def learn_columns(w, x1, y, y_b, r, key, shared):  # type: ignore[no-untyped-def]
    """Update W (n_post, n_pre), flat; the random number of a synapse is that of `learn_rows`."""
    n, bits, two = len(y), r.unit + r.step_bits, len(y_b) > 0
    for i in range(n):
        second = y_b[i] if two else np.int32(0)
        if y[i] != 0 or second != 0:
            row, base = part(w, i * len(x1), len(x1)), np.uint32(key + np.uint32(i))
            for j in range(len(x1)):
                q = np.int32(shared)
                if shared < 0:
                    q = np.int32(mix(np.uint32(base + np.uint32(j) * np.uint32(n))) >> np.uint32(32 - bits))
                row[j] = changed(row[j], x1[j], y[i], second, q, r)


@inner
def trace_of(messages, limit, out):  # type: ignore[no-untyped-def]
    """`update.pre_trace`: half a message, halves to even; a trace has no sign."""
    for i in range(len(out)):
        p = max(messages[i], 0)
        out[i] = min((p >> 1) + (1 if p & 3 == 3 else 0), limit)


@inner
def to_trace(error, right, plastic, key, out, at):  # type: ignore[no-untyped-def]
    """`update.post_trace`, of one error."""
    if right <= 0:
        y = error << -right
    elif plastic.stochastic:
        y = (error + np.int64(mix(np.uint32(key + np.uint32(at))) >> np.uint32(32 - right))) >> right
    else:
        y = (error + (np.int64(1) << (right - 1))) >> right
    y <<= plastic.grain
    out[at] = np.int32(min(max(y, -plastic.y_limit), plastic.y_limit))


@inner
def held_rate(u, linear, r_max):  # type: ignore[no-untyped-def]
    """`neuron.rate`."""
    return np.int64(u) if linear else min(max(np.int64(u), 0), r_max)


@inner
def rate_error(now, past, ghost, ghost_past, linear, s, right, plastic, key, y):  # type: ignore[no-untyped-def]
    """What rates differ by, less what those of their ghosts do, if there are any, as a trace."""
    for i in range(len(y)):
        error = held_rate(now[i], linear, s.r_max) - held_rate(past[i], linear, s.r_max)
        if len(ghost) > 0:
            error -= held_rate(ghost[i], linear, s.r_max) - held_rate(ghost_past[i], linear, s.r_max)
        to_trace(error, right, plastic, key, y, i)


@inner
def errors(m, s, plastic, seed, sample):  # type: ignore[no-untyped-def]
    """The rule's error of every neuron as its trace y, from full-resolution states."""
    depth, none = len(m.n) - 1, m.z[:0]
    for k in range(depth):
        # what the nudge adds to a rate and not to its partner ghost; layer 1 has no ghost
        partner = plastic.prediction and k > 0
        ghost = above(m, V, k - 1) if partner else none
        ghost_past = above(m, V_FREE, k - 1) if partner else none
        now, past, y = states(m, U, k), states(m, U_FREE, k), states(m, Y, k)
        key = key_of(seed, ERROR + k, sample)
        rate_error(now, past, ghost, ghost_past, k == depth - 1, s, plastic.error[k], plastic, key, y)
    if plastic.learned:
        for k in range(depth - 1):
            now, past, y = states(m, U_FREE, k + 1), ghost_membranes(m, V_FREE, k, s), above(m, Y_GHOST, k)
            key = key_of(seed, GHOST_ERROR + k, sample)
            rate_error(now, past, none, none, k == depth - 2, s, plastic.ghost_error[k], plastic, key, y)
            key = key_of(seed, INHIBITION_ERROR + k, sample)
            left, y = states(m, LEFT, k), states(m, Y_INHIBITION, k)
            for i in range(len(y)):
                to_trace(np.int64(left[i]), plastic.inhibition_error[k], plastic, key, y, i)


@inner
def learn_bias(synapses, x1, y, y_b, left, r, key, shared, bias):  # type: ignore[no-untyped-def]
    """Synapses from a unit of trace `x1`, and the biases in states that they stand for."""
    learn_row(synapses, np.int32(x1), y, y_b, r, key, shared)
    for i in range(len(bias)):
        bias[i] = np.int32(synapses[i]) << left


@inner
def learn_trial(m, x, plastic, r, seed, sample, shared, network):  # type: ignore[no-untyped-def]
    """All plasticity of one trial, at its end; `network` is false while only ghosts learn."""
    depth, n, none = len(m.n) - 1, m.n, m.z[:0]
    for k in range(depth):
        x1 = part(m.z, m.at_z[X1, k], n[k])
        trace_of(x if k == 0 else states(m, P, k - 1), plastic.x1_limit, x1)
    if network:
        for k in range(depth):
            if not plastic.layers[k]:
                continue
            w, x1, y = mantissas(m, W, k), part(m.z, m.at_z[X1, k], n[k]), states(m, Y, k)
            key = key_of(seed, k, sample)
            if k == 0:
                learn_rows(w, x1, y, none, r, key, shared[0])
            else:
                learn_columns(w, x1, y, none, r, key, shared[k])
        for k in range(depth):
            if not plastic.layers[k]:
                continue
            synapses, bias = part(m.w, m.at_w[BIAS_W, k], n[k + 1]), states(m, B, k)
            key, y = key_of(seed, BIAS + k, sample), states(m, Y, k)
            one, left = plastic.bias_pre[k], plastic.bias_left[k]
            learn_bias(synapses, one, y, none, left, r, key, shared[depth + k], bias)
    if plastic.learned:
        for k in range(depth - 1):
            # the ghosts follow each step of the weights that they stand for
            follow = states(m, Y, k + 1) if network and plastic.layers[k + 1] else none
            y = above(m, Y_GHOST, k)
            key, x1 = key_of(seed, GHOST + k, sample), part(m.z, m.at_z[X1, k + 1], n[k + 1])
            learn_columns(mantissas(m, G, k), x1, y, follow, r, key, shared[2 * depth + k])
            synapses, bias = part(m.w, m.at_w[GHOST_BIAS_W, k], n[k + 2]), above(m, C, k)
            key, one, left = (
                key_of(seed, GHOST_BIAS + k, sample),
                plastic.bias_pre[k + 1],
                plastic.bias_left[k + 1],
            )
            learn_bias(synapses, one, y, follow, left, r, key, shared[3 * depth + k], bias)
            x1 = above(m, X1_GHOST, k)
            trace_of(above(m, PG, k), plastic.x1_limit, x1)
            key, y = key_of(seed, INHIBITION + k, sample), states(m, Y_INHIBITION, k)
            learn_rows(mantissas(m, INHIBIT, k), x1, y, none, r, key, shared[4 * depth + k])


@inner
def right_by(output, label, margin):  # type: ignore[no-untyped-def]
    """`course.withholds`, of the states of the output."""
    best, first = np.int64(0), True
    for i in range(len(output)):
        if i != label and (first or output[i] > best):
            best, first = np.int64(output[i]), False
    return not first and np.int64(output[label]) - best > margin


def _perform(sources: int):  # type: ignore[no-untyped-def]
    def perform(m, s, plastic, r, trials, inputs, labels, targets, shared, out):  # type: ignore[no-untyped-def]
        """One trial after another of messages `inputs (count, n_0)`; `targets (n_L, n_L)` holds one state per label.

        `shared (count, 5 L)` is one rounding number per projection and trial, or -1 for one of each synapse's own.
        `out (count, n_L)` takes u_L at the end of each free phase. Returns the steps that had to be computed, how many
        entries of W_1..W_L traces were at their limit, and from how many trials the target was withheld.
        """
        _ = sources  # so that it is a part of the key
        depth, steps, saturated, withheld = len(m.n) - 1, 0, 0, 0
        for t in range(len(inputs)):
            target, given = targets[labels[t]], trials.given
            if trials.reset:
                reset(m, inputs[t], s)
                steps += 1
            for nudged in (False, True):
                for _ in range(trials.nudged if nudged else trials.free):
                    if not step(m, target, nudged, nudged and given, s):
                        break
                    steps += 1
                if trials.keep and not nudged:
                    keep_free(m, s)
                    if trials.margin >= 0 and right_by(states(m, U_FREE, depth - 1), labels[t], trials.margin):
                        given = False
                        withheld += 1
            if trials.errors:
                errors(m, s, plastic, trials.seed, trials.first + t)
                for k in range(depth):
                    y = states(m, Y, k)
                    for i in range(len(y)):
                        saturated += abs(y[i]) == plastic.y_limit
            if trials.learn:
                learn_trial(m, inputs[t], plastic, r, trials.seed, trials.first + t, shared[t], trials.network)
            u = states(m, U_FREE, depth - 1)
            for i in range(len(u)):
                out[t, i] = u[i]
        return steps, saturated, withheld

    return compiled(perform)


perform = _perform(digest_of(__file__, engine.__file__))
