"""Rules, remedies, cost and the commands `map` and `hardware`."""

import json
from pathlib import Path

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.cli.hardware import hardware_command, map_command
from lavaghost.dynamics import initial_parameters
from lavaghost.hardware.activity import Activity, measured_activity
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.design_rules import RULES
from lavaghost.hardware.draw import draw
from lavaghost.hardware.findings import Plan, Unknown, Violation
from lavaghost.hardware.mapper import map_network, remedied
from lavaghost.hardware.report import make
from lavaghost.hardware.traffic import traffic
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.network import Schedule
from tests.chips import learning_loihi1, with_limits
from tests.networks import ghost_graph, parts

LOIHI1 = load_chip("loihi1")
LEARNS = learning_loihi1()
OHEO = load_chip("loihi2_oheo_gulch")
NETWORK, METHOD = parts(layers=(64, 20, 10), schedule=Schedule(t_free_steps=8, t_nudge_steps=4))
DIGITS = METHOD.graph(NETWORK)
KEYS = {
    "fits",
    "status",
    "undecided",
    "violations",
    "cores",
    "cores_lower_bound",
    "utilization",
    "energy_j",
    "latency_s",
    "overhead_learning",
    "unknown",
}


def saved(folder: Path) -> Path:
    params = initial_parameters(DIGITS, 0)
    return Model(NETWORK, METHOD, Learning(), params, 1 / 16, tuple(range(10)), "digits").save(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hw")
    return str(saved(folder))


def run_map(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = map_command.main([*arguments, "--json"], standalone_mode=False)
    return code, json.loads(capsys.readouterr().out)


def test_every_violation_at_once() -> None:
    """Neurons, axons of both kinds and memory of several layers, and what concerns the whole network."""
    found = map_network(
        ghost_graph(layers=(5000, 3000, 2000, 10)), LOIHI1, "learning", Plan(weight_bits=7, cores=2)
    )
    resources = {(v.layer, v.resource) for v in found.violations}
    assert {
        ("hidden.1", "neurons_per_core"),
        ("hidden.1", "input_axons_per_core"),
        ("hidden.1", "synapse_bits_per_core"),
        ("hidden.2", "neurons_per_core"),
        ("hidden.2", "output_axons_per_core"),
        ("ghost.1", "synapse_bits_per_core"),
        ("network", "weight_bits"),
        ("network", "cores"),
    } <= resources
    assert all(v.used > v.limit and v.remedy for v in found.violations)
    assert not found.cores


def test_the_weight_remedy_works() -> None:
    """A layer kept whole: the remedy names a width, and with that width it fits."""
    network = ghost_graph(layers=(300, 500, 10))
    (violation,) = map_network(network, LOIHI1, plan=Plan(split=False)).violations
    assert violation.line("loihi1").startswith(
        "hidden.1: 1,344,000 synapse bits > 1,048,576 per core on loihi1; use 5-bit weights or 2 cores"
    )
    assert map_network(network, LOIHI1, plan=Plan(split=False, weight_bits=5)).fits
    assert not map_network(network, LOIHI1, plan=Plan(split=False, weight_bits=6)).fits
    assert map_network(network, LOIHI1).needed == 2


def test_the_remedies_for_one_core_work() -> None:
    """Width and number of cores that are named, for the layer and for the network, do what they promise."""
    network = ghost_graph(layers=(300, 500, 10))
    layer, whole = map_network(network, LEARNS, "learning", Plan(cores=1)).violations[:2]
    width = int(whole.remedy.partition("--weight-bits ")[2].rstrip(")"))
    assert f"use {width}-bit weights or 2 cores" in layer.remedy
    assert "use 2 cores (--cores 2) or" in whole.remedy
    assert map_network(network, LEARNS, "learning", Plan(cores=1, weight_bits=width)).fits
    assert not map_network(network, LEARNS, "learning", Plan(cores=1, weight_bits=8)).fits
    assert map_network(network, LEARNS, "learning", Plan(cores=2)).fits


def test_remedies_lower_the_bits_only_as_far_as_needed() -> None:
    network = ghost_graph(layers=(4000, 4000, 10))
    full = map_network(network, LOIHI1)
    assert [v.resource for v in full.violations if v.layer == "network"] == ["cores"]
    mended = remedied(network, LOIHI1, "inference", Plan())
    assert mended.fits
    assert mended.plan.weight_bits == 6
    assert mended.needed <= 128
    assert remedied(DIGITS, LOIHI1, "inference", Plan()).plan == Plan()


def test_no_learning_on_truenorth() -> None:
    found = map_network(DIGITS, load_chip("truenorth"), "learning", Plan(weight_bits=1))
    learns, sends = found.violations
    assert (learns.resource, learns.limit) == ("plastic_synapses", 0)
    assert (sends.resource, sends.limit) == ("payload_bits", 0)
    assert "--phase inference" in learns.remedy
    assert map_network(DIGITS, load_chip("truenorth"), "inference", Plan(weight_bits=1)).fits


def test_a_missing_figure_is_unknown_and_not_good() -> None:
    found = map_network(DIGITS, OHEO)
    assert found.fits is None
    assert found.headline == f"fits, as far as is known: {len(found.unknown)} unknown"
    assert any("input_axons" in text for text in found.unknown)
    assert any("192 KB" in text for text in found.unknown)
    report = make(DIGITS, OHEO, "inference", Plan())
    assert report.cost is not None
    assert report.cost.energy_j is None
    assert report.cost.latency_s is None
    assert any("energy of synapse" in text for text in report.unknown)


def test_a_rule_of_ones_own() -> None:
    def even(case):
        yield Unknown("evenness is not known")
        if case.demand.neurons % 2 == 0:
            yield Violation(
                "network", "evenness", case.demand.neurons, 1, "neurons", "use one neuron more", "network"
            )

    found = map_network(DIGITS, LOIHI1, rules=(*RULES, even))
    assert not found.fits
    assert "evenness is not known" in found.unknown


def test_placement_shortens_the_way() -> None:
    network = ghost_graph(layers=(784, 1000, 1000, 10))
    mapping = map_network(network, LEARNS, "learning")
    moved = traffic(mapping, make(network, LEARNS, "learning", Plan()).activity)
    assert moved is not None
    assert moved.position is not None
    assert len(set(moved.position)) == len(mapping.cores)
    assert moved.hops_per_step is not None
    # in the order of packing it is 146,000 tiles; at random 250,000
    assert moved.hops_per_step < 120_000


def test_activity_is_measured() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((6, 64)) * (rng.random((6, 64)) < 0.5)
    target = np.eye(10)[[0, 1, 2, 3, 4, 5]]
    params = initial_parameters(DIGITS, 0)
    found = measured_activity(DIGITS, params, x, target)
    assert found.steps == 12
    assert set(found.graded) == {"input", "hidden.1", "output", "ghost.1"}
    assert found.graded["input"] == np.count_nonzero(x) / x.size
    assert 0 < found.graded["hidden.1"] < 1
    assert all(0 <= rate <= 1 for rate in (*found.graded.values(), *found.spikes.values()))
    free = measured_activity(DIGITS, params, x, None)
    assert free.steps == 8
    assert "ghost.1" not in free.graded


def test_less_activity_costs_less() -> None:
    report = make(DIGITS, LOIHI1, "inference", Plan())
    rates = {"input": 0.1, "hidden.1": 0.2, "output": 0.0}
    quiet = make(DIGITS, LOIHI1, "inference", Plan(), activity=Activity(8, rates, rates, "made up"))
    assert report.cost is not None
    assert quiet.cost is not None
    # 64 * 20 * 0.1 + 20 * 10 * 0.2 = 168 events of 35.5 pJ a step
    assert quiet.cost.parts["synapses"] == pytest.approx(8 * 168 * 35.5e-12)
    assert (quiet.cost.energy_j or 0) < (report.cost.energy_j or 0)


def test_map_prints_one_object(model: str, capsys, tmp_path: Path) -> None:
    plot = tmp_path / "chip.png"
    arguments = (model, "--hardware", "loihi1", "--dataset", "digits", "--limit", "20")
    code, found = run_map(capsys, *arguments, "--plot", str(plot))
    assert code == 0
    assert set(found) >= KEYS
    assert (found["fits"], found["status"], found["undecided"]) == (True, "fits", [])
    assert found["messages"] == "counts"
    assert (found["cores"], found["cores_lower_bound"]) == (1, 1)
    assert found["energy_j"] > 0
    assert found["latency_s"] > 0
    assert found["tested_on_hardware"] is False
    assert found["published"][0]["energy_j"] == 0.59e-3
    assert all(row["source"] for row in found["constants"] if row["value"] is not None)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_map_says_no(model: str, capsys) -> None:
    code, found = run_map(capsys, model, "--hardware", "xylo_a2")
    assert code == 1
    assert (found["fits"], found["status"]) == (False, "does not fit")
    inputs, outputs = found["violations"]
    assert set(inputs) == {"layer", "resource", "used", "limit", "unit", "why", "remedy"}
    assert (inputs["layer"], inputs["used"], inputs["limit"]) == ("input", 64, 16)
    assert (outputs["layer"], outputs["used"], outputs["limit"]) == ("output", 10, 8)
    assert map_command.main([model, "--hardware", "xylo_a2"], standalone_mode=False) == 1
    shown = capsys.readouterr().err
    assert "output: 10 outputs > 8 on xylo_a2; use at most 8 classes" in shown
    assert "inference: does not fit" in shown


def test_apply_applies(model: str, capsys) -> None:
    code, found = run_map(capsys, model, "--hardware", "truenorth")
    assert code == 1
    assert "--weight-bits 1" in found["violations"][0]["remedy"]
    code, found = run_map(capsys, model, "--hardware", "truenorth", "--apply")
    assert code == 0
    assert found["weight_bits"] == 1


def test_pictures(tmp_path: Path) -> None:
    report = make(ghost_graph(layers=(784, 900, 10)), LEARNS, "learning", Plan())
    assert b"<svg" in draw(report, tmp_path / "a.svg").read_bytes()
    loihi2 = make(ghost_graph(layers=(3000, 3000, 10)), OHEO, "inference", Plan())
    assert draw(loihi2, tmp_path / "b.png").stat().st_size > 10_000
    with pytest.raises(SpecError, match=r"\.png or \.svg"):
        draw(report, tmp_path / "a.pdf")
    with pytest.raises(SpecError, match="mend the violations"):
        draw(make(DIGITS, load_chip("xylo_a2"), "inference", Plan()), tmp_path / "a.png")


def test_a_bundle_carries_where_it_goes(tmp_path, capsys) -> None:
    params, own = initial_parameters(DIGITS, 0), saved(tmp_path)
    for chip in ("loihi1", "lava_cpu", "loihi2_oheo_gulch", "xylo_a2"):
        map_command.main([str(own), "--hardware", chip, "--keep", "--json"], standalone_mode=False)
        assert ("kept" in json.loads(capsys.readouterr().out)) == (chip != "xylo_a2")
    again = Model.load(own)
    statuses = {chip: kept["status"] for chip, kept in again.record["mappings"].items()}
    assert statuses == {
        "loihi1": "fits",
        "lava_cpu": "fits",
        "loihi2_oheo_gulch": "fits, as far as is known",
    }
    assert len(again.record["mappings"]["loihi2_oheo_gulch"]["undecided"]) == 3
    kept = again.record["mappings"]["loihi1"]
    placed = {(name, i) for core in kept["cores"] for name, a, b in core["slices"] for i in range(a, b)}
    assert placed == {("hidden.1", i) for i in range(20)} | {("output", i) for i in range(10)}
    np.testing.assert_array_equal(again.params.weights[0], params.weights[0])


def test_hardware_lists_sources(capsys) -> None:
    hardware_command.main(["--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert "loihi1" in found
    assert found.pop("warnings") == []
    for chip in found.values():
        for figure in chip["figures"]:
            assert {"figure", "value", "unit", "source", "confidence"} <= set(figure)
            assert figure["value"] is None or (figure["source"] and figure["confidence"])
    hardware_command.main(["--schema"], standalone_mode=False)
    assert "properties" in json.loads(capsys.readouterr().out)
    hardware_command.main(["xylo_a2"], standalone_mode=False)
    assert "Rockpool" in capsys.readouterr().err


def test_a_large_network_maps_from_its_shapes() -> None:
    """10^8 synapses without a weight: in a few megabytes none of them was looked at."""
    import tracemalloc

    tracemalloc.start()
    report = make(ghost_graph(layers=(10_000, 9_990, 10)), OHEO, "learning", Plan())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.mapping.demand.synapses > 10**8
    assert peak < 50e6


def test_relays_add_up_all_inputs() -> None:
    demand = map_network(ghost_graph(layers=(10_000, 50, 10)), with_limits("loihi1", payload_bits=24)).demand
    pieces = [c for c in demand.shares if c.source == "input"]
    assert [(c.first, c.n_pre) for c in pieces] == [
        (0, 4096),
        (4096, 4096),
        (8192, 1808),
    ]
