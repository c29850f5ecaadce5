"""What tests are built from: Hypothesis strategies, small networks with samples, and naive references.

The references are written from docs/theory.md in plain NumPy and double precision. They share no code with
the library.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network, Schedule
from lavaghost.numbers.arithmetic import Array
from tests.networks import parts

# ---- strategies


def units(max_value: int = 6) -> st.SearchStrategy[int]:
    """The size of a small layer."""
    return st.integers(1, max_value)


@st.composite
def networks(draw: st.DrawFn, max_hidden: int = 4, **fixed: Any) -> Network:
    """A small network; `fixed` holds fields that must not vary."""
    sizes = draw(st.lists(units(), min_size=3, max_size=max_hidden + 2))
    activation = fixed.get("activation", draw(st.sampled_from(["relu", "hard_sigmoid"])))
    values: dict[str, Any] = {
        "layers": tuple(sizes),
        "activation": activation,
        "saturation": draw(st.sampled_from([None, 0.5, 2.0])) if activation == "relu" else None,
        "loss": draw(st.sampled_from(["squared_error", "cross_entropy"])),
    }
    return Network(**(values | fixed))


@st.composite
def ghosts(draw: st.DrawFn, **fixed: Any) -> Ghost:
    """A ghost method of any kind; `fixed` holds fields that must not vary."""
    values: dict[str, Any] = {
        "mechanism": draw(st.sampled_from(["duplicate", "learned", "online"])),
        "feedback": draw(st.sampled_from(["tied", "random"])),
        "lam": draw(st.sampled_from([0.01, 0.1, 1.0])),
        "beta": draw(st.sampled_from([0.01, 0.1, 1.0])),
    }
    return Ghost(**(values | fixed))


@st.composite
def graphs(draw: st.DrawFn, max_hidden: int = 4, **fixed: Any) -> Graph:
    """The graph of a small network with ghosts; `fixed` holds fields of either that must not vary."""
    own = {key: value for key, value in fixed.items() if key in Network.model_fields}
    rest = {key: value for key, value in fixed.items() if key not in own}
    return draw(ghosts(**rest)).graph(draw(networks(max_hidden, **own)))


seeds = st.integers(0, 2**32 - 1)

# ---- small problems


class Problem(NamedTuple):
    """A network with a ghost method, parameters, a batch `x (batch, n_0)` and one-hot targets `(batch, n_L)`."""

    network: Network
    method: Ghost
    params: Parameters
    x: Array
    target: Array

    @property
    def graph(self) -> Graph:
        """The network with the method's feedback and ghosts."""
        return self.method.graph(self.network)

    def change(self, **fields: Any) -> "Problem":
        """The same numbers under another description."""
        own = {key: value for key, value in fields.items() if key in Network.model_fields}
        rest = {key: value for key, value in fields.items() if key not in own}
        return self._replace(
            network=self.network.model_copy(update=own), method=self.method.model_copy(update=rest)
        )

    def single(self) -> "Problem":
        """The same problem with numbers that float32 holds exactly."""
        numbers = (self.params.astype(np.float32), self.x.astype(np.float32), self.target.astype(np.float32))
        return self._replace(params=numbers[0], x=numbers[1], target=numbers[2])

    def double(self) -> "Problem":
        """The same numbers in double precision."""
        return self._replace(params=self.params.astype(np.float64), x=self.x.astype(np.float64))


def parameters(graph: Graph, seed: int, copied: bool = True) -> Parameters:
    """He-initialised float64 parameters with biases; learned ghosts are exact copies if `copied`."""
    params = initial_parameters(graph, seed, np.float64)
    rng = np.random.default_rng([seed, 1])
    params = params._replace(biases=tuple(rng.normal(0.0, 0.3, b.shape) for b in params.biases))
    return with_exact_ghosts(params) if copied and params.ghost_weights else params


def with_exact_ghosts(params: Parameters) -> Parameters:
    """Learned ghosts at the end point of their plasticity: copies of what they stand for."""
    return params._replace(
        ghost_weights=tuple(w.copy() for w in params.weights[1:]),
        ghost_biases=tuple(b.copy() for b in params.biases[1:]),
        ghost_inhibition=tuple(fed_back(params, k).copy() for k in range(1, len(params.weights))),
    )


