"""Messages between cores, and which core of the chip each part goes to so that they travel little.

A neuron that sends reaches every core that holds targets of it, by one message each. Placing parts on a mesh so
that the sum of messages * hops is smallest is a quadratic assignment, which scipy solves approximately; parts in
the order in which they were packed are kept where that is not better.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import quadratic_assignment

from lavaghost.hardware.activity import Activity
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.schema import Mesh
from lavaghost.numbers.arithmetic import Array

MOST_CORES = 1024
"""The matrix of all pairs is not made for more cores than this."""
MOST_TO_SOLVE = 256


@dataclass(frozen=True)
class Traffic:
    """messages   (cores + 1, cores) per step; the last row is the input, which enters at the first tile
    position      (cores,) physical core of each part; None without a mesh, or where it is too small
    hops          (cores + 1, cores, 2) tiles between them along x and y; None without a mesh
    """

    messages: Array
    position: Array | None
    hops: Array | None

    @property
    def hops_per_step(self) -> float | None:
        """Sum of messages * hops."""
        return None if self.hops is None else float((self.messages * self.hops.sum(axis=2)).sum())


def traffic(mapping: Mapping, activity: Activity) -> Traffic | None:
    """Messages per step of a placement, and its position on the mesh; None for no or too many cores."""
    count = len(mapping.cores)
    if not 0 < count <= MOST_CORES:
        return None
    messages = _messages(mapping, activity)
    mesh = mapping.hardware.mesh
    places = 0 if mesh is None else int(np.prod(mesh.shape))
    if mesh is None or count > places:
        return Traffic(messages, None, None)
    tiles = _tiles(mesh, places)
    distance = np.abs(tiles[:, None] - tiles[None]).sum(axis=2)
    position = _solve(messages, distance, count)
    source = np.vstack([tiles[position], tiles[:1]])
    hops = np.abs(source[:, None] - tiles[position][None])
    return Traffic(messages, position, hops)


def during(whole: Traffic, mapping: Mapping, activity: Activity) -> Traffic:
    """What of the traffic is left on the same cores where `mapping` is a part of the one that was placed."""
    return Traffic(_messages(mapping, activity), whole.position, whole.hops)


def _messages(mapping: Mapping, activity: Activity) -> Array:
    demand, count = mapping.demand, len(mapping.cores)
    found = np.zeros((count + 1, count))
    parts = mapping.parts
    for p in demand.populations:
        rate = activity.rate_of(p.name, mapping.hardware)
        # inputs come from outside the chip, as one row
        senders = ((count, None),) if p.role == "input" else parts[p.name]
        reached: dict[tuple[int, int], int] = {}
        for c in demand.out_of(p.name):
            for i, part in senders:
                start, stop = (0, p.size) if part is None else (part.start, part.stop)
                for j, target in parts[c.target]:
                    if c.aligned:
                        n = min(stop, target.stop) - max(start, target.start)
                    else:
                        n = min(stop, c.first + c.n_pre) - max(start, c.first)
                    # several projections from one neuron to one core share a message
                    if n > 0:
                        reached[i, j] = max(reached.get((i, j), 0), n)
        for (i, j), n in reached.items():
            found[i, j] += n * rate
    return found


def _tiles(mesh: Mesh, places: int) -> Array:
    """(x, y) of the tile of every physical core, in a snake, so that neighbours in order are neighbours in space."""
    _, height, per_tile = mesh.shape
    tile = np.arange(places) // per_tile
    x, y = tile // height, tile % height
    return np.stack([x, np.where(x % 2 == 0, y, height - 1 - y)], axis=1)


def _solve(messages: Array, distance: Array, count: int) -> Array:
    """Physical cores that make the journey short; in order if no better ones are found."""
    order = np.arange(count)
    if count == 1 or len(distance) > MOST_TO_SOLVE:
        return order
    # the input is one more facility, held at one more place that lies at the first tile
    size = len(distance)
    away = np.pad(distance.astype(float), (0, 1))
    away[size, :size] = away[:size, size] = distance[0]
    flow = np.zeros((size + 1, size + 1))
    flow[:count, :count], flow[size, :count] = messages[:count], messages[count]
    near = np.full((size, size), 0.5 / size) + 0.5 * np.eye(size)
    candidates = [order]
    for start in ("barycenter", near):
        options = {"P0": start, "partial_match": np.array([[size, size]])}
        candidates.append(quadratic_assignment(flow, away, options=options).col_ind[:count])
    journeys = [
        float((messages[:count] * distance[np.ix_(c, c)]).sum() + (messages[count] * distance[0, c]).sum())
        for c in candidates
    ]
    return candidates[int(np.argmin(journeys))]
