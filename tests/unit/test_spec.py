"""Descriptions are strict: a bad value is refused by its path, with the value and the limit, in one line."""

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lavaghost.base.errors import LavaGhostError, SpecError, join_faults
from lavaghost.base.spec import MAX_UNITS, Spec, parse
from lavaghost.net.spec import Learning, Network, Physics, Plasticity, Schedule, check_together, usual_rule

GOOD: dict[type[Spec], dict[str, Any]] = {Network: {"layers": (4, 3, 2)}, Learning: {}}

BAD = [
    # model, values, path, and what else the message must name: the value and the limit
    (Network, {"layers": (4, 2)}, "layers", ["at least 3", "(4, 2)"]),
    (Network, {"layers": (4,) * 65}, "layers", ["at most 64"]),
    (Network, {"layers": (4, 0, 2)}, "layers.1", ["greater than or equal to 1", "0"]),
    (Network, {"layers": (4, MAX_UNITS + 1, 2)}, "layers.1", [str(MAX_UNITS), str(MAX_UNITS + 1)]),
    (Network, {"layers": (4, 3.0, 2)}, "layers.1", ["integer", "3.0"]),
    (Network, {"layers": (4, "3", 2)}, "layers.1", ["integer", "'3'"]),
    (Network, {"layers": (4, True, 2)}, "layers.1", ["integer", "True"]),
    (Network, {"layers": "432"}, "layers", ["tuple", "'432'"]),
    (Network, {"layers": 432}, "layers", ["tuple", "432"]),
    (Network, {"lam": 0}, "lam", ["greater than 0", "0"]),
    (Network, {"lam": -0.1}, "lam", ["greater than 0", "-0.1"]),
    (Network, {"lam": math.nan}, "lam", ["greater than 0", "nan"]),
    (Network, {"lam": math.inf}, "lam", ["finite", "inf"]),
    (Network, {"lam": "0.1"}, "lam", ["number", "'0.1'"]),
    (Network, {"lam": True}, "lam", ["number", "True"]),
    (Network, {"lam": None}, "lam", ["number", "None"]),
    (Network, {"beta": 0.0}, "beta", ["greater than 0", "0.0"]),
    (Network, {"saturation": 0}, "saturation", ["greater than 0", "0"]),
    (Network, {"activation": "tanh"}, "activation", ["'relu' or 'hard_sigmoid'", "'tanh'"]),
    (Network, {"mechanism": "Duplicate"}, "mechanism", ["'duplicate', 'learned' or 'online'", "'Duplicate'"]),
    (Network, {"feedback": "none"}, "feedback", ["'tied' or 'random'", "'none'"]),
    (Network, {"loss": "mse"}, "loss", ["'cross_entropy' or 'squared_error'", "'mse'"]),
    (Network, {"schedule": {"tau_steps": 0.5}}, "schedule.tau_steps", ["equal to 1", "0.5"]),
    (Network, {"schedule": {"tau_ghost_steps": math.inf}}, "schedule.tau_ghost_steps", ["finite", "inf"]),
    (Network, {"schedule": {"t_free_steps": 1}}, "schedule.t_free_steps", ["equal to 2", "1"]),
    (Network, {"schedule": {"t_free_steps": 2.5}}, "schedule.t_free_steps", ["integer", "2.5"]),
    (Network, {"schedule": {"t_nudge_steps": 0}}, "schedule.t_nudge_steps", ["equal to 1", "0"]),
    (Network, {"schedule": {"dt": 1}}, "schedule.dt", ["unknown key", "t_free_steps", "tau_steps"]),
    (Network, {"gamma": 1}, "gamma", ["unknown key", "beta", "lam"]),
    (
        Network,
        {"activation": "hard_sigmoid", "saturation": 2.0},
        "network",
        ["saturation 2.0", "saturates at 1", "leave it out"],
    ),
    (Learning, {"method": "hebb"}, "method", ["'ghost', 'backprop' or 'frozen'", "'hebb'"]),
    (Learning, {"rule": "oja"}, "rule", ["'temporal' or 'prediction'", "'oja'"]),
    (Learning, {"engine": "chip"}, "engine", ["'equilibrium', 'stepped' or 'lava'", "'chip'"]),
    (Learning, {"epochs": -1}, "epochs", ["equal to 0", "-1"]),
    (Learning, {"epochs": 1.0}, "epochs", ["integer", "1.0"]),
    (Learning, {"epochs": True}, "epochs", ["integer", "True"]),
    (Learning, {"batch_size": 0}, "batch_size", ["equal to 1", "0"]),
    (Learning, {"eta": 0}, "eta", ["greater than 0", "0"]),
    (Learning, {"eta": "fast"}, "eta", ["number", "'fast'"]),
    (Learning, {"eta_decay": "step"}, "eta_decay", ["'constant', 'linear' or 'cosine'", "'step'"]),
    (Learning, {"momentum": 1.0}, "momentum", ["less than 1", "1.0"]),
    (Learning, {"momentum": -0.1}, "momentum", ["equal to 0", "-0.1"]),
    (Learning, {"weight_decay": -1e-4}, "weight_decay", ["equal to 0", "-0.0001"]),
    (Learning, {"seed": -1}, "seed", ["equal to 0", "-1"]),
    (Learning, {"seed": 2**63}, "seed", [str(2**63)]),
    (Learning, {"sweeps": 0}, "sweeps", ["equal to 1", "0"]),
    (Learning, {"tolerance": 0}, "tolerance", ["greater than 0", "0"]),
    (Learning, {"free_sweeps": 0}, "free_sweeps", ["equal to 1", "0"]),
    (Learning, {"ghosts": {"mu": 0}}, "ghosts.mu", ["greater than 0", "0"]),
    (Learning, {"ghosts": {"gate": math.nan}}, "ghosts.gate", ["greater than 0", "nan"]),
    (Learning, {"ghosts": {"pretrain_batches": -1}}, "ghosts.pretrain_batches", ["equal to 0", "-1"]),
    (Learning, {"ghosts": {"eta": 1}}, "ghosts.eta", ["unknown key", "mu_inhibition"]),
    (Learning, {"ghosts": "none"}, "ghosts", ["Plasticity", "'none'"]),
]


