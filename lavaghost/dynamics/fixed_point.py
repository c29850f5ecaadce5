"""The fixed points of `step`, in deviation form.

With v the membrane at the free fixed point and r = rho(v), every nudged quantity is written as a change:

    d_k      = rho(v_k + p_k + e_k) - rho(v_k)        change of a rate: nudged minus free
    p_k      = W_k d_{k-1}                            what the layer below pushes up; p_1 = 0
    e_k      = lam (B_k d_{k+1} - change of i_k)      what the ghosts leave of the feedback
    delta_k  = d_k - (rho(v_k + p_k) - rho(v_k))      the part of d_k that its ghosts do not predict

    duplicate   e_k = lam B_k delta_{k+1}             since the duplicate of k+1 follows p_{k+1}
    online      e_k = lam B_k d_{k+1}                 since the ghost is held
    learned     e_k = lam (B_k d_{k+1} - I_k dg_k),   dg_k = rho(h_k + G_k d_k) - rho(h_k),  h_k = G_k r_k + c_k

The changes are of order beta lam^(L-k). As differences of two large rates they would drown in float32
rounding (docs/theory.md), so they are solved for directly. In a deep network they pass below the smallest number of
float32 as well, and their restoring gains above its largest: such layers are held in a unit of 2^-m_k (`units`). The
equations are linear but for clip, and a clip of scaled numbers is a scaled clip, so a unit changes no digit.
"""

import math
from typing import Any

import numpy as np

from lavaghost.dynamics.neuron import nudge
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, Float

FLOAT32 = Float(np.float32)


def split(v: Array, r_max: float, rate: Array) -> None:
    """From a membrane `v`: `rate` = rho(v), and `v` itself becomes the excess v - rho(v). In place.

    The excess is zero where the unit is in its linear range.
    """
    if r_max < np.inf:
        np.clip(v, 0.0, r_max, out=rate)
    else:
        # a row of zeros: with a scalar numpy compares one number at a time
        np.maximum(v, np.zeros(v.shape[-1], v.dtype), out=rate)
    np.subtract(v, rate, out=v)


def respond(
    change: Array, excess: Array, rate: Array, r_max: float, out: Array, scratch: Array, per_rate: Any = 1.0
) -> Array:
    """`out` = rho(v + change) - rho(v), for rate = rho(v) and excess = v - rate. All `(batch, n)`.

    Equal to clip(change + excess, -rate, r_max - rate): exact to the last bit of `change` in the linear
    range, where the plain difference loses `eps * |v|`. `change` and `out` are in units of 1 / `per_rate`, a power
    of two.
    """
    if per_rate == 1.0:
        np.add(change, excess, out=out)
    else:
        np.multiply(excess, per_rate, out=scratch)
        np.add(change, scratch, out=out)
    np.negative(rate, out=scratch)
    if per_rate != 1.0:
        scratch *= per_rate
    np.maximum(out, scratch, out=out)
    if r_max < np.inf:
        np.subtract(r_max, rate, out=scratch)
        if per_rate != 1.0:
            scratch *= per_rate
        np.minimum(out, scratch, out=out)
    return out


def output_error(output: Array, target: Array, graph: Graph, shift: Array | None) -> Array:
    """delta_L, the output's own reaction to the nudge, `(batch, n_L)`.

        squared error   u = a + beta (y - u)          ->  delta_L = beta / (1 + beta) (y - a)
        cross-entropy   u = a + beta (y - softmax u)  ->  delta_L = beta (y - softmax(a + delta_L))

    `output` is `a_L + p_L`. The second line is implicit: `shift` is the delta_L of the sweep before, None
    in the first sweep, and the iteration contracts by beta / 2.
    """
    if graph.loss == "squared_error":
        gain = graph.beta / (1.0 + graph.beta)
        return nudge(output, target, graph.loss, FLOAT32) * gain
    at = output if shift is None else output + shift
    return nudge(at, target, graph.loss, FLOAT32) * graph.beta


def attenuation_bits(graph: Graph, k: int) -> float:
    """-log2(beta lam^(L - k)): how far an error of 1 falls on its way to layer k; negative where it grows."""
    return -math.log2(graph.beta) - (graph.depth - k) * math.log2(graph.lam)


def spare_bits(dtype: np.dtype[Any]) -> int:
    """Half of the exponents below 1 of a floating type: 63 for float32, 511 for float64."""
    return -int(np.finfo(dtype).minexp) // 2


def units(graph: Graph, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """m_k of layers 1..L: changes of layer k are held in units of 2^-m_k; 0 in all but deep networks.

    An error of 1 keeps at least 2^-63 (float32), which leaves errors and weights the other half of the exponents.
    The output's unit is 1.
    """
    if graph.relaxation is None:  # nothing is nudged
        return (0,) * graph.depth
    spare = spare_bits(dtype)
    hidden = range(1, graph.depth)
    return (*(max(0, math.floor(attenuation_bits(graph, k)) - spare) for k in hidden), 0)


def restoring_bits(graph: Graph, k: int) -> float:
    """log2 of `restoring_gain`, which a deep network cannot form."""
    return attenuation_bits(graph, k) + (math.log2(1.0 + graph.beta) if graph.loss == "squared_error" else 0.0)


def restoring_gain(graph: Graph, k: int, unit: int = 0) -> float:
    """(1 + beta) / beta * lam^-(L - k): undoes the attenuation of nudge and feedback at layer k.

    For cross-entropy the nudge is not divided by 1 + beta, so the first factor is 1 / beta. Of changes in units of
    2^-unit it is the gain, 2^-unit smaller, and formed without leaving the finite numbers.
    """
    nudge_gain = 1.0 / graph.beta
    if graph.loss == "squared_error":
        nudge_gain *= 1.0 + graph.beta
    if unit == 0:
        return nudge_gain * graph.lam ** -(graph.depth - k)
    mantissa, exponent = math.frexp(graph.lam)
    n = graph.depth - k
    return math.ldexp(nudge_gain * mantissa**-n, -n * exponent - unit)
