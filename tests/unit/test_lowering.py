"""Lowering: the order of nodes, what is shared in them, kinds and roles that a format does not know, and chains."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lavaghost import exporters
from lavaghost.base.errors import ExportError
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.exporters import available, export, find
from lavaghost.exporters.chain import Links, chain, chaining
from lavaghost.exporters.lowering import Link, Units, all_nodes, forward_nodes, lowering
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.kinds import KINDS
from lavaghost.net.network import Network
from tests.networks import parts
from tests.spiking_networks import data_for, raw_digits, spiking_network
from tests.toy_kind import Band

MECHANISMS = ["duplicate", "learned", "online"]
WRITTEN = [name for name in available() if name != "yaml"]
"""Those that write nodes; `yaml` saves the network itself."""


class Leaky(Backprop):
    """Its hidden populations have a role that no format knows."""

    name: ClassVar[str] = "leaky"

    def graph(self, network: Network) -> Graph:
        found = super().graph(network)
        populations = tuple(
            p.model_copy(update={"role": "leaky"}) if p.role == "hidden" else p for p in found.populations
        )
        return replace(found, populations=populations)


@pytest.fixture
def band(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind is registered for one test."""
    monkeypatch.setitem(KINDS._known, "band", Band())


def trained_network(seed: int = 3, **physics: Any) -> Model:
    network, method = parts(**{"layers": (6, 5, 4, 3), "rule": "temporal", **physics})
    params = initial_parameters(method.graph(network), seed)
    biases = tuple(np.full_like(b, 0.1 * (k + 1)) for k, b in enumerate(params.biases))
    params = params._replace(biases=biases)
    return Model(network, method, Learning(), params, 1 / 16, ("a", 7, "c"), "digits")


def forward(trained: Model, raw: np.ndarray) -> np.ndarray:
    """The feedforward nodes, run one after the other."""
    value = raw
    for node in forward_nodes(trained):
        if isinstance(node, Link):
            value = value @ node.matrix.T
        elif node.population.role == "input":
            value = value * node.scale
        else:
            value = value + node.biases
            value = value if node.linear else np.clip(value, 0.0, node.r_max)
    return value


def integers_to_16(samples: int = 20, n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 17, (samples, n)).astype(np.float32)


@pytest.mark.parametrize(
    "physics", [{}, {"saturation": 0.4}, {"activation": "hard_sigmoid"}, {"mechanism": "online"}]
)
def test_the_feedforward_nodes_compute_the_free_phase(physics):
    trained, raw = trained_network(**physics), integers_to_16()
    engine = Equilibrium(trained.graph, 20)
    np.testing.assert_allclose(forward(trained, raw), engine.output(trained.params, raw / 16), atol=1e-5)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_every_connection_joins_populations_that_there_are(mechanism, feedback):
    nodes = all_nodes(trained_network(mechanism=mechanism, feedback=feedback))
    size = {node.name: node.size for node in nodes if isinstance(node, Units)}
    assert len(size) == sum(isinstance(node, Units) for node in nodes) == 4 + 2
    seen: set[str] = set()
    for node in nodes:
        if isinstance(node, Link):
            assert node.matrix.shape == (size[node.target], size[node.source])
            # a source stands before what it drives, but for feedback, which goes down
            assert node.source in seen
        else:
            seen.add(node.name)
    paths = Counter(node.path for node in nodes if isinstance(node, Link))
    assert paths == {"feedforward": 3, "feedback": 2, "ghost": 2, "inhibition": 2}


def test_a_network_without_ghosts_has_none_among_its_nodes():
    network = Network(layers=(6, 5, 4, 3))
    params = initial_parameters(Backprop().graph(network), 0)
    trained = Model(network, Backprop(), Learning(), params, 1.0, (0, 1, 2), "digits")
    assert [node.name for node in all_nodes(trained)] == [node.name for node in forward_nodes(trained)]
    assert {node.population.role for node in all_nodes(trained) if isinstance(node, Units)} == {
        "input",
        "hidden",
        "output",
    }


def test_shared_weights_are_resolved():
    trained = trained_network(mechanism="duplicate")
    weights = trained.params.weights
    links = {node.name: node for node in all_nodes(trained) if isinstance(node, Link)}
    back, into, out = (links[n] for n in ("hidden.2 -> hidden.1", "hidden.1 -> ghost.1", "ghost.1 -> hidden.1"))
    np.testing.assert_array_equal(back.matrix, weights[1].T)
    np.testing.assert_array_equal(into.matrix, weights[1])
    np.testing.assert_array_equal(out.matrix, weights[1].T)
    assert (back.tensor, back.transposed, back.inhibitory) == ("weights.2", True, False)
    assert (into.tensor, into.transposed, out.inhibitory) == ("weights.2", False, True)
    assert np.shares_memory(into.matrix, weights[1])
    ghosts = [n for n in all_nodes(trained) if isinstance(n, Units) and n.population.role == "ghost"]
    # a duplicate has the bias of the layer above, and is linear where that is the output
    assert [node.linear for node in ghosts] == [False, True]
    for node, bias in zip(ghosts, trained.params.biases[1:], strict=True):
        assert node.bias is not None
        np.testing.assert_array_equal(node.bias, bias)


