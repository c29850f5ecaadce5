"""Descriptions are strict: a bad value is refused by its path, with the value and the limit, in one line."""

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lavaghost.base.errors import LavaGhostError, SpecError, join_faults
from lavaghost.base.spec import MAX_UNITS, Spec, parse
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Method, Needs
from lavaghost.methods.by_name import METHODS, check_together, method_of
from lavaghost.methods.ghost.method import Ghost, usual_rule
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network, Physics, Schedule

GOOD: dict[type[Spec], dict[str, Any]] = {Network: {"layers": (4, 3, 2)}, Learning: {}, Ghost: {}}

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
    (Ghost, {"lam": 0}, "lam", ["greater than 0", "0"]),
    (Ghost, {"lam": -0.1}, "lam", ["greater than 0", "-0.1"]),
    (Ghost, {"lam": math.nan}, "lam", ["greater than 0", "nan"]),
    (Ghost, {"lam": math.inf}, "lam", ["finite", "inf"]),
    (Ghost, {"lam": "0.1"}, "lam", ["number", "'0.1'"]),
    (Ghost, {"lam": True}, "lam", ["number", "True"]),
    (Ghost, {"lam": None}, "lam", ["number", "None"]),
    (Ghost, {"beta": 0.0}, "beta", ["greater than 0", "0.0"]),
    (Network, {"saturation": 0}, "saturation", ["greater than 0", "0"]),
    (Network, {"activation": "tanh"}, "activation", ["'relu' or 'hard_sigmoid'", "'tanh'"]),
    (Ghost, {"mechanism": "Duplicate"}, "mechanism", ["'duplicate', 'learned' or 'online'", "'Duplicate'"]),
    (Ghost, {"feedback": "none"}, "feedback", ["'tied', 'random' or 'learned'", "'none'"]),
    (Network, {"loss": "mse"}, "loss", ["'cross_entropy' or 'squared_error'", "'mse'"]),
    (Ghost, {"schedule": {"tau_steps": 0.5}}, "schedule.tau_steps", ["equal to 1", "0.5"]),
    (Ghost, {"schedule": {"tau_ghost_steps": math.inf}}, "schedule.tau_ghost_steps", ["finite", "inf"]),
    (Ghost, {"schedule": {"t_free_steps": 1}}, "schedule.t_free_steps", ["equal to 2", "1"]),
    (Ghost, {"schedule": {"t_free_steps": 2.5}}, "schedule.t_free_steps", ["integer", "2.5"]),
    (Ghost, {"schedule": {"t_nudge_steps": 0}}, "schedule.t_nudge_steps", ["equal to 1", "0"]),
    (Ghost, {"schedule": {"dt": 1}}, "schedule.dt", ["unknown key", "t_free_steps", "tau_steps"]),
    (Ghost, {"gamma": 1}, "gamma", ["unknown key", "beta", "lam"]),
    (Network, {"lam": 0.1}, "lam", ["unknown key", "layers", "saturation"]),
    (Network, {"kinds": ("dense",)}, "network", ["kinds names 1", "layers have 2", "name one for each"]),
    (Network, {"kinds": "dense"}, "kinds", ["tuple", "'dense'"]),
    (Network, {"kinds": ("dense", 3)}, "kinds.1", ["string", "3"]),
    (
        Network,
        {"activation": "hard_sigmoid", "saturation": 2.0},
        "network",
        ["saturation 2.0", "saturates at 1", "leave it out"],
    ),
    (Learning, {"method": "ghost"}, "method", ["unknown key", "engine", "eta"]),
    (Ghost, {"rule": "oja"}, "rule", ["temporal, prediction", "'oja'"]),
    (Ghost, {"rule": ["temporal"]}, "rule", ["temporal, prediction", "['temporal']"]),
    (Ghost, {"rule": 3}, "rule", ["temporal, prediction", "3"]),
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
    (Ghost, {"free_sweeps": 0}, "free_sweeps", ["equal to 1", "0"]),
    (Ghost, {"plasticity": {"mu": 0}}, "plasticity.mu", ["greater than 0", "0"]),
    (Ghost, {"plasticity": {"gate": math.nan}}, "plasticity.gate", ["greater than 0", "nan"]),
    (Ghost, {"plasticity": {"pretrain_batches": -1}}, "plasticity.pretrain_batches", ["equal to 0", "-1"]),
    (Ghost, {"plasticity": {"eta": 1}}, "plasticity.eta", ["unknown key", "mu_inhibition"]),
    (Ghost, {"plasticity": "none"}, "plasticity", ["GhostSteps", "'none'"]),
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
    for model, values, wanted in (
        (
            Network,
            {"layers": (4, 0, -2), "saturation": -1.0, "colour": "red"},
            "colour layers.1 layers.2 saturation",
        ),
        (
            Ghost,
            {"lam": -1.0, "beta": "x", "schedule": {"tau_steps": 0}, "colour": "red"},
            "beta colour lam schedule.tau_steps",
        ),
    ):
        with pytest.raises(SpecError) as caught:
            parse(model, values, "net")
        faults = str(caught.value).split("; ")
        found = sorted(f.split(":")[0] for f in faults if f.startswith("net."))
        assert found == [f"net.{path}" for path in wanted.split()]