@pytest.mark.parametrize(("model", "values", "path", "parts"), BAD)
@pytest.mark.parametrize("where", ["", "run.yaml"])
def test_a_bad_value_is_refused_by_path_value_and_limit(model, values, path, parts, where):
    with pytest.raises(SpecError) as caught:
        parse(model, GOOD[model] | values, where)
    message = str(caught.value)
    assert "\n" not in message
    if path == "network":
        assert message.startswith(f"{where or 'network'}: ")
    else:
        assert message.startswith(f"{where}.{path}: " if where else f"{path}: ")
    for part in parts:
        assert part in message
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None


def test_a_missing_value_is_named():
    with pytest.raises(SpecError, match=r"^layers: field required$"):
        parse(Network, {})


def test_several_faults_are_reported_together():
    values = {"layers": (4, 0, -2), "lam": -1.0, "beta": "x", "schedule": {"tau_steps": 0}, "colour": "red"}
    with pytest.raises(SpecError) as caught:
        parse(Network, values, "net")
    faults = str(caught.value).split("; ")
    assert sorted(f.split(":")[0] for f in faults if f.startswith("net.")) == [
        "net.beta",
        "net.colour",
        "net.lam",
        "net.layers.1",
        "net.layers.2",
        "net.schedule.tau_steps",
    ]


def test_a_message_stays_one_short_line_whatever_the_input():
    with pytest.raises(SpecError) as caught:
        parse(Learning, {"rule": "a\nb" * 1000, "one\ntwo": 1})
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800


# ---- nothing is coerced, nothing changes

NUMPY_SIZES: list[Any] = [
    (np.int64(64), 32, 10),
    [np.uint8(64), np.int16(32), 10],
    np.array([64, 32, 10]),
    np.array([64, 32, 10], np.uint16),
    tuple(np.array([64, 32, 10])),
]


@pytest.mark.parametrize("layers", NUMPY_SIZES)
def test_numpy_integers_are_integers(layers):
    network = Network(layers=layers)
    assert network == Network(layers=(64, 32, 10))
    assert [type(n) for n in network.layers] == [int] * 3
    assert hash(network) == hash(Network(layers=(64, 32, 10)))


def test_numpy_numbers_are_kept_as_plain_ones_everywhere():
    """A description made of them is written as JSON, and parses to an equal value."""
    physics: dict[str, Any] = {
        "layers": (np.int32(4), 3, 2),
        "lam": np.float32(0.5),
        "beta": np.int64(1),
        "saturation": np.float64(2.0),
        "mechanism": np.str_("learned"),
        "schedule": {"t_free_steps": np.int8(20), "tau_steps": np.float16(1.5)},
    }
    steps: dict[str, Any] = {
        "seed": np.uint64(7),
        "epochs": np.int64(3),
        "ghosts": {"pretrain_batches": np.int32(5)},
    }
    network, learning = Network(**physics), Learning(**steps)
    assert (network.lam, network.beta, network.schedule.t_free_steps) == (0.5, 1.0, 20)
    assert (learning.seed, learning.ghosts.pretrain_batches) == (7, 5)
    for value in (network, learning):
        assert parse(type(value), json.loads(json.dumps(value.model_dump()))) == value