def fed_back(params: Parameters, k: int) -> Array:
    """B_k `(n_k, n_{k+1})` of a dense network: its own, or W_{k+1}^T where feedback is tied."""
    return params.feedback[k - 1] if params.feedback else params.weights[k].T


def samples(network: Network | Graph, batch: int, seed: int) -> tuple[Array, Array]:
    """Normal inputs and one-hot targets of random classes."""
    rng = np.random.default_rng([seed, 2])
    classes = rng.integers(0, network.layers[-1], batch)
    return rng.normal(size=(batch, network.layers[0])), np.eye(network.layers[-1])[classes]


def problem(
    layers: tuple[int, ...],
    batch: int,
    seed: int = 0,
    *,
    margin: float = 0.0,
    copied: bool = True,
    **fields: Any,
) -> Problem:
    """A random problem; with `margin`, its samples keep every hidden unit that far from a kink of its rate."""
    network, method = parts(layers=layers, **fields)
    params = parameters(method.graph(network), seed, copied)
    x, target = samples(network, batch if margin == 0 else 20 * batch, seed)
    if margin:
        membranes, _ = forward(network, params, x)
        kinks = [0.0] if network.r_max == np.inf else [0.0, network.r_max]
        near = [np.abs(v - kink).min(axis=1) for v in membranes[:-1] for kink in kinks]
        clear = np.flatnonzero(np.min(near, axis=0) > margin)[:batch]
        assert len(clear) == batch, f"only {len(clear)} of {20 * batch} samples keep {margin} from a kink"
        x, target = x[clear], target[clear]
    return Problem(network, method, params, x, target)


# ---- naive references


def forward(network: Network | Graph, params: Parameters, x: Array) -> tuple[list[Array], list[Array]]:
    """Membranes and rates of the plain feedforward pass, layers 1..L."""
    membranes: list[Array] = []
    rates: list[Array] = []
    below = x
    for k, (w, b) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        v = np.einsum("bi,ji->bj", below, w) + b
        below = v if k == network.depth else np.clip(v, 0.0, network.r_max)
        membranes.append(v)
        rates.append(below)
    return membranes, rates


def loss(network: Network | Graph, params: Parameters, x: Array, target: Array) -> float:
    """Mean over the batch of `-sum y log softmax(r_L)`, or of `|y - r_L|^2 / 2`."""
    out = forward(network, params, x)[1][-1]
    if network.loss == "squared_error":
        return float(0.5 * np.square(target - out).sum(axis=1).mean())
    shifted = out - out.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(target * log_p).sum(axis=1).mean())


def descent(network: Network | Graph, params: Parameters, x: Array, target: Array) -> list[Array]:
    """The negative gradient of `loss` in the weights, by the chain rule; zero slope at and beyond a kink."""
    membranes, rates = forward(network, params, x)
    predicted = rates[-1]
    if network.loss == "cross_entropy":
        z = np.exp(predicted - predicted.max(axis=1, keepdims=True))
        predicted = z / z.sum(axis=1, keepdims=True)
    delta = target - predicted
    found: list[Array] = []
    for k in range(network.depth - 1, -1, -1):
        pre = x if k == 0 else rates[k - 1]
        found.insert(0, np.einsum("bj,bi->ji", delta, pre) / len(x))
        if k:
            v = membranes[k - 1]
            slope = (v > 0) & (v < network.r_max)
            delta = np.einsum("bj,ji->bi", delta, params.weights[k]) * slope
    return found


def distance(found: Array, wanted: Array) -> float:
    """`|found - wanted| / |wanted|`, Frobenius."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def slope(x: list[float], y: list[float]) -> float:
    """The slope of log y on log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def fast(**fields: Any) -> Schedule:
    """A short schedule for tests that step in time."""
    return Schedule(**({"t_free_steps": 12, "t_nudge_steps": 8} | fields))
