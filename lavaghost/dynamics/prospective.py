"""One step of a network with prospective rates and errors beside its membranes: latent equilibrium, Haider et al. 2021.

    tau du_k/dt = -u_k + W_k r_{k-1} + b_k + e_k + xi_k,   U_k = u_k + tau du_k/dt,   r_k = rho(U_k), r_L = U_L
    e_L = beta (y - p(r_L)),   e_k = rho'(U_k) (B_k e_{k+1})

A rate that looks ahead by the membrane's own tau answers at once to U_k = W_k r_{k-1} + b_k + e_k + xi_k, so the
numbers are those of tau = 1 whatever tau is, and u_k is no part of the state. Rate and error take a step per layer:

    U_k(t) = W_k r_{k-1}(t-1) + b_k + e_k(t-1) + xi_k(t)
    e_L(t) = beta (y - p(r_L(t-1))),   e_k(t) = rho'(U_k(t-1)) (B_k e_{k+1}(t-1))

The noise xi, and whether membranes feel the errors, are the caller's (`methods.pal`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lavaghost.dynamics.neuron import nudge, rate, slope
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Arithmetic, Array


class ErrorWiring(NamedTuple):
    """Connections up and down, ready for `prospective_step`; index 0 is layer 1. `felt`: e_k enters the membrane."""

    graph: Graph
    weights: tuple[Any, ...]
    biases: tuple[Array, ...]
    back: tuple[Any, ...]
    beta: float
    felt: bool


class Prospect(NamedTuple):
    """r_1..r_L and e_1..e_L, `(batch, n_k)`."""

    rates: tuple[Array, ...]
    errors: tuple[Array, ...]


def wire_errors(graph: Graph, params: Parameters, beta: float, felt: bool, arith: Arithmetic) -> ErrorWiring:
    """What each projection delivers by; tied feedback is copied."""
    weights = tuple(
        arith.connection(w, "weights", k, p)
        for k, (w, p) in enumerate(zip(params.weights, graph.up, strict=True), start=1)
    )
    back = tuple(
        arith.transposed(weights[k], k)
        if link.transposed
        else arith.connection(params.feedback[k - 1], "feedback", k, graph.products(link))
        for k, link in enumerate(graph.back, start=1)
    )
    return ErrorWiring(graph, weights, tuple(arith.array(b) for b in params.biases), back, beta, felt)


def at_rest(graph: Graph, batch: int, arith: Arithmetic) -> Prospect:
    """Before a presentation: no rates, no errors."""
    zeros = tuple(arith.zeros(batch, size) for size in graph.layers[1:])
    return Prospect(zeros, zeros)


def prospective_step(
    net: ErrorWiring,
    state: Prospect,
    input_drive: Array,
    target: Array,
    arith: Arithmetic,
    noise: Sequence[Array] = (),
) -> Prospect:
    """The next state. `input_drive` is `W_1 x`; `noise` is xi_1..xi_{L-1}, or nothing."""
    graph = net.graph
    rates, errors = [], []
    for k in range(1, graph.depth + 1):
        drive = input_drive if k == 1 else arith.synapse(net.weights[k - 1], state.rates[k - 2])
        u = arith.add(drive, net.biases[k - 1])
        if net.felt:
            u = arith.add(u, state.errors[k - 1])
        if noise and k < graph.depth:
            u = arith.add(u, noise[k - 1])
        rates.append(rate(u, graph, k, arith))
    for k, (own, above) in enumerate(zip(state.rates[:-1], state.errors[1:], strict=True), start=1):
        down = arith.synapse(net.back[k - 1], above)
        errors.append(np.where(slope(graph, own), down, arith.zeros(1, 1)))
    errors.append(arith.scale(nudge(state.rates[-1], target, graph.loss, arith), net.beta))
    return Prospect(tuple(rates), tuple(errors))
