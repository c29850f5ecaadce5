"""Graphs and methods of ghost networks from one list of settings, as most tests want them."""

from typing import Any

from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network


def parts(**settings: Any) -> tuple[Network, Ghost]:
    """The network and the ghost method whose fields `settings` are."""
    own = {key: value for key, value in settings.items() if key in Network.model_fields}
    rest = {key: value for key, value in settings.items() if key not in own}
    return Network(**own), Ghost(**rest)


def ghost_graph(**settings: Any) -> Graph:
    """The graph of a network with ghosts, from fields of `Network` and `Ghost`."""
    network, method = parts(**settings)
    return method.graph(network)
