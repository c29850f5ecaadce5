"""Dropout under any method: it works on the numbers of the network that is left, and its changes go back from there.

    T' = D(a) T D(b),   dT = D(a) dT' D(b)         (the chain rule)

m_k is 1 for units that stay, the same for all samples of a batch, and p the share that is kept. What a unit sends is
divided by p (inverted dropout), so the whole network needs no other weights.

    tensor                  a          b
    W_k                     m_k        m_{k-1} / p
    B_k (from layer j)      m_k / p    m_j
    G_k (ghosts of k + 1)   m_{k+1}    m_k / p
    I_k                     m_k / p    m_{k+1}

Biases have a alone. With that a unit is out of both phases, and its ghosts with it, so that exact ghosts still cancel
exactly, and B_k = W_{k+1}^T stays so. Input and output stay whole.
"""

from typing import NamedTuple

import numpy as np

from lavaghost.methods.base import Changes, Factors, Moment
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

STREAM = 2**20
"""Of a moment's random numbers; layer k has this one and k more."""


def drawn(graph: Graph, kept: float, moment: Moment) -> dict[int, Array]:
    """m_1..m_{L-1} by layer, `(n_k,)`: each unit stays with probability `kept`."""
    return {
        k: (moment.rng(STREAM + k).random(graph.layers[k]) < kept).astype(np.float64)
        for k in range(1, graph.depth)
    }


def dense_faults(graph: Graph, setting: str) -> list[str]:
    """A line if a projection has weights that are no matrix of units."""
    if all(p.kind == "dense" for p in graph.projections if p.tensor is not None):
        return []
    return [f"{setting} is for dense projections, and network.kinds names others; use dense, or leave it out"]


class Masked(NamedTuple):
    """a `(n_post,)` and b `(n_pre,)` by tensor, as the module has them; what is not named stays as it is."""

    rows: dict[str, Array]
    columns: dict[str, Array]

    def scaled(self, name: str, tensor: Array) -> Array:
        """D(a) T D(b)."""
        if name not in self.rows:
            return tensor
        rows = self.rows[name].astype(tensor.dtype)
        if name not in self.columns:
            return tensor * rows
        return tensor * rows[:, np.newaxis] * self.columns[name].astype(tensor.dtype)

    def masked(self, params: Parameters) -> Parameters:
        """The numbers of the network that is left."""
        groups = zip(params._fields, params, strict=True)
        return Parameters(
            *(tuple(self.scaled(f"{field}.{k}", a) for k, a in enumerate(group, 1)) for field, group in groups)
        )

    def returned(self, changes: Changes) -> Changes:
        """What changes of those numbers are as changes of the whole network's."""
        factors = {
            name: Factors(
                f.post * _like(self.rows[name], f.post), f.pre * _like(self.columns[name], f.pre), f.gain
            )
            for name, f in changes.factors.items()
        }
        add = {name: self.scaled(name, change) for name, change in changes.add.items()}
        return Changes(factors, add, changes.follow)


def _like(scale: Array, factor: Array) -> Array:
    return scale.astype(factor.dtype)


def scales(graph: Graph, masks: dict[int, Array], kept: float) -> Masked:
    """Of the tensors of `graph`, whose hidden layers have `masks`."""
    stays = {p.name: np.ones(p.size) for p in graph.populations}
    for k, mask in masks.items():
        stays[graph.layer(k)] = mask
    for p in graph.populations:
        if p.role == "ghost" and graph.predicts:  # of layer k stand for layer k + 1
            stays[p.name] = masks.get(int(p.name.split(".")[1]) + 1, stays[p.name])
    sends = {p.name: stays[p.name] / kept if p.role == "hidden" else stays[p.name] for p in graph.populations}
    rows = {p.bias: stays[p.name] for p in graph.populations if p.bias is not None}
    columns: dict[str, Array] = {}
    for p in graph.projections:
        if p.tensor is None or not p.own:
            continue
        up = p.path in ("feedforward", "ghost")
        rows[p.tensor] = stays[p.target] if up else sends[p.target]
        columns[p.tensor] = sends[p.source] if up else stays[p.source]
    return Masked(rows, columns)
