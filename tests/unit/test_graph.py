"""The neutral graph: its order, what is shared in it, and that it computes what the network does."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import ExportError
from lavaghost.base.spec import parse
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.exporters import available, export, find, graph
from lavaghost.exporters.chain import Links, chain, chaining
from lavaghost.exporters.graph import Dense, Direct, Ghosts, Input, Output, Rates, lower, lowering
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from tests.spiking_networks import data_for, raw_digits, spiking_network

MECHANISMS = ["duplicate", "learned", "online"]
WRITTEN = [name for name in available() if name != "yaml"]
"""Those that write from the graph; `yaml` saves the network itself."""


@dataclass(frozen=True, eq=False)
class Leaky:
    """A kind that no format knows."""

    name: str
    size: int
    bias: np.ndarray
    leak: float = 0.9


@pytest.fixture
def leaky(monkeypatch):
    """Hidden layers are of kind `Leaky` in every graph."""
    real = graph._population

    def population(*args: Any) -> Any:
        node = real(*args)
        return Leaky(node.name, node.size, node.bias) if isinstance(node, Rates) else node

    monkeypatch.setattr(graph, "_population", population)


def trained_network(**physics: Any) -> Model:
    network = parse(Network, {"layers": (6, 5, 4, 3), **physics})
    params = initial_parameters(network, 3)
    biases = tuple(np.full_like(b, 0.1 * (k + 1)) for k, b in enumerate(params.biases))
    learning = Learning(rule="temporal")
    return Model(network, learning, params._replace(biases=biases), 1 / 16, ("a", 7, "c"), "digits")


def forward(trained: Model, raw: np.ndarray) -> np.ndarray:
    """The feedforward nodes, run one after the other."""
    value = raw
    for node in lower(trained).feedforward:
        if isinstance(node, Input):
            value = value * node.scale
        elif isinstance(node, Dense):
            value = value @ node.matrix.T
        elif isinstance(node, Rates):
            value = np.clip(value + node.bias, 0.0, node.r_max)
        elif isinstance(node, Output):
            value = value + node.bias
    return value


@pytest.mark.parametrize(
    "physics", [{}, {"saturation": 0.4}, {"activation": "hard_sigmoid"}, {"mechanism": "online"}]
)
def test_the_feedforward_nodes_compute_the_free_phase(physics):
    trained = trained_network(**physics)
    raw = np.random.default_rng(0).integers(0, 17, (20, 6)).astype(np.float32)
    engine = Equilibrium(trained.network, 20)
    np.testing.assert_allclose(forward(trained, raw), engine.output(trained.params, raw / 16), atol=1e-5)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_every_connection_joins_populations_that_there_are(mechanism, feedback):
    nodes = lower(trained_network(mechanism=mechanism, feedback=feedback)).nodes
    size = {node.name: node.size for node in nodes if not isinstance(node, Dense | Direct)}
    assert len(size) == 4 + 2
    seen: set[str] = set()
    for node in nodes:
        if isinstance(node, Dense):
            assert node.matrix.shape == (size[node.target], size[node.source])
            # a source stands before what it drives, but for feedback, which goes down
            assert node.source in seen
        elif isinstance(node, Direct):
            assert size[node.source] == size[node.target]
        else:
            seen.add(node.name)
    kinds = [node.kind for node in nodes if isinstance(node, Dense | Direct)]
    assert (kinds.count("feedforward"), kinds.count("feedback"), kinds.count("ghost")) == (3, 2, 4)


def test_shared_weights_are_resolved():
    trained = trained_network(mechanism="duplicate")
    weights = trained.params.weights
    dense = {node.name: node for node in lower(trained).nodes if isinstance(node, Dense)}
    back, into, out = (dense[n] for n in ("hidden.2 -> hidden.1", "hidden.1 -> ghost.1", "ghost.1 -> hidden.1"))
    np.testing.assert_array_equal(back.matrix, weights[1].T)
    np.testing.assert_array_equal(into.matrix, weights[1])
    np.testing.assert_array_equal(out.matrix, weights[1].T)
    assert (back.tensor, back.transposed, back.inhibitory) == ("weights.2", True, False)
    assert (into.tensor, into.transposed, out.inhibitory) == ("weights.2", False, True)
    assert np.shares_memory(into.matrix, weights[1])
    ghosts = [node for node in lower(trained).nodes if isinstance(node, Ghosts)]
    # a duplicate has the bias of the layer above, and is linear where that is the output
    assert [node.linear for node in ghosts] == [False, True]
    for node, bias in zip(ghosts, trained.params.biases[1:], strict=True):
        assert node.bias is not None
        np.testing.assert_array_equal(node.bias, bias)


def test_a_kind_without_a_lowering_says_what_to_register():
    translate = lowering("papyrus")
    seen: list[str] = []

    @translate.register
    def _(node: Input, build: list[str]) -> None:
        build.append(node.name)

    nodes = lower(trained_network()).nodes
    translate(nodes[0], seen)
    assert seen == ["input"]
    said = (
        r"'papyrus' has no lowering for node 'input -> hidden\.1' of kind Dense; register a function of \(Dense"
    )
    with pytest.raises(ExportError, match=said):
        translate(nodes[1], seen)
    # two formats do not share what is registered
    with pytest.raises(ExportError, match="'input' of kind Input"):
        lowering("clay")(nodes[0], seen)


@pytest.mark.usefixtures("leaky")
@pytest.mark.parametrize("name", WRITTEN)
def test_every_exporter_refuses_a_kind_that_it_does_not_know(name, tmp_path):
    trained, path = spiking_network(), tmp_path / f"model{find(name).suffix}"
    with pytest.raises(ExportError) as caught:
        export(trained, name, path, calibration=data_for(trained, raw_digits(trained)))
    assert str(caught.value) == (
        f"exporter '{name}' has no lowering for node 'hidden.1' of kind Leaky; register a function of "
        f"(Leaky, build) with lowering('{name}').register, or use another exporter"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("physics", [{}, {"saturation": 0.4}, {"mechanism": "learned"}])
def test_a_chain_computes_the_free_phase(physics):
    trained = trained_network(**physics)
    chaining("slate")
    net = chain(trained, "slate")
    raw = np.random.default_rng(0).integers(0, 17, (20, 6)).astype(np.float32)
    value = raw * net.scale
    for w, b in net.layers[:-1]:
        value = np.clip(value @ w.T + b, 0.0, net.r_max)
    w, b = net.layers[-1]
    np.testing.assert_allclose(value @ w.T + b, forward(trained, raw), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("leaky")
def test_a_format_can_be_given_another_kind():
    chaining("wax")
    with pytest.raises(ExportError, match=r"lowering\('wax'\)\.register"):
        chain(trained_network(), "wax")

    @lowering("wax").register
    def _(node: Leaky, links: Links) -> None:
        links.biases.append(node.leak * node.bias)

    net = chain(trained_network(), "wax")
    np.testing.assert_allclose([b[0] for b in net.biases], [0.9 * 0.1, 0.9 * 0.2, 0.3], rtol=1e-6)


def test_only_the_onnx_family_imports_onnx():
    others = [
        f"lavaghost.exporters.{path.stem}" for path in sorted(Path(graph.__file__).parent.glob("to_*.py"))
    ]
    code = "import sys; [__import__(name) for name in sys.argv[1:]]; print('onnx' in sys.modules)"
    for names, wanted in (
        ([name for name in others if "onnx" not in name], "False"),
        (["lavaghost.exporters.onnx.inference"], "True"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=600, check=True
        )
        assert found.stdout.strip() == wanted
