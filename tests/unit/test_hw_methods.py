"""Methods side by side on one chip: counts from their graphs, price phase by phase."""

import json

import pytest

from lavaghost.base.errors import SpecError
from lavaghost.cli import run
from lavaghost.hardware.activity import Activity
from lavaghost.hardware.adapted import CARRIED, as_if_carried
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.demand import demand_of
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network
from lavaghost.hardware.report import priced
from lavaghost.hardware.side_by_side import side_by_side
from lavaghost.methods.by_name import METHODS, method_of
from lavaghost.methods.footprint import weights
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.network import Network

NETWORK = Network(layers=(20, 12, 8, 5))
UP = 20 * 12 + 12 * 8 + 8 * 5
BACK = 12 * 8 + 8 * 5


def rows(*methods, chip="loihi1", activity=None):
    named = {str(i): method_of(m) for i, m in enumerate(methods)}
    return [r.as_json() for r in side_by_side(NETWORK, named, load_chip(chip), Plan(), activity)]


def test_counts_are_those_of_the_graph_that_a_method_puts_beside_the_network():
    frozen, fa, backprop, dfa, kp, ghost = rows("frozen", "fa", "backprop", "dfa", "kolen-pollack", "ghost")
    assert [r["neurons"] for r in (frozen, fa, backprop, dfa, kp)] == [25] * 5
    assert ghost["neurons"] == 25 + 8 + 5
    assert [r["synapses"] for r in (frozen, fa, backprop, kp)] == [UP, UP + BACK, UP + BACK, UP + BACK]
    assert dfa["synapses"] == UP + 5 * (12 + 8)
    assert ghost["synapses"] == UP + 3 * BACK
    assert [r["plastic_synapses"] for r in (fa, backprop, kp)] == [UP, UP + BACK, UP + BACK]


def test_a_method_of_three_steps_more_costs_what_three_steps_cost():
    """Energy and time are linear in the steps of a phase, and a phase pays for its own paths alone."""
    t = [rows(ActivationRelaxation(steps=n))[0] for n in (2, 5, 8)]
    for key in ("energy_j", "latency_s", "steps_per_sample"):
        a, b, c = (row[key] for row in t)
        assert b - a == pytest.approx(c - b, rel=1e-9)
        assert b > a
    step = (t[1]["parts"]["synapses"] - t[0]["parts"]["synapses"]) / 3
    one = load_chip("loihi1").energy.synapse.limit
    assert one is not None
    assert step == pytest.approx(BACK * one)
    forward = t[0]["parts"]["synapses"] - 3 * step  # two steps and the one in which the output has its error
    assert forward == pytest.approx((len(NETWORK.layers)) * UP * one)
    updates = {row["parts"]["weight_updates"] for row in t}
    assert len(updates) == 1


def test_ghosts_by_phases_cost_what_a_trial_of_their_schedule_costs():
    ghost = Ghost()
    chip = load_chip("loihi2_oheo_gulch")
    mapping = map_network(ghost.graph(NETWORK), chip, "learning", Plan())
    whole, parts = priced(mapping), priced(mapping, footprint=ghost.footprint(ghost.graph(NETWORK)))
    assert whole.cost is not None
    assert parts.cost is not None
    assert whole.cost.steps == parts.cost.steps
    assert set(whole.cost.unknown) == set(parts.cost.unknown)
    (row,) = rows(ghost)
    carried = as_if_carried(map_network(ghost.graph(NETWORK), load_chip("loihi1"), "learning", Plan()))
    assert carried is not None
    known = priced(carried).cost
    assert known is not None
    assert row["energy_j"] == pytest.approx(known.energy_j)
    assert row["latency_s"] == pytest.approx(known.latency_s)


def test_where_spikes_carry_no_numbers_it_says_so_and_what_it_assumed():
    (row,) = rows("fa")
    assert row["fits"] is False
    assert row["assumption"] == CARRIED
    assert "payload" in row["violations"][0]
    (other,) = rows("fa", chip="loihi2_oheo_gulch")
    assert other["assumption"] is None
    assert other["unknown"]


def test_less_active_networks_cost_less_and_ghosts_are_as_active_as_what_they_stand_for():
    names: tuple[str, ...] = ("input", "hidden.1", "hidden.2", "output")
    busy, half = ({str(name): r for name in names} for r in (1.0, 0.5))
    found = [rows("ghost", "fa", activity=Activity(1, r, r, "here")) for r in (busy, half)]
    for whole, part in zip(*found, strict=True):
        assert part["parts"]["synapses"] == pytest.approx(whole["parts"]["synapses"] / 2)
        assert part["energy_j"] < whole["energy_j"]


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_a_footprint_that_its_graph_has(name):
    method = method_of(name)
    graph = method.graph(NETWORK)
    footprint = method.footprint(graph)
    there = {p.path for p in graph.projections}
    used = {path for phase in footprint.phases for path in phase.paths}
    assert there <= used
    assert all(phase.steps > 0 for phase in footprint.phases)
    assert footprint.steps >= graph.depth
    assert footprint.states
    assert footprint.reads
    assert footprint.multiplications(graph) >= weights(graph, graph.along("feedforward"))
    assert demand_of(graph, "learning").synapses >= UP


def test_relaxation_as_published_takes_many_times_the_steps_of_the_exact_one():
    exact, published = rows("relaxation", {"name": "relaxation", "steps": 100, "rate": 0.1})
    assert published["steps_per_sample"] - exact["steps_per_sample"] == 98
    assert published["multiplications_per_sample"] == exact["multiplications_per_sample"] + 98 * BACK


# ---- on the command line


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net") / "m"
    argv = ["train", "--layers", "16,12", "--epochs", "1", "--out", str(folder), "--no-diagnostics", "--json"]
    assert run(argv) == 0
    return folder


def on_shell(capsys, *argv):
    capsys.readouterr()
    code = run(["map", *map(str, argv)])
    return code, capsys.readouterr()


def test_all_methods_are_shown_on_one_chip(saved, capsys):
    argv = (saved, "--hardware", "loihi1", "--phase", "learning", "--methods", "all", "--json")
    code, said = on_shell(capsys, *argv)
    found = {row["label"]: row for row in json.loads(said.out)["methods"]}
    assert code == 1
    assert {n for n in METHODS.names() if n != "modulated"} <= set(found)
    assert found["ghost, shortest trial"]["steps_per_sample"] == 2 * 3 + 1
    assert found["ghost"]["steps_per_sample"] == 64
    assert found["relaxation, 100 steps"]["energy_j"] > found["relaxation"]["energy_j"]
    code, said = on_shell(capsys, *argv[:-1], "--dataset", "digits", "--limit", "20")
    assert code == 1
    assert "kolen-pollack" in said.err
    code, _ = on_shell(capsys, saved, "--hardware", "loihi2_oheo_gulch", *argv[3:-1])
    assert code == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--phase", "learning", "--methods", "nix"], "no method 'nix'; there are"),
        (["--methods", "all"], "add --phase learning"),
        (["--phase", "learning", "--methods", "all", "--keep"], "without --plot and --keep"),
        (["--phase", "learning", "--methods", "ghost,"], "''"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(saved, capsys, more, says):
    code, said = on_shell(capsys, saved, "--hardware", "loihi1", *more)
    assert code == 2
    assert says in said.err
    assert said.err.count("\n") == 1


def test_a_label_of_a_method_that_is_none_is_refused():
    with pytest.raises(SpecError):
        rows("nix")
