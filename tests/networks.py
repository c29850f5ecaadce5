"""Graphs and methods of ghost networks from one list of settings, as most tests want them."""

from typing import Any

from lavaghost.methods.base import Batch, Changes, Method, Moment, OwnState, Purpose
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array


def parts(**settings: Any) -> tuple[Network, Ghost]:
    """The network and the ghost method whose fields `settings` are."""
    own = {key: value for key, value in settings.items() if key in Network.model_fields}
    rest = {key: value for key, value in settings.items() if key not in own}
    return Network(**own), Ghost(**rest)


def ghost_graph(**settings: Any) -> Graph:
    """The graph of a network with ghosts, from fields of `Network` and `Ghost`."""
    network, method = parts(**settings)
    return method.graph(network)


def asked(
    method: Method,
    graph: Graph,
    params: Parameters,
    x: Array,
    target: Array,
    purpose: Purpose = "train",
    state: OwnState | None = None,
    **learning: Any,
) -> Changes:
    """What one batch changes, by a method that is made ready for it; `learning` are fields of `Learning`."""
    settings: dict[str, Any] = {"batch_size": len(x)} | learning
    work = method.prepare(graph, Learning(**settings))
    return method.update(work, params, state or {}, Batch(x, target, Moment(0, 0, 0), purpose))[0]
