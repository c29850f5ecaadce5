"""What holds for every registered chip, also for one that is added later; and with other figures."""

import json
import re
from typing import Any

import pytest

from lavaghost.hardware.catalogue import CHIPS, load_chip
from lavaghost.hardware.demand import demand_of
from lavaghost.hardware.figures import Figure, Figures, Flag
from lavaghost.hardware.findings import Plan, Violation
from lavaghost.hardware.mapper import map_network, remedied
from lavaghost.hardware.messages import Code, bits_needed
from lavaghost.hardware.report import make
from lavaghost.hardware.schema import Hardware
from tests.chips import with_limits
from tests.networks import ghost_graph

NAMES = CHIPS.names()
PHASES = ("inference", "learning")
NETWORKS = {
    "small": (16, 20, 4),
    "digits": (64, 128, 10),
    "deep": (64, 50, 40, 30, 10),
    "MNIST": (784, 500, 10),
    "wide": (5000, 1100, 10),
}
MECHANISMS = ("duplicate", "learned", "online")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_unit_a_source_and_a_confidence(name: str) -> None:
    hardware = load_chip(name)
    assert hardware.name == name
    for path, entry in hardware.sourced():
        known = getattr(entry, "value", None) is not None or bool(getattr(entry, "values", ()))
        if isinstance(entry, Figure | Figures):
            assert entry.unit, path
        if isinstance(entry, Figure | Figures | Flag):
            assert known == (entry.confidence is not None), path
        if known:
            assert entry.source in hardware.sources, path


def payload(found: list[Violation] | tuple[Violation, ...]) -> list[Violation]:
    return [v for v in found if v.resource == "payload_bits"]


@pytest.mark.parametrize("chip", NAMES)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_fits_is_said_only_where_all_is_known_and_holds(chip: str, phase: Any, mechanism: Any) -> None:
    for layers in NETWORKS.values():
        report = make(ghost_graph(layers=layers, mechanism=mechanism), load_chip(chip), phase, Plan())
        found, values = report.mapping, report.as_json()
        if found.violations:
            expected = (False, "does not fit", "does not fit")
        elif found.unknown:
            words = "fits, as far as is known"
            expected = (None, words, f"{words}: {len(found.unknown)} unknown")
        else:
            expected = (True, "fits", "fits")
        assert (values["fits"], values["status"], values["headline"]) == expected
        assert (found.fits, found.status, found.headline) == expected
        assert values["undecided"] == list(found.unknown)
        assert set(values["undecided"]) <= set(values["unknown"])
        assert bool(found.cores) == (not found.violations)
        assert all(v.used != v.limit and v.remedy for v in found.violations)
        assert len({(v.layer, v.resource) for v in found.violations}) == len(found.violations)
        json.dumps(values, allow_nan=False)
        if phase == "learning":
            # what decides whether a chip learns is known, or counts
            learns = load_chip(chip).plasticity
            assert found.fits is not True or (learns.supported.value and learns.third_factor.value)


