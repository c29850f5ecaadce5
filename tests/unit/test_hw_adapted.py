"""The price of an adapted sample is that of its trials, and of the updates of those that teach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavaghost.base.errors import SpecError
from lavaghost.hardware.adapted import CARRIED, published, sample_cost
from lavaghost.hardware.catalogue import OURS
from lavaghost.hardware.figures import Figure
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.report import make
from lavaghost.hardware.schema import Hardware
from tests.chips import learning_loihi1, once
from tests.networks import ghost_graph

GRAPH = ghost_graph(layers=(20, 12, 4))
CHIP = learning_loihi1()
PLASTIC = 20 * 12 + 4 * 12 * 4
"""W_1, and W_2 in its place, as feedback, and in ghosts twice."""


def priced(chip: Hardware, energy: float | None = None, time: float | None = None) -> Hardware:
    """`chip` with other constants of a weight update, and a static power of 1 mW."""
    made = {
        "energy": ("weight_update", energy, "J"),
        "latency": ("weight_update", time, "s"),
    }
    sections = {
        section: getattr(chip, section).model_copy(
            update={key: Figure(value=value, unit=unit, source="lava", confidence="unverified")}
        )
        for section, (key, value, unit) in made.items()
        if value is not None
    }
    return chip.model_copy(update=sections)


@given(trials=st.floats(1, 100), taught=st.floats(0, 1))
def test_trials_times_a_trial_and_updates_where_it_teaches(trials, taught) -> None:
    trial = make(GRAPH, CHIP, "learning", Plan()).cost
    found = sample_cost(GRAPH, CHIP, trials_per_sample=trials, taught_share=taught)
    assert trial is not None
    assert trial.energy_j is not None
    assert trial.latency_s is not None
    updates = PLASTIC * 120e-12
    assert found.parts["weight_updates"] == pytest.approx(trials * taught * updates)
    assert found.energy_j == pytest.approx(trials * (trial.energy_j - (1 - taught) * updates))
    assert found.latency_s == pytest.approx(trials * trial.latency_s)
    assert found.energy_j == pytest.approx(sum(v for v in found.parts.values() if v is not None))
    for name, value in trial.parts.items():
        if name != "weight_updates":
            assert found.parts[name] == pytest.approx(trials * value)


@pytest.mark.parametrize("taught", [0.0, 0.25, 1.0])
def test_the_time_of_updates_counts_where_a_chip_says_it(taught) -> None:
    """Those of one core come one after the other; where it is not known, that is said, unless nothing is taught."""
    without = sample_cost(GRAPH, CHIP, taught_share=taught)
    assert any("time of weight_update" in text for text in without.unknown) == (taught > 0)
    found = sample_cost(GRAPH, priced(CHIP, time=2e-9), taught_share=taught)
    assert not any("time of weight_update" in text for text in found.unknown)
    assert found.latency_s is not None
    assert without.latency_s is not None
    assert found.latency_s - without.latency_s == pytest.approx(taught * PLASTIC * 2e-9, abs=1e-15)


def test_what_is_not_known_stays_so_with_its_reason() -> None:
    """Of Loihi 2 no energy of an operation is published: no figure is made up, and each that is missing is named."""
    found = sample_cost(GRAPH, once("loihi2_oheo_gulch"), trials_per_sample=2, taught_share=0.2)
    assert (found.status, found.energy_j, found.latency_s) == ("fits, as far as is known", None, None)
    assert found.as_if is None
    assert {"energy of synapse", "energy of weight_update", "time of synapse"} <= {
        text.split(" on ")[0] for text in found.unknown
    }
    assert not any(row["figure"].startswith("energy.") for row in found.sources)


def test_nothing_of_an_unknown_price_costs_nothing() -> None:
    """Without the energy of an update a sample has a price only where no trial teaches."""
    energy = CHIP.energy.model_copy(update={"weight_update": Figure(unit="J")})
    chip = CHIP.model_copy(update={"energy": energy})
    assert sample_cost(GRAPH, chip, taught_share=0.01).energy_j is None
    known = sample_cost(GRAPH, chip, taught_share=0.0)
    assert known.energy_j == pytest.approx(sample_cost(GRAPH, CHIP, taught_share=0.0).energy_j)


@pytest.mark.parametrize("chip", OURS)
def test_what_does_not_fit_has_no_price_and_says_why(chip) -> None:
    found = sample_cost(GRAPH, once(chip), taught_share=0.5)
    assert bool(found.violations) == (found.status == "does not fit")
    if found.violations:
        assert (found.energy_j, found.latency_s, found.parts, found.sources) == (None, None, {}, ())
        assert all(f" on {chip}" in line and ";" in line for line in found.violations)
    elif found.energy_j is None:
        assert any(text.startswith("energy of") for text in found.unknown)
    if found.latency_s is None and not found.violations:
        assert any(text.startswith("time of") for text in found.unknown)


def test_bare_spikes_alone_are_thought_away_and_said_so() -> None:
    """Loihi 1 could learn if its spikes carried numbers: the same price as on a chip whose spikes do."""
    found = sample_cost(GRAPH, once("loihi1"), trials_per_sample=2, taught_share=0.2)
    assert found.energy_j is None
    assert [line.split(":")[1].split(" on ")[0].strip() for line in found.violations] == ["16 payload bits > 0"]
    assumed = found.as_if
    assert assumed is not None
    assert (assumed.assumption, assumed.violations, found.assumption) == (CARRIED, (), None)
    like = sample_cost(GRAPH, CHIP, trials_per_sample=2, taught_share=0.2)
    assert (assumed.energy_j, assumed.latency_s, assumed.parts) == (like.energy_j, like.latency_s, like.parts)
    assert assumed.energy_j
    assert found.as_json()["as_if"]["assumption"] == CARRIED
    # where more is in the way, nothing is thought away
    crowded = sample_cost(ghost_graph(layers=(20, 2000, 4)), once("loihi1"), plan=Plan(cores=1))
    assert len(crowded.violations) > 1
    assert crowded.as_if is None
    assert sample_cost(GRAPH, once("truenorth")).as_if is None


def test_every_constant_is_named_with_its_source() -> None:
    found = sample_cost(GRAPH, CHIP)
    rows = {row["figure"]: row for row in found.sources}
    assert {"energy.synapse", "energy.weight_update", "latency.barrier.0", "latency.synapse"} <= rows.keys()
    assert all(row["source"] and row["confidence"] and row["value"] is not None for row in rows.values())
    assert rows["energy.weight_update"]["value"] == 120e-12


@pytest.mark.parametrize(
    ("trials", "taught", "faults"),
    [
        (0.5, 0.5, ["trials_per_sample 0.5"]),
        (math.nan, 0.5, ["trials_per_sample nan"]),
        (math.inf, 1.0, ["trials_per_sample inf"]),
        (1.0, 1.5, ["taught_share 1.5"]),
        (0.0, -1.0, ["trials_per_sample 0", "taught_share -1"]),
        (1.0, math.nan, ["taught_share nan"]),
    ],
)
def test_shares_that_are_none_are_refused_together(trials, taught, faults) -> None:
    with pytest.raises(SpecError) as caught:
        sample_cost(GRAPH, CHIP, trials_per_sample=trials, taught_share=taught)
    assert all(fault in str(caught.value) for fault in faults)
    assert "\n" not in str(caught.value)


def test_published_rows_are_of_learning_with_source_and_chip() -> None:
    rows = published()
    figures = {(row["latency_s"], row["energy_j"]): row for row in rows}
    clp, renner = figures[0.33e-3, 0.05e-3], figures[1.5e-3, 0.59e-3]
    assert "2511.01553" in clp["source"]
    assert "Loihi 2" in clp["hardware"]
    assert "Renner" in renner["source"]
    assert renner["layers"] == [400, 400, 10]
    assert all(row["source"] and row["confidence"] and "another algorithm" in row["what"] for row in rows)
    # the rows of a chip of one's own come first, and none twice
    own = once("loihi1").model_copy(update={"name": "mine", "title": "mine"})
    assert published(own) == ({**renner, "hardware": "mine"}, *rows)
    assert set(map(str, published(once("loihi1")))) == set(map(str, rows))
    assert len(published(once("loihi1"))) == len(rows)
