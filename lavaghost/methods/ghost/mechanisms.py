"""The three wirings of ghosts: what excites them, and by what they inhibit the neurons beside which they stand.

duplicate   G_k = W_{k+1}, c_k = b_{k+1}, I_k = B_k: the ghosts of layer k copy layer k + 1
learned     G_k, c_k, I_k are tensors of their own, which learn to cancel
online      n_k integrators beside layer k get B_k r_{k+1} themselves, and pass it on one to one
"""

from collections.abc import Iterator

from lavaghost.base.names import Feedback, Mechanism
from lavaghost.net.graph import Graph, Population, Projection, Relaxation, fed_back, layer_name, layers, upwards
from lavaghost.net.network import Network


def with_ghosts(network: Network, mechanism: Mechanism, feedback: Feedback, relaxation: Relaxation) -> Graph:
    """The graph of a network with feedback and the ghosts that cancel it."""
    back = fed_back(network, feedback)
    wired: list[Projection] = [*upwards(network)]
    ghosts: list[Population] = []
    for k in range(1, network.depth):
        ghosts.append(population(network, k, mechanism))
        wired += [back[k - 1], *WIRES[mechanism](network, k, back[k - 1])]
    return Graph(network, (*layers(network), *ghosts), tuple(wired), relaxation)


def population(network: Network, k: int, mechanism: Mechanism) -> Population:
    """The ghosts beside layer k."""
    if mechanism == "online":
        return Population(name=f"ghost.{k}", role="ghost", size=network.layers[k], activation="linear")
    return Population(
        name=f"ghost.{k}",
        role="ghost",
        size=network.layers[k + 1],
        activation="linear" if k + 1 == network.depth else network.activation,
        bias=f"biases.{k + 1}" if mechanism == "duplicate" else f"ghost_biases.{k}",
    )


def _duplicate(network: Network, k: int, back: Projection) -> Iterator[Projection]:
    here, ghost = layer_name(network, k), f"ghost.{k}"
    kind, tensor = network.kind(k + 1), f"weights.{k + 1}"
    yield Projection(
        source=here,
        target=ghost,
        path="ghost",
        kind=kind,
        tensor=tensor,
        own=False,
        plastic=network.learns(k + 1),
    )
    yield back.model_copy(update={"source": ghost, "path": "inhibition", "own": False})


def _learned(network: Network, k: int, back: Projection) -> Iterator[Projection]:
    here, ghost = layer_name(network, k), f"ghost.{k}"
    yield Projection(source=here, target=ghost, path="ghost", tensor=f"ghost_weights.{k}", plastic=True)
    yield Projection(source=ghost, target=here, path="inhibition", tensor=f"ghost_inhibition.{k}", plastic=True)


def _online(network: Network, k: int, back: Projection) -> Iterator[Projection]:
    here, ghost = layer_name(network, k), f"ghost.{k}"
    yield back.model_copy(update={"target": ghost, "path": "ghost", "own": False})
    yield Projection(source=ghost, target=here, path="inhibition", kind="one_to_one", own=False)


WIRES = {"duplicate": _duplicate, "learned": _learned, "online": _online}