@pytest.mark.parametrize("chip", NAMES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_learning_needs_a_payload_as_wide_as_its_messages(chip: str, mechanism: Any, feedback: Any) -> None:
    """The same rule for every chip: 16 bits of an output, whatever else it has or lacks."""
    network = ghost_graph(layers=(64, 20, 10), mechanism=mechanism, feedback=feedback)
    needed = bits_needed(demand_of(network, "learning"), load_chip(chip), "numbers")
    assert needed == 16
    for bits, refused in ((0, True), (needed - 1, True), (needed, False), (32, False)):
        found = map_network(network, with_limits(chip, payload_bits=bits), "learning")
        assert [(v.used, v.limit) for v in payload(found.violations)] == ([(16, bits)] if refused else [])
        if refused:
            assert found.fits is False
            (remedy,) = (v.remedy for v in payload(found.violations))
            assert "--phase inference" in remedy
            assert all(target in remedy for target in ("sanafe", "netx-cuba", "nir-if", "loihi2_oheo_gulch"))
    unknown = map_network(network, with_limits(chip, payload_bits=None), "learning")
    assert unknown.fits is not True
    assert any("payload_bits" in text for text in unknown.unknown)
    own = load_chip(chip).limits.payload_bits.limit
    if own is not None and own < needed:
        assert payload(map_network(network, load_chip(chip), "learning").violations)


def test_the_chip_that_the_remedy_names_takes_it() -> None:
    found = map_network(ghost_graph(layers=(64, 128, 10)), load_chip("loihi2_oheo_gulch"), "learning")
    assert found.fits is None
    assert not payload(found.violations)


@pytest.mark.parametrize("chip", NAMES)
def test_inference_sends_counts_where_it_must_and_numbers_where_it_can(chip: str) -> None:
    network = ghost_graph(layers=(16, 20, 4))
    bare, narrow, wide = (with_limits(chip, payload_bits=bits) for bits in (0, 8, 24))
    assert [map_network(network, c).messages for c in (bare, narrow, wide)] == ["counts", "numbers", "numbers"]
    assert not payload(map_network(network, bare).violations)
    assert not payload(map_network(network, wide).violations)
    # sigma-delta neurons send 24 bits; the remedy is applied by --apply, and then the rule holds
    wishes: tuple[tuple[Hardware, Code | None], ...] = ((narrow, None), (bare, "numbers"))
    for hardware, wish in wishes:
        (violation,) = payload(map_network(network, hardware, plan=Plan(messages=wish)).violations)
        assert violation.used == 24
        assert "--messages counts" in violation.remedy
        mended = remedied(network, hardware, "inference", Plan(messages=wish))
        assert mended.messages == "counts"
        assert not payload(mended.violations)
    # units that saturate are counted too, at one spike a step at most; as numbers their rates need 8 bits
    for physics in ({"activation": "hard_sigmoid"}, {"saturation": 1.5}):
        hard = ghost_graph(layers=(16, 20, 4), **physics)
        assert [map_network(hard, c).messages for c in (bare, narrow)] == ["counts", "numbers"]
        assert not payload(map_network(hard, bare).violations)
        assert not payload(map_network(hard, narrow).violations)
        (violation,) = payload(map_network(hard, bare, plan=Plan(messages="numbers")).violations)
        assert (violation.used, violation.limit) == (8, 0)
        assert "--messages counts" in violation.remedy
    unknown = map_network(network, with_limits(chip, payload_bits=None))
    assert any("payload_bits" in text for text in unknown.unknown)
    counts = map_network(network, with_limits(chip, payload_bits=None), plan=Plan(messages="counts"))
    assert not any("payload_bits" in text for text in counts.unknown)


@pytest.mark.parametrize("chip", NAMES)
def test_a_chip_says_whether_it_learns(chip: str) -> None:
    hardware, network = load_chip(chip), ghost_graph(layers=(16, 20, 4))
    learns = hardware.plasticity.supported
    found = map_network(network, hardware, "learning")
    refused = [v for v in found.violations if v.resource == "plastic_synapses"]
    if learns.value is None:
        assert any(text.startswith("learning on") for text in found.unknown)
    assert bool(refused) == (learns.value is False)
    for violation in refused:
        assert (violation.used, violation.limit) == (16 * 20 + 20 * 4 * 4, 0)
        assert (learns.note or "") in violation.why
        assert learns.source in hardware.sources


@pytest.mark.parametrize("chip", ["truenorth", "speck2f", "xylo_a2"])
def test_chips_that_do_not_learn(chip: str) -> None:
    assert load_chip(chip).plasticity.supported.value is False
    plan = Plan(weight_bits=load_chip(chip).limits.weight_bits.values[0])
    found = map_network(ghost_graph(layers=(16, 20, 4)), load_chip(chip), "learning", plan)
    assert [v.resource for v in found.violations] == ["plastic_synapses", "payload_bits"]
    assert "does not learn" in found.violations[0].why


def changed(layers: tuple[int, ...], remedy: str) -> tuple[int, ...]:
    """The layers after "use at most N ..." was done."""
    match = re.match(r"use at most ([\d,]+) (inputs|classes|hidden neurons|neurons in hidden\.(\d+))", remedy)
    assert match, remedy
    where = {"inputs": 0, "classes": len(layers) - 1}.get(match[2], int(match[3] or 1))
    after = list(layers)
    after[where] = int(match[1].replace(",", ""))
    assert after[where] < layers[where]
    return tuple(after)


SIZES: dict[str, tuple[Hardware, tuple[int, ...], int, str]] = {
    "kernel": (load_chip("speck2f"), (784, 500, 10), 8, "kernel_words_per_core"),
    "kernel of the output": (load_chip("speck2f"), (64, 1024, 100), 8, "kernel_words_per_core"),
    "bias": (load_chip("speck2f"), (8, 1100, 2), 8, "bias_words_per_core"),
    "two large layers": (load_chip("speck2f"), (64, 1000, 64, 512, 64, 512, 8), 8, "cores"),
    "inputs": (load_chip("xylo_a2"), (17, 8, 4), 8, "inputs"),
    "outputs": (load_chip("xylo_a2"), (16, 8, 10), 8, "outputs"),
    "hidden": (load_chip("xylo_a2"), (16, 1200, 8), 8, "hidden"),
    "fan-out": (load_chip("xylo_a2"), (16, 100, 70, 8), 8, "hidden_neurons_reached"),
    "inputs of a core, spikes": (load_chip("truenorth"), (784, 20, 10), 1, "payload_bits"),
    "inputs of a later layer": (load_chip("truenorth"), (200, 300, 10), 1, "payload_bits"),
    "cores reached": (
        with_limits("truenorth", neurons_per_core=100),
        (200, 200, 250, 10),
        1,
        "cores_reached",
    ),
    "inputs of Loihi": (load_chip("loihi1"), (5000, 20, 10), 8, "payload_bits"),
    "output axons of a neuron": (
        with_limits("loihi1", output_axons_per_core=2, neurons_per_core=100),
        (64, 20, 1000, 10),
        8,
        "output_axons_per_core",
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_named_is_right(name: str) -> None:
    """With what the remedy says the violation is gone."""
    hardware, layers, bits, resource = SIZES[name]
    found = map_network(ghost_graph(layers=layers), hardware, plan=Plan(weight_bits=bits))
    mine = [v for v in found.violations if v.resource == resource]
    assert mine, found.violations
    for violation in mine:
        after = map_network(
            ghost_graph(layers=changed(layers, violation.remedy)), hardware, plan=Plan(weight_bits=bits)
        )
        assert (violation.layer, resource) not in {(v.layer, v.resource) for v in after.violations}


def test_neurons_are_not_cured_by_what_cures_axons() -> None:
    """Too many neurons, and too many inputs for one of them: cores for the first, relays for the second."""
    hardware = with_limits("loihi1", payload_bits=32, neurons_per_core=100, input_axons_per_core=256)
    plan = Plan(split=False)
    violations = map_network(ghost_graph(layers=(600, 450, 10)), hardware, plan=plan).violations
    found = {v.resource: v.remedy for v in violations if v.layer == "hidden.1"}
    assert re.match(r"use \d+ cores \(without --no-split\)", found["neurons_per_core"])
    assert found["input_axons_per_core"].startswith("use 3 groups of its inputs, added up by relay neurons")
    assert not remedied(ghost_graph(layers=(600, 450, 10)), hardware, "inference", plan).violations
    # neurons alone: five cores of 100, and with splitting there is no fault at all
    alone = with_limits("loihi1", neurons_per_core=100)
    (violation,) = map_network(ghost_graph(layers=(64, 450, 10)), alone, plan=plan).violations
    assert violation.remedy == "use 5 cores (without --no-split)"
    assert map_network(ghost_graph(layers=(64, 450, 10)), alone).fits


def test_too_many_layers_or_cores() -> None:
    layers = (16, *[10] * 10, 4)
    (violation,) = map_network(ghost_graph(layers=layers), load_chip("speck2f")).violations
    assert (violation.used, violation.limit) == (11, 9)
    assert violation.remedy == "use at most 9 layers behind the input"
    assert map_network(ghost_graph(layers=(16, *[10] * 8, 4)), load_chip("speck2f")).fits
    few = with_limits("loihi1", cores=3)
    one_bit = Plan(weight_bits=1)
    whole = map_network(ghost_graph(layers=(64, 4000, 10)), few, plan=one_bit).violations[-1]
    assert (whole.resource, whole.limit) == ("cores", 3)
    (share,) = map(int, re.findall(r"about (\d+) % of their size", whole.remedy))
    assert map_network(ghost_graph(layers=(64, 4000 * share // 100, 10)), few, plan=one_bit).fits


@pytest.mark.parametrize(("chip", "bits", "mended"), [("speck2f", 4, 8), ("loihi1", 7, 8), ("truenorth", 8, 1)])
def test_widths_of_weights(chip: str, bits: int, mended: int) -> None:
    """A wider field holds a weight; where there is none, the next narrower one."""
    network = ghost_graph(layers=(16, 20, 4))
    (violation,) = map_network(network, load_chip(chip), plan=Plan(weight_bits=bits)).violations
    assert f"(--weight-bits {mended})" in violation.remedy
    assert remedied(network, load_chip(chip), "inference", Plan(weight_bits=bits)).plan.weight_bits == mended
    assert map_network(network, load_chip(chip), plan=Plan(weight_bits=mended)).fits