def test_a_message_stays_one_short_line_whatever_the_input():
    with pytest.raises(SpecError) as caught:
        parse(Learning, {"engine": "a\nb" * 1000, "one\ntwo": 1})
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    with pytest.raises(SpecError) as caught:
        method_of({"name": "a\nb" * 1000})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


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
        "saturation": np.float64(2.0),
        "activation": np.str_("relu"),
    }
    credit: dict[str, Any] = {
        "lam": np.float32(0.5),
        "beta": np.int64(1),
        "mechanism": np.str_("learned"),
        "schedule": {"t_free_steps": np.int8(20), "tau_steps": np.float16(1.5)},
        "plasticity": {"pretrain_batches": np.int32(5)},
    }
    steps: dict[str, Any] = {"seed": np.uint64(7), "epochs": np.int64(3)}
    network, method, learning = Network(**physics), Ghost(**credit), Learning(**steps)
    assert (network.layers, network.saturation) == ((4, 3, 2), 2.0)
    assert (method.lam, method.beta, method.schedule.t_free_steps) == (0.5, 1.0, 20)
    assert (learning.seed, method.plasticity.pretrain_batches) == (7, 5)
    for value in (network, method, learning):
        assert parse(type(value), json.loads(json.dumps(value.model_dump()))) == value


NUMPY_BAD: list[tuple[type[Spec], dict[str, Any], str]] = [
    (Network, {"layers": (np.float64(64.0), 32, 10)}, "layers.0: .*integer, got 64.0"),
    (Network, {"layers": (64.5, 32, 10)}, "layers.0: .*integer, got 64.5"),
    (Network, {"layers": np.array([64.0, 32.0, 10.0])}, "layers.2: .*integer, got 10.0"),
    (Network, {"layers": (np.bool_(True), 32, 10)}, "layers.0: .*integer, got True"),
    (Network, {"layers": np.array([[4, 3, 2]])}, r"layers.0: .*integer, got \[4, 3, 2\]"),
    (Network, {"layers": np.array(5)}, "layers: .*tuple, got 5"),
    (Network, {"layers": (4, np.int64(0), 2)}, "layers.1: .*greater than or equal to 1, got 0"),
    (Ghost, {"lam": np.bool_(True)}, "lam: a number is needed, .*got True"),
    (Ghost, {"lam": np.float32(np.nan)}, "lam: .*greater than 0, got nan"),
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
            "loss": "squared_error",
            "kinds": ["dense", "dense"],
        },
    )
    method = parse(
        Ghost,
        {
            "mechanism": "learned",
            "feedback": "random",
            "lam": 1,
            "beta": 0.5,
            "schedule": {"tau_steps": 1, "t_free_steps": 2},
        },
    )
    assert network.layers == (784, 500, 10)
    assert network.depth == 2
    assert network.kinds == ("dense", "dense")
    assert method.lam == 1.0
    assert method.schedule == Schedule(tau_steps=1.0, t_free_steps=2)
    graph = method.graph(network)
    assert (graph.layers, graph.lam, graph.beta, graph.schedule) == ((784, 500, 10), 1.0, 0.5, method.schedule)


def test_defaults_are_those_that_are_documented():
    assert Ghost().schedule == Schedule()
    assert (Schedule().tau_steps, Schedule().tau_ghost_steps) == (2.0, 2.0)
    assert (Ghost().lam, Ghost().beta) == (0.03, 0.1)
    assert GhostSteps().mu < 2
    assert (Physics().activation, Physics().saturation, Physics().loss) == ("relu", None, "cross_entropy")


def test_descriptions_are_frozen_hashable_values():
    network = Network(layers=(4, 3, 2))
    with pytest.raises(ValidationError):
        network.saturation = 0.5  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Ghost().lam = 0.5  # type: ignore[misc]
    assert hash(network) == hash(Network(layers=(4, 3, 2)))
    assert network == Network(layers=(4, 3, 2)) != Network(layers=(4, 3, 3))
    assert len({hash(Learning()), hash(Learning()), hash(Learning(seed=1))}) == 2
    assert len({hash(Ghost()), hash(Ghost()), hash(Ghost(lam=1.0))}) == 2
    assert Ghost() != Backprop()