def test_what_replicates_feedback_has_no_bias_and_links_of_weight_one():
    nodes = all_nodes(trained_network(mechanism="online"))
    ghosts = [n for n in nodes if isinstance(n, Units) and n.population.role == "ghost"]
    assert [node.bias for node in ghosts] == [None, None]
    assert [node.biases.tolist() for node in ghosts] == [[0.0] * 5, [0.0] * 4]
    links = [n for n in nodes if isinstance(n, Link) and n.inhibitory]
    assert [link.projection.kind for link in links] == ["one_to_one"] * 2
    np.testing.assert_array_equal(links[0].matrix, np.eye(5))


def test_the_input_is_scaled_and_the_outputs_have_labels():
    nodes = [n for n in forward_nodes(trained_network(saturation=0.4)) if isinstance(n, Units)]
    assert [n.scale for n in nodes] == [1 / 16, 1.0, 1.0, 1.0]
    assert [n.labels for n in nodes] == [(), (), (), ("a", 7, "c")]
    assert [n.r_max for n in nodes] == [np.inf, 0.4, 0.4, np.inf]


# ---- what a format does not know


def test_a_role_and_a_kind_without_a_writer_say_what_to_register():
    writes = lowering("papyrus")
    seen: list[str] = []

    @writes.population("input")
    def _(units: Units, build: list[str]) -> None:
        build.append(units.name)

    nodes = all_nodes(trained_network())
    writes(nodes[0], seen)
    assert seen == ["input"]
    said = (
        "exporter 'papyrus' has no lowering for node 'input -> hidden.1' of kind dense; register a function of "
        "(Link, build) with lowering('papyrus').projection('dense'), or use another exporter"
    )
    with pytest.raises(ExportError, match=re.escape(said)):
        writes(nodes[1], seen)
    # two formats do not share what is registered
    with pytest.raises(ExportError, match="'input' of role input"):
        lowering("clay")(nodes[0], seen)


def leaky(trained: Model) -> Model:
    bare = trained.params._replace(feedback=(), ghost_weights=(), ghost_biases=(), ghost_inhibition=())
    return replace(trained, method=Leaky(), tensors=bare)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_exporter_refuses_a_role_that_it_does_not_know(name, tmp_path):
    trained = leaky(spiking_network())
    with pytest.raises(ExportError) as caught:
        export(
            trained,
            name,
            tmp_path / f"model{find(name).suffix}",
            calibration=data_for(trained, raw_digits(trained)),
        )
    assert str(caught.value) == (
        f"exporter '{name}' has no lowering for node 'hidden.1' of role leaky; register a function of "
        f"(Units, build) with lowering('{name}').population('leaky'), or use another exporter"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_format_can_be_given_another_role():
    chaining("wax")
    with pytest.raises(ExportError, match=r"lowering\('wax'\)\.population"):
        chain(leaky(trained_network()), "wax")

    @lowering("wax").population("leaky")
    def _(units: Units, links: Links) -> None:
        links.biases.append(0.9 * units.biases)

    net = chain(leaky(trained_network()), "wax")
    np.testing.assert_allclose([b[0] for b in net.biases], [0.9 * 0.1, 0.9 * 0.2, 0.3], rtol=1e-6)


# ---- kinds of projections


BANDED: dict[str, Any] = {"layers": (12, 10, 8, 4), "kinds": ("dense", "band", "dense")}


@pytest.mark.usefixtures("band")
def test_a_format_can_have_a_form_of_its_own_for_a_kind():
    chaining("bronze")
    seen: list[tuple[str, tuple[int, ...]]] = []

    @lowering("bronze").projection("band")
    def _(link: Link, links: Links) -> None:
        seen.append((link.name, link.weights.shape))
        links.weights.append(link.matrix)

    chain(spiking_network(**BANDED), "bronze")
    assert seen == [("hidden.1 -> hidden.2", (3, 8))]


@pytest.mark.parametrize("physics", [{}, {"saturation": 0.4}, {"mechanism": "learned"}])
def test_a_chain_computes_the_free_phase(physics):
    trained, raw = trained_network(**physics), integers_to_16()
    chaining("slate")
    net = chain(trained, "slate")
    value = raw * net.scale
    for w, b in net.layers[:-1]:
        value = np.clip(value @ w.T + b, 0.0, net.r_max)
    w, b = net.layers[-1]
    np.testing.assert_allclose(value @ w.T + b, forward(trained, raw), rtol=1e-6, atol=1e-6)


def test_only_the_onnx_family_imports_onnx():
    folder = Path(exporters.__file__).parent
    others = [
        f"lavaghost.exporters.{path.relative_to(folder).with_suffix('').as_posix().replace('/', '.')}"
        for path in sorted([*folder.glob("*.py"), *(folder / "spiking").glob("*.py")])
        if path.stem != "__init__"
    ]
    assert len(others) > 10
    code = "import sys; [__import__(name) for name in sys.argv[1:]]; print('onnx' in sys.modules)"
    for names, wanted in ((others, "False"), (["lavaghost.exporters.onnx.inference"], "True")):
        found = subprocess.run(
            [sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=600, check=True
        )
        assert found.stdout.strip() == wanted