NUMPY_BAD: list[tuple[type[Spec], dict[str, Any], str]] = [
    (Network, {"layers": (np.float64(64.0), 32, 10)}, "layers.0: .*integer, got 64.0"),
    (Network, {"layers": (64.5, 32, 10)}, "layers.0: .*integer, got 64.5"),
    (Network, {"layers": np.array([64.0, 32.0, 10.0])}, "layers.2: .*integer, got 10.0"),
    (Network, {"layers": (np.bool_(True), 32, 10)}, "layers.0: .*integer, got True"),
    (Network, {"layers": np.array([[4, 3, 2]])}, r"layers.0: .*integer, got \[4, 3, 2\]"),
    (Network, {"layers": np.array(5)}, "layers: .*tuple, got 5"),
    (Network, {"layers": (4, np.int64(0), 2)}, "layers.1: .*greater than or equal to 1, got 0"),
    (Network, {"layers": (4, 3, 2), "lam": np.bool_(True)}, "lam: a number is needed, .*got True"),
    (Network, {"layers": (4, 3, 2), "lam": np.float32(np.nan)}, "lam: .*greater than 0, got nan"),
    (Learning, {"epochs": np.float32(3)}, "epochs: .*integer, got 3.0"),
    (Learning, {"seed": np.array([1])}, r"seed: .*integer, got \[1\]"),
]


@pytest.mark.parametrize(("model", "values", "text"), NUMPY_BAD)
def test_numpy_values_that_are_no_such_number_are_refused_like_others(model, values, text):
    with pytest.raises(SpecError, match=text):
        parse(model, values)


def test_good_values_are_taken_as_they_are():
    network = parse(
        Network,
        {
            "layers": [784, 500, 10],
            "activation": "relu",
            "saturation": 2.0,
            "mechanism": "learned",
            "feedback": "random",
            "loss": "squared_error",
            "lam": 1,
            "beta": 0.5,
            "schedule": {"tau_steps": 1, "t_free_steps": 2},
        },
    )
    assert network.layers == (784, 500, 10)
    assert network.depth == 2
    assert network.lam == 1.0
    assert network.schedule == Schedule(tau_steps=1.0, t_free_steps=2)


def test_defaults_are_those_that_are_documented():
    assert Network(layers=(4, 3, 2)).schedule == Schedule()
    assert (Schedule().tau_steps, Schedule().tau_ghost_steps) == (2.0, 2.0)
    assert (Physics().lam, Physics().beta) == (0.03, 0.1)
    assert Plasticity().mu < 2


def test_descriptions_are_frozen_hashable_values():
    network = Network(layers=(4, 3, 2))
    with pytest.raises(ValidationError):
        network.lam = 0.5  # type: ignore[misc]
    assert hash(network) == hash(Network(layers=(4, 3, 2)))
    assert network == Network(layers=(4, 3, 2)) != Network(layers=(4, 3, 3))
    assert len({hash(Learning()), hash(Learning()), hash(Learning(seed=1))}) == 2


@pytest.mark.parametrize(
    "model", [Network(layers=(4, 3, 2), lam=0.1), Learning(seed=3), Schedule(), Plasticity()]
)
def test_what_is_dumped_parses_to_an_equal_value(model):
    assert parse(type(model), model.model_dump()) == model


def test_r_max_is_the_upper_bound_of_a_rate():
    assert Network(layers=(4, 3, 2)).r_max == math.inf
    assert Network(layers=(4, 3, 2), saturation=0.5).r_max == 0.5
    assert Network(layers=(4, 3, 2), activation="hard_sigmoid").r_max == 1.0
    assert Network(layers=(4, 3, 2), activation="hard_sigmoid", saturation=1.0).r_max == 1.0


# ---- pairs


def test_online_ghosts_refuse_the_prediction_rule_and_say_why():
    network = Network(layers=(4, 3, 2), mechanism="online")
    with pytest.raises(SpecError, match="only replicates its feedback; use rule 'temporal'"):
        check_together(network, Learning(rule="prediction"))
    check_together(network, Learning(rule="temporal"))
    check_together(network, Learning(rule="prediction", method="backprop"))


def test_a_tolerance_is_for_the_equilibrium_engine():
    network = Network(layers=(4, 3, 2))
    with pytest.raises(SpecError, match="t_free_steps and t_nudge_steps"):
        check_together(network, Learning(tolerance=1e-3, engine="stepped"))
    check_together(network, Learning(tolerance=1e-3))


def test_faults_of_a_pair_are_reported_together():
    network = Network(layers=(4, 3, 2), mechanism="online")
    with pytest.raises(SpecError) as caught:
        check_together(network, Learning(tolerance=1e-3, engine="stepped"))
    assert "prediction" in str(caught.value)
    assert "tolerance" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_the_usual_rule_goes_with_its_mechanism(mechanism):
    network = Network(layers=(4, 3, 2), mechanism=mechanism)
    check_together(network, Learning(rule=usual_rule(mechanism)))


# ---- errors


def test_every_error_has_an_exit_code_and_one_root():
    seen, todo = [], [LavaGhostError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        seen.append(kind)
        assert kind.exit_code in (1, 2, 3)
    assert len(seen) >= 8


def test_faults_are_joined_into_one_line():
    assert join_faults(["a\n  b", "c"]) == "a b; c"
    assert join_faults([]) == ""