@pytest.mark.parametrize(
    "model",
    [Network(layers=(4, 3, 2), saturation=0.1), Ghost(lam=0.1), Learning(seed=3), Schedule(), GhostSteps()],
)
def test_what_is_dumped_parses_to_an_equal_value(model):
    assert parse(type(model), model.model_dump()) == model


def test_r_max_is_the_upper_bound_of_a_rate():
    assert Network(layers=(4, 3, 2)).r_max == math.inf
    assert Network(layers=(4, 3, 2), saturation=0.5).r_max == 0.5
    assert Network(layers=(4, 3, 2), activation="hard_sigmoid").r_max == 1.0
    assert Network(layers=(4, 3, 2), activation="hard_sigmoid", saturation=1.0).r_max == 1.0


# ---- what goes together


def together(method: Method, learning: Learning | None = None, **fields: Any) -> None:
    network = Network(layers=(4, 3, 2), **fields)
    check_together(method, method.graph(network), learning or Learning())


def test_online_ghosts_refuse_the_prediction_rule_and_say_why():
    with pytest.raises(SpecError, match="only replicates its feedback; use rule 'temporal'"):
        together(Ghost(mechanism="online", rule="prediction"))
    together(Ghost(mechanism="online", rule="temporal"))
    together(Backprop())


def test_a_tolerance_is_for_the_equilibrium_engine():
    with pytest.raises(SpecError, match="t_free_steps and t_nudge_steps"):
        together(Ghost(), Learning(tolerance=1e-3, engine="stepped"))
    together(Ghost(), Learning(tolerance=1e-3))


def test_faults_are_reported_together():
    with pytest.raises(SpecError) as caught:
        together(Ghost(mechanism="online", rule="prediction"), Learning(tolerance=1e-3, engine="stepped"))
    assert "prediction" in str(caught.value)
    assert "tolerance" in str(caught.value)
    assert "\n" not in str(caught.value)


class Demanding(Method):
    """A method that needs what a network alone has not."""

    name = "demanding"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        return Needs("random", True, ("stepped",), ("loihi",), ("squared_error",))


def test_every_need_that_is_not_met_is_said_in_one_line():
    with pytest.raises(SpecError) as caught:
        together(Demanding(), Learning(tolerance=1e-3, engine="lava"))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "learning.tolerance belongs to engine 'equilibrium'",
        "no processes or equations for engine 'lava'; use stepped",
        "does not learn in arithmetic 'float'; use loihi",
        "has no loss 'cross_entropy'; use squared_error",
        "needs random feedback, and its graph has none",
        "needs ghosts, and its graph has none",
    ):
        assert part in message, part
    assert message.count("'demanding'") == 5


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_the_usual_rule_goes_with_its_mechanism_and_is_taken_where_none_is_named(mechanism):
    together(Ghost(mechanism=mechanism, rule=usual_rule(mechanism)))
    assert Ghost(mechanism=mechanism).rule == usual_rule(mechanism)


# ---- methods by name


def test_a_method_is_named_or_given():
    assert method_of("ghost") == Ghost() == method_of({"lam": 0.03}) == method_of({"name": "ghost"})
    assert method_of({"name": "ghost", "mechanism": "learned"}) == Ghost(mechanism="learned")
    assert type(method_of("backprop")) is Backprop
    mine = Demanding()
    assert method_of(mine) is mine
    assert method_of({**Ghost(mechanism="online").settings()}) == Ghost(mechanism="online")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ("hebb", f"no method 'hebb'; there are {', '.join(METHODS.names())}"),
        ({"name": "hebb", "lam": 1.0}, "no method 'hebb'"),
        ({"name": 3}, "method 3 is no method; there are"),
        (3, "method is 3; give a name, or a name and settings"),
        ({"name": "ghost", "lam": 0}, "method.lam: input should be greater than 0, got 0"),
        ({"name": "backprop", "lam": 0.1}, "method.lam: unknown key"),
    ],
)
def test_no_such_method_is_refused_with_what_there_is(values, text):
    with pytest.raises(SpecError) as caught:
        method_of(values)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_kind_is_refused_with_what_there_is():
    with pytest.raises(SpecError, match=r"no kind of projection 'sparse'; there are .*dense") as caught:
        parse(Network, {"layers": (4, 3, 2), "kinds": ("sparse", "dense")})
    assert "\n" not in str(caught.value)


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
