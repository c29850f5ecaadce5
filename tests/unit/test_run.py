"""A run from its description to a trained network: methods of one's own, integers, what goes together, what is said."""

from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from lavaghost.base.errors import DataError, MissingError, ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Batch, Changes, OwnState
from lavaghost.methods.by_name import METHODS
from lavaghost.methods.carried import ForwardWork
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network, Physics, Schedule
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.integers import Integers
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.run.spec import Lava, RunSpec, merged, read_spec, resolved
from lavaghost.run.train import Result, run_spec, train

THERE = ", ".join(METHODS.names())


class Counted(Backprop):
    """Backprop that counts the targets of each class that it has learned from."""

    name: ClassVar[str] = "counted"
    first: float = 0.0

    def shapes(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        return {"seen": (graph.layers[-1],)}

    def init(self, graph: Graph, params: Parameters, rng: np.random.Generator) -> OwnState:
        return {"seen": np.full(graph.layers[-1], self.first, np.float64)}

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        changes, _ = super().update(work, params, state, batch)
        return changes, {"seen": state["seen"] + batch.target.sum(axis=0)}

    def figures(self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        return {"seen": float(state["seen"].sum())}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    """The method under its name, for the length of a test."""
    monkeypatch.setitem(METHODS._known, Counted.name, Counted)
    return Counted


def toy(n: int = 24) -> Dataset:
    """A few dozen samples of three classes; each class has an input of its own."""
    rng, y = np.random.default_rng(0), np.arange(n) % 3
    x = (np.eye(6)[y] * 0.7 + 0.3 * rng.random((n, 6))).astype(np.float32)
    return Dataset(name="toy", x_train=x, y_train=y, x_test=x, y_test=y, n_classes=3)


LAYERS = (6, 5, 3)
LOIHI: dict[str, Any] = {"arithmetic": "loihi", "epochs": 2, "seed": 3, "halve_at": [0.5]}


# ---- a method with a state of its own


def test_the_state_of_a_method_is_saved_and_loaded(tmp_path: Path, counted: type[Counted]) -> None:
    run = train(Network(layers=LAYERS), toy(), method=counted(), epochs=2, batch_size=8, out=tmp_path)
    assert [row["seen"] for row in run.figures] == [0.0, 24.0, 48.0]
    np.testing.assert_array_equal(run.model.state["seen"], [16, 16, 16])
    found = Model.load(tmp_path)
    assert found == run.model
    assert found.method == counted()
    assert found.state["seen"].dtype == np.float64
    np.testing.assert_array_equal(found.state["seen"], [16, 16, 16])
    assert not found.state["seen"].flags.writeable


def test_a_method_handed_over_resumes_with_its_state(tmp_path: Path) -> None:
    """By value: nothing is registered, and the killed run ends with the bits and figures of the whole one."""
    network, data = Network(layers=LAYERS), toy()
    settings: dict[str, Any] = {"method": Counted(first=2.0), "epochs": 3, "batch_size": 8}
    plain = train(network, data, **settings)

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: Any) -> None:
        if row is not None and row["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train(network, data, out=tmp_path, report=stop, **settings)
    again = train(network, data, out=tmp_path, resume=True, **settings)
    assert [row["seen"] for row in again.figures] == [6.0, 30.0, 54.0, 78.0]
    assert again.figures == plain.figures
    np.testing.assert_array_equal(again.model.state["seen"], plain.model.state["seen"])
    for name, array in plain.model.params.named().items():
        assert again.model.params.named()[name].tobytes() == array.tobytes()
    other: dict[str, Any] = settings | {"method": Counted(first=3.0)}
    with pytest.raises(ModelFileError, match=r"method\.first: 2\.0, now 3\.0"):
        train(network, data, out=tmp_path, resume=True, **other)


def test_training_on_keeps_the_state_of_the_same_method_alone(counted: type[Counted]) -> None:
    network, data = Network(layers=LAYERS), toy()
    first = train(network, data, method=counted(), epochs=1, batch_size=8).model
    again = train(network, data, method=counted(), start=first, epochs=1, batch_size=8)
    assert [row["seen"] for row in again.figures] == [24.0, 48.0]
    np.testing.assert_array_equal(first.state["seen"], [8, 8, 8])
    for method in (Backprop(), Ghost()):
        assert not train(network, data, method=method, start=first, epochs=1).model.state


def test_a_network_of_a_method_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS._known, Counted.name, Counted)
        path = train(Network(layers=LAYERS), toy(), method=Counted(), epochs=0, out=tmp_path).path
    assert path is not None
    with pytest.raises(ModelFileError, match=f"no method 'counted'; there are {THERE}") as caught:
        Model.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "the state of the method and its shapes differ in seen"),
        ({"seen": np.zeros(3), "more": np.zeros(1)}, "differ in more"),
        ({"seen": np.zeros(4)}, r"state seen is float64 \(4,\), the method needs floats \(3,\)"),
        ({"seen": np.zeros(3, np.int64)}, "state seen is int64"),
        ({"seen": np.array([0.0, np.nan, 0.0])}, "state seen has values that are NaN or infinite"),
    ],
)
def test_another_state_than_the_methods_is_refused(state: dict[str, Any], said: str) -> None:
    params = train(Network(layers=LAYERS), toy(), method="backprop", epochs=0).model.params
    with pytest.raises(SpecError, match=said):
        Model(Network(layers=LAYERS), Counted(), Learning(), params, 1.0, (0, 1, 2), "toy", state=state)


