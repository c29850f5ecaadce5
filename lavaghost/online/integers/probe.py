"""What a network in integers would learn from samples, beside the gradient of backprop: the probe of diagnostics."""

from typing import NamedTuple

import numpy as np

from lavaghost.methods.ghost.rules import Rule
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.kernels import Plastic
from lavaghost.online.integers.settings import (
    IntegerLearning,
)
from lavaghost.online.integers.update import (
    pre_trace,
)

PROBE_SAMPLE = 2**31 - 2**24
"""Number of the first trial of a probe; training counts from 0, pre-training from 2^31."""


class Probe(NamedTuple):
    """Per layer: weight changes `(n_post, n_pre)` summed over samples, in products of traces.

    expected   with the errors before they are rounded, which is the mean over the random numbers
    sampled    with one draw of the random numbers
    residuals  ||B r - i|| / ||B r|| at the end of the free phase, per hidden layer
    saturated_messages   share of messages at their limit, layers 0..L-1
    """

    expected: list[Array]
    sampled: list[Array]
    residuals: list[float]
    saturated_messages: list[float]


def probe(
    net: CompiledNetwork, rule: Rule, learning: IntegerLearning, x: Array, labels: Array, halvings: int
) -> Probe:
    """What messages `x (count, n_0)` would teach, both phases under the same weights; see `Probe`."""
    plastic, states, depth = net.plastic(rule, learning, halvings), net.states, net.graph.depth
    limit = (1 << net.widths.trace_bits) - 1
    goals = net.arith.array(np.eye(net.graph.layers[-1])).astype(np.int32)
    pre = [np.empty((len(x), n)) for n in net.graph.layers[:-1]]
    expected = [np.empty((len(x), n)) for n in net.graph.layers[1:]]
    sampled = [np.empty((len(x), n)) for n in net.graph.layers[1:]]
    whole, left = np.zeros(depth - 1), np.zeros(depth - 1)
    for t in range(len(x)):
        message = x[t].astype(np.int32)
        net.free_phase(message)
        for k in range(depth - 1):
            whole[k] += np.square(states.fb[k].astype(np.float64)).sum()
            left[k] += np.square(states.left[k].astype(np.float64)).sum()
        net.trial(message, goals[labels[t]])
        net.errors(rule, learning, PROBE_SAMPLE + t, halvings)
        for k in range(depth):
            pre[k][t] = pre_trace(message if k == 0 else states.p[k - 1], net.widths)
            sampled[k][t] = states.y[k]
            right = 2.0 ** (plastic.grain - plastic.error[k])
            expected[k][t] = np.clip(_error(net, k, plastic) * right, -plastic.y_limit, plastic.y_limit)
    size = np.where(whole > 0, whole, 1.0)
    return Probe(
        expected=[y.T @ r for y, r in zip(expected, pre, strict=True)],
        sampled=[y.T @ r for y, r in zip(sampled, pre, strict=True)],
        residuals=[float(v) for v in np.sqrt(left / size)],
        saturated_messages=[float((r >= limit).mean()) for r in pre],
    )


def _error(net: CompiledNetwork, k: int, plastic: Plastic) -> Array:
    """The rule's error of layer k + 1 in the present cells, in states."""
    cells, linear = net.states, k == net.graph.depth - 1

    def change(now: Array, free: Array) -> Array:
        return now - free if linear else np.clip(now, 0, net.shifts.r_max) - np.clip(free, 0, net.shifts.r_max)

    error = change(cells.u[k], cells.u_free[k])
    return error - change(cells.v[k - 1], cells.v_free[k - 1]) if plastic.prediction and k > 0 else error
