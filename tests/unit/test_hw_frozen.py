"""Layers that do not learn are static synapses on a chip: counts from the sizes, for every subset of layers."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lavaghost.cli import run
from lavaghost.hardware.demand import demand_of
from lavaghost.hardware.findings import Plan, Violation
from lavaghost.hardware.mapper import map_network
from lavaghost.hardware.report import make, overhead
from lavaghost.hardware.usage import usage
from lavaghost.net.graph import Graph
from tests.chips import learning_loihi1, once
from tests.networks import ghost_graph

LAYERS = (13, 11, 7, 5, 3)
DEPTH = len(LAYERS) - 1
SUBSETS = [s for n in range(1, DEPTH + 1) for s in combinations(range(1, DEPTH + 1), n)]
SETTINGS = [(m, f) for m in ("duplicate", "learned", "online") for f in ("tied", "random")]
CHIP = learning_loihi1()


def frozen(learns: tuple[int, ...], mechanism: str = "duplicate", feedback: str = "tied", **more: Any) -> Graph:
    """A ghost network of which only the layers `learns` learn."""
    settings = {"mechanism": mechanism, "feedback": feedback, "layers": LAYERS} | more
    return ghost_graph(rule="temporal", plastic=learns, **settings)


def size(k: int) -> int:
    """Weights of W_k."""
    return LAYERS[k - 1] * LAYERS[k]


def copies(k: int, mechanism: str, feedback: str) -> int:
    """How often W_k stands on the chip with weights that follow it: in its place, as W_k^T, and in ghosts."""
    if k == 1:
        return 1
    back = 0 if feedback == "random" else 1 if mechanism == "learned" else 2
    return 1 + back + (mechanism == "duplicate")


def ends(k: int) -> int:
    """Neurons below and above W_k."""
    return LAYERS[k - 1] + LAYERS[k]


def ghosts(mechanism: str, count: Callable[[int], int]) -> int:
    """The sum of `count` over the weights that ghosts learn for themselves, whatever layers do: two as large as W_k."""
    return 2 * sum(count(k) for k in range(2, DEPTH + 1)) if mechanism == "learned" else 0


@pytest.mark.parametrize(("mechanism", "feedback"), SETTINGS)
@pytest.mark.parametrize("learns", SUBSETS)
def test_what_is_plastic_is_each_copy_of_what_learns(learns, mechanism, feedback) -> None:
    """And what updates cost; all else is as it is where all layers learn."""
    graph, whole = frozen(learns, mechanism, feedback), frozen((), mechanism, feedback)
    expected = sum(copies(k, mechanism, feedback) * size(k) for k in learns) + ghosts(mechanism, size)
    demand = demand_of(graph, "learning")
    assert demand.plastic_synapses == expected
    assert demand.synapses == demand_of(whole, "learning").synapses
    report = make(graph, CHIP, "learning", Plan())
    (core,) = report.mapping.cores
    assert core.usage.plastic_synapses == expected
    assert core.usage.synapses == demand.synapses
    assert report.cost is not None
    assert report.cost.parts["weight_updates"] == pytest.approx(expected * 120e-12)
    other = make(whole, CHIP, "learning", Plan()).cost
    assert other is not None
    assert {k: v for k, v in report.cost.parts.items() if k != "weight_updates"} == {
        k: v for k, v in other.parts.items() if k != "weight_updates"
    }


@pytest.mark.parametrize(("mechanism", "feedback"), SETTINGS)
@pytest.mark.parametrize("learns", SUBSETS)
def test_axons_and_traces_are_those_of_what_learns(learns, mechanism, feedback) -> None:
    """A plastic axon takes two slots instead of one; a trace of 15 bits stands by each, and by each neuron behind."""
    graph = frozen(learns, mechanism, feedback)
    demand = demand_of(graph, "learning")
    used = [usage(share, CHIP, 8, share.n_post) for share in demand.shares]
    axons = [share.n_post if share.aligned else share.n_pre for share in demand.shares]
    # each copy of W_k, the way up or down, has a trace for every neuron at either end
    traces = sum(copies(k, mechanism, feedback) * ends(k) for k in learns) + ghosts(mechanism, ends)
    assert sum(u.trace_bits or 0 for u in used) == 15 * traces
    plastic = sum(n for n, share in zip(axons, demand.shares, strict=True) if share.plastic)
    assert sum(u.input_axons for u in used) == sum(axons) + plastic


@pytest.mark.parametrize(("mechanism", "feedback"), SETTINGS)
@pytest.mark.parametrize("learns", SUBSETS)
def test_what_is_fed_back_below_the_lowest_layer_that_learns_idles(learns, mechanism, feedback) -> None:
    """Layer k learns by what is fed back to it: B_1..B_{k-1} and their ghosts teach nothing."""
    found = overhead(frozen(learns, mechanism, feedback))
    idle = range(1, min(learns))
    beside = LAYERS[1:] if mechanism == "online" else LAYERS[2:]
    assert found["idle_ghosts"] == sum(beside[k - 1] for k in idle)
    # the feedback; and of ghosts what excites them and what they inhibit, one to one where they are integrators
    back = sum(size(k + 1) for k in idle)
    inhibits = sum(LAYERS[k] for k in idle) if mechanism == "online" else back
    assert found["idle_synapses"] == 2 * back + inhibits
    whole = overhead(frozen((), mechanism, feedback))
    assert {k: v for k, v in found.items() if not k.startswith("idle")} == {
        k: v for k, v in whole.items() if not k.startswith("idle")
    }
    assert whole["idle_ghosts"] == whole["idle_synapses"] == 0


@pytest.mark.parametrize("chip", ["truenorth", "speck2f", "xylo_a2", "spinnaker2"])
def test_where_nothing_learns_no_chip_is_asked_to(chip) -> None:
    """The rule of learning speaks of plastic synapses only."""
    graph = frozen((4,))
    still = tuple(p.model_copy(update={"plastic": False}) for p in graph.projections)
    one, none = (map_network(g, once(chip), "learning") for g in (graph, replace(graph, projections=still)))
    found = overhead(replace(graph, projections=still))
    assert (found["idle_ghosts"], found["idle_synapses"]) == (
        found["ghosts"],
        found["feedback_synapses"] + found["ghost_synapses"],
    )
    asked = {v.resource for v in one.violations} | {text.split(" on ")[0] for text in one.unknown}
    unasked = {v.resource for v in none.violations} | {text.split(" on ")[0] for text in none.unknown}
    about = {"plastic_synapses", "plastic_weight_bits", "third_factor", "learning"}
    assert not about & unasked
    if once(chip).plasticity.supported.value is False:
        learning = next(v for v in one.violations if v.resource == "plastic_synapses")
        assert isinstance(learning, Violation)
        assert learning.used == copies(4, "duplicate", "tied") * size(4)
    else:
        assert about & asked


def test_relays_of_static_synapses_need_no_third_factor() -> None:
    """A layer whose inputs come in parts: only where it learns must the error reach these parts."""
    chip = learning_loihi1(input_axons_per_core=64)
    learned, static = (
        map_network(frozen(learns, feedback="random", layers=(100, 6, 4)), chip, "learning")
        for learns in ((1, 2), (2,))
    )
    for mapping in (learned, static):
        assert {r.name.partition(":")[0] for r in mapping.demand.relays} == {"hidden.1"}
    assert any(text.startswith("relays on") for text in learned.unknown)
    assert not any(text.startswith("relays on") for text in static.unknown)
    # two slots for an axon that learns, one for one that does not: of 64, relays of 32 inputs, and of 64
    assert len(learned.demand.relays) > len(static.demand.relays)


def test_a_saved_network_is_mapped_as_it_learns(tmp_path: Path, capfd) -> None:
    """Digits 64-12-8-10 of which layer 2 learns: W_2, its transpose, and both in ghosts, of 12 * 8."""
    train = ["train", "--dataset", "digits", "--layers", "12,8", "--epochs", "0", "--no-diagnostics"]
    assert run([*train, "--set", "network.plastic=[2]", "--out", str(tmp_path)]) == 0
    capfd.readouterr()
    of = ["map", str(tmp_path / "model.yaml"), "--hardware", "loihi2_oheo_gulch", "--phase", "learning"]
    assert run([*of, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [core["plastic_synapses"] for core in found["placement"]] == [4 * 12 * 8]
    # B_1, G_1 and I_1 serve layer 1, which does not learn
    assert found["overhead_learning"]["idle_synapses"] == 3 * 12 * 8
    assert run(of) == 0
    assert "288 synapses below the lowest layer that learns idle" in " ".join(capfd.readouterr().err.split())