# ---- integers


@pytest.fixture(scope="module")
def integer_run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(Network(layers=LAYERS), toy(), out=tmp_path_factory.mktemp("integers"), **LOIHI)


def test_integers_are_saved_as_integers_and_load_equal_to_the_bit(integer_run: Result) -> None:
    model, path = integer_run.model, integer_run.path
    assert path is not None
    assert isinstance(model.tensors, Integers)
    found = Model.load(path)
    assert found == model
    assert found.tensors == model.tensors
    assert found.arithmetic == "loihi"
    values = yaml.safe_load(path.read_text())
    assert values["numbers"] == {"arithmetic": "loihi", **model.tensors.form()}
    data = (path.parent / "model.safetensors").read_bytes()
    header = yaml.safe_load(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for name, array in model.tensors.arrays.items():
        kind = "I32" if name.startswith("biases") else "I16"
        assert (header[name]["dtype"], tuple(header[name]["shape"])) == (kind, array.shape)


def test_what_integers_stand_for_is_shown_exactly(integer_run: Result) -> None:
    model = integer_run.model
    assert model.integers is not None
    for name, shown in model.params.named().items():
        mantissas = model.integers.arrays[name].astype(np.float64)
        assert shown.dtype == np.float32
        np.testing.assert_array_equal(shown, mantissas * 2.0 ** -model.integers.fraction(name))
        assert mantissas.any()


def test_the_schedule_in_the_manifest_is_the_one_that_ran(integer_run: Result) -> None:
    assert integer_run.path is not None
    said = yaml.safe_load(integer_run.path.read_text())
    ran = integer_run.spec.learning
    assert isinstance(ran, IntegerLearning)
    assert said["learning"] == ran.model_dump(mode="json")
    assert (said["learning"]["halve_at"], said["learning"]["epochs"]) == ([0.5], 2)
    assert not {"eta", "eta_decay", "momentum"} & said["learning"].keys()
    assert not {"integer", "integer_learning"} & said["record"].keys()
    # what integers learn well with, where nothing else was said
    assert (said["method"]["lam"], said["method"]["beta"]) == (0.125, 1.0)
    assert said["network"]["loss"] == "squared_error"
    assert [ran.halvings(epoch) for epoch in (0, 1)] == [0, 1]


def test_integers_out_of_their_bits_are_refused(tmp_path: Path, integer_run: Result) -> None:
    held = integer_run.model.integers
    assert held is not None
    wide = {name: array.astype(np.int64) for name, array in held.arrays.items()}
    wide["weights.1"][0, 0] = held.limits("weights.1")[1] + 1
    with pytest.raises(SpecError, match=r"weights\.1: \d+ is outside -?\d+\.\.\d+; quantise anew"):
        Integers(wide, held.formats, held.widths)
    path = integer_run.model.save(tmp_path)
    text = path.read_text().rpartition("#")[0]
    for change, said in (
        ({"weight_range: 8": "weight_range: 4", "weight_bits: 8": "weight_bits: 4"}, "is outside -16..15"),
        ({"weight_bits: 8": "weight_bits: 80"}, "weight_bits"),
        ({"widths: {": "widths: {typo: 1, "}, "typo"),
    ):
        changed = text
        for old, new in change.items():
            assert old in changed
            changed = changed.replace(old, new)
        path.write_text(changed)
        with pytest.raises(ModelFileError, match=said) as caught:
            Model.load(path)
        assert "\n" not in str(caught.value)


# ---- what a trained network answers


@pytest.mark.parametrize("settings", [{"epochs": 15, "batch_size": 4}, LOIHI | {"epochs": 40}])
def test_predict_gives_labels_and_score_the_share_that_is_right(settings: dict[str, Any]) -> None:
    data = toy()
    model = train(Network(layers=LAYERS), data, **settings).model
    labels = model.outputs(data.x_test).argmax(axis=1)
    np.testing.assert_array_equal(model.predict(data.x_test), labels)
    assert model.score(data) == (labels == data.y_test).mean() == model.record["result"]["accuracy"]
    assert model.score(data) > 0.9
    named = Model(model.network, model.method, model.learning, model.tensors, 1 / 4, ("a", "b", "c"), "toy")
    # raw samples are brought to rates by the network's scale
    np.testing.assert_array_equal(named.predict(data.x_test * 4), np.array(["a", "b", "c"])[labels])
    with pytest.raises(SpecError, match=r"samples have the shape \(24, 5\); give \(samples, 6\)"):
        model.predict(data.x_test[:, :5])


def test_a_result_has_its_description_its_rows_and_its_pictures(tmp_path: Path) -> None:
    run = train(Network(layers=LAYERS, saturation=2.0), toy(), method="backprop", epochs=2)
    assert (run.path, run.spec.hidden, run.spec.learning.epochs) == (None, (5,), 2)
    assert run.spec.network == Physics(saturation=2.0)
    assert [row["epoch"] for row in run.figures] == [0, 1, 2]
    assert run.seconds > 0
    assert run.model.record["result"]["method"] == "backprop"
    assert Model.load(run.save(tmp_path / "a")) == run.model
    assert (tmp_path / "a" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert run.plot(tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    # the same description is the same run
    assert run_spec(run.spec, toy()).model.params.named()["weights.1"].tobytes() == (
        run.model.params.named()["weights.1"].tobytes()
    )


# ---- descriptions


SPECS = {
    "defaults": RunSpec(),
    "ghost": RunSpec(
        dataset="some.npz",
        hidden=(7, 5),
        network=Physics(saturation=1.5, loss="squared_error", kinds=("dense", "dense", "dense")),
        method=Ghost(mechanism="learned", feedback="random", lam=0.5, free_sweeps=9),
        learning=Learning(epochs=3, tolerance=1e-4, sweeps=7),
        start="out/other",
    ),
    "integers": RunSpec(learning=IntegerLearning(halve_at=(0.25, 0.5)), hardware="loihi1", state_fraction=14),
    "lava": RunSpec(
        method="backprop",
        learning=Learning(engine="lava"),
        lava=Lava(limit=5, record=(1,), processes="decomposed"),
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_description_is_the_same_after_yaml(tmp_path: Path, name: str) -> None:
    spec = SPECS[name]
    text = yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True))
    (tmp_path / "run.yaml").write_text(text)
    found = RunSpec.model_validate(yaml.safe_load(text))
    assert found == spec
    assert read_spec(tmp_path / "run.yaml") == resolved(spec.model_dump(mode="json", exclude_none=True))


def test_another_method_brings_its_own_settings() -> None:
    file = {"method": {"name": "ghost", "mechanism": "learned", "lam": 0.5}, "hidden": [9]}
    assert merged(file, {"method": {"name": "backprop"}}) == {"method": {"name": "backprop"}, "hidden": [9]}
    assert merged(file, {"method": {"lam": 0.1}})["method"] == file["method"] | {"lam": 0.1}
    assert merged(file, {"method": {"name": "ghost", "beta": 1.0}})["method"] == file["method"] | {"beta": 1.0}
    # without a name it is the usual one
    assert merged({"method": {"lam": 0.5}}, {"method": {"name": "frozen"}})["method"] == {"name": "frozen"}
    assert merged({"method": "frozen"}, {"method": {"name": "ghost", "lam": 0.1}})["method"] == {
        "name": "ghost",
        "lam": 0.1,
    }
    assert file["method"] == {"name": "ghost", "mechanism": "learned", "lam": 0.5}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "magic"}, f"no method 'magic'; there are {THERE}"),
        (
            {"method": {"lamb": 1}},
            r"method\.lamb: unknown key; known keys are beta, feedback, free_sweeps, lam",
        ),
        ({"method": {"name": "backprop", "lam": 1}}, r"method\.lam: unknown key; known keys are none"),
        ({"method": {"rule": "guess"}}, r"method\.rule: use one of .*temporal.*prediction"),
        ({"method": 3}, "method is 3; give a name, or a name and settings"),
        ({"network": {"kinds": ["magic"]}}, "no kind of projection 'magic'; there are .*dense"),
        (
            {"network": {"lam": 1}},
            r"network\.lam belongs to section method: write method: \{lam: \.\.\.\}",
        ),
        ({"learning": {"arithmetic": "decimal"}}, "learning.arithmetic is 'decimal'; use float or loihi"),
        (
            {"learning": {"rule": "temporal"}},
            r"learning\.rule belongs to section method: write method: \{rule",
        ),
        ({"learning": {"arithmetic": "loihi", "momentum": 0.9}}, r"learning\.momentum: unknown key"),
        (
            {"learning": {"arithmetic": "loihi", "engine": "equilibrium"}},
            "equilibrium has no integers; use stepped",
        ),
        ({"typo": 1}, "typo: unknown key; known keys are dataset, hardware, hidden, lava"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        read_spec(None, values)
    assert "\n" not in str(caught.value)


# ---- every pair of options

METHODS_AND_MECHANISMS = ("backprop", "frozen", "duplicate", "learned", "online")
PAIRS = [
    (which, engine, arithmetic, feedback)
    for which, engine, arithmetic, feedback in product(
        METHODS_AND_MECHANISMS, ("equilibrium", "stepped"), ("float", "loihi"), ("tied", "random")
    )
    if which not in ("backprop", "frozen") or feedback == "tied"
]


@pytest.mark.parametrize(("which", "engine", "arithmetic", "feedback"), PAIRS)
def test_every_pair_of_options_runs_or_is_refused_in_one_line(
    which: str, engine: str, arithmetic: str, feedback: str
) -> None:
    method: dict[str, Any] = {"name": which}
    if which in ("duplicate", "learned", "online"):
        method = {"name": "ghost", "mechanism": which, "feedback": feedback}
    learning: dict[str, Any] = {"engine": engine, "epochs": 1, "arithmetic": arithmetic}
    # refused: integers have no equilibrium, and learn by a local rule alone
    impossible = arithmetic == "loihi" and (engine == "equilibrium" or which in ("backprop", "frozen"))
    try:
        spec = resolved({"hidden": [5], "method": method, "learning": learning})
        model = run_spec(spec, toy()).model
    except SpecError as error:
        assert impossible, error  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        assert "use" in str(error)  # noqa: PT017
        return
    assert not impossible
    assert model.arithmetic == arithmetic
    assert model.learning.engine == engine
    assert model.graph.has_ghosts == (method["name"] == "ghost")
    assert model.graph.ghosts_learn == (which == "learned")
    assert np.isfinite(model.outputs(toy().x_test)).all()


def test_what_does_not_go_together_is_told_at_once() -> None:
    data = toy()
    with pytest.raises(SpecError, match=r"--limit and --record belong to engine 'lava'"):
        train(Network(layers=LAYERS), data, lava={"limit": 3})
    with pytest.raises(SpecError, match=r"belong to --arithmetic loihi"):
        train(Network(layers=LAYERS), data, hardware="loihi1")
    with pytest.raises(SpecError, match="a RunSpec holds epochs itself"):
        train(RunSpec(), data, epochs=3)
    with pytest.raises(SpecError, match="train needs data"):
        train(Network(layers=LAYERS))
    with pytest.raises((DataError, MissingError, SpecError)) as caught:
        run_spec(RunSpec(dataset="nowhere.npz"))
    assert "nowhere.npz" in str(caught.value)


@pytest.mark.parametrize(
    "method", [None, Ghost(), {"name": "ghost"}, Ghost(lam=0.5, schedule=Schedule(t_free_steps=9))]
)
def test_learning_one_by_one_on_lava_has_its_own_defaults_however_a_method_is_named(method: Any) -> None:
    values = {"hidden": [8], "learning": {"engine": "lava", "epochs": 2}}
    run = resolved(values if method is None else values | {"method": method})
    assert isinstance(run.learning, Learning)
    assert (run.learning.batch_size, run.learning.momentum, run.learning.eta) == (1, 0.0, 0.02)
    assert run.learning.epochs == 2  # what is named stays
    named = isinstance(method, Ghost) and "lam" in method.model_fields_set
    assert (run.method.lam, run.method.beta) == (0.5 if named else 0.25, 0.5)
    schedule = Schedule(tau_steps=1, tau_ghost_steps=1, t_free_steps=9 if named else 3, t_nudge_steps=2)
    assert run.method.schedule == schedule


def test_what_a_run_spec_holds_is_not_said_twice() -> None:
    with pytest.raises(SpecError, match="a RunSpec holds method, lava, epochs itself; change them there"):
        train(RunSpec(), toy(), method="backprop", lava={"limit": 3}, epochs=2)
