"""Every registered method walks the loop of a user: trained, saved, opened in a fresh process, quantised, gone on with.

What a room cannot do with a method it refuses in one line that names it.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lavaghost as lg
from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.methods.by_name import METHODS, method_of
from lavaghost.model.model import Model
from lavaghost.run.spec import resolved
from lavaghost.run.train import run_spec

NAMES = METHODS.names()
every = pytest.mark.parametrize("name", NAMES)
OPENED = """
import json, sys
import numpy as np
from lavaghost.model.model import Model
x = np.load(sys.argv[1])
found = {}
for folder in sys.argv[2:]:
    model = Model.load(folder)
    state = {name: float(np.abs(a).sum()) for name, a in model.state.items()}
    found[folder] = {"outputs": model.outputs(x).tolist(), "method": model.method.settings(), "state": state}
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    return replace(digits, x_train=digits.x_train[:300], y_train=digits.y_train[:300])


@pytest.fixture(scope="module")
def trained(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Model, Path]]:
    """A network of each method, and where it was saved."""
    found = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        spec = resolved({"hidden": (20, 16), "method": name, "learning": {"epochs": 2, "seed": 1}})
        result = run_spec(spec, few, out=folder, diagnostics=False)
        assert result.path is not None
        found[name] = result.model, folder
    return found


@pytest.fixture(scope="module")
def opened(trained: Any, few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process finds in each folder."""
    x = tmp_path_factory.mktemp("x") / "x.npy"
    np.save(x, few.x_test[:30])
    folders = [str(folder) for _, folder in trained.values()]
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(x), *folders],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


@every
def test_its_bundle_says_the_same_in_a_fresh_process(name, trained, opened, few):
    model, folder = trained[name]
    there = opened[str(folder)]
    np.testing.assert_array_equal(np.array(there["outputs"], np.float32), model.outputs(few.x_test[:30]))
    assert there["method"] == json.loads(json.dumps(model.method.settings()))
    assert there["state"] == {key: float(np.abs(a).sum()) for key, a in model.state.items()}


@every
def test_it_is_quantised_with_the_answers_of_a_network_of_its_weights(name, trained, few):
    """What a method puts beside a network changes no answer of it in integers."""
    model, _ = trained[name]
    plain = replace(model, method=method_of("frozen"), tensors=_forward(model), state={})
    found = [quantise_model(m, few).model.outputs(few.x_test[:50]) for m in (model, plain)]
    if model.graph.has_feedback:
        assert (found[0].argmax(axis=1) == found[1].argmax(axis=1)).mean() > 0.9
    else:
        plainly, with_it = found
        np.testing.assert_array_equal(with_it, plainly)


def _forward(model: Model) -> Any:
    params = model.params
    return type(params)(params.weights, params.biases)


@every
def test_learning_goes_on_from_it_with_all_that_it_has(name, trained, few):
    """None of its numbers is drawn anew: without a step, what goes on is what was."""
    model, _ = trained[name]
    spec = resolved({"hidden": (20, 16), "method": model.method.settings(), "learning": {"epochs": 0}})
    same = run_spec(spec, few, start=model, diagnostics=False).model
    for key, array in model.params.named().items():
        np.testing.assert_array_equal(same.params.named()[key], array, err_msg=key)
    for key, array in model.state.items():
        np.testing.assert_array_equal(same.state[key], array, err_msg=key)
    more = resolved(
        {"hidden": (20, 16), "method": model.method.settings(), "learning": {"epochs": 1, "eta": 0.01}}
    )
    on = run_spec(more, few, start=model, diagnostics=False).model
    assert not np.array_equal(on.params.weights[-1], model.params.weights[-1])


@every
@pytest.mark.parametrize("learning", [{"engine": "lava"}, {"arithmetic": "loihi"}])
def test_where_it_has_no_equations_it_is_refused_by_name(name, learning, few):
    needs = method_of(name).needs
    has = "lava" in needs.engines if "engine" in learning else "loihi" in needs.arithmetics
    if has:
        assert resolved({"method": name, "learning": learning}).method.name == name
        return

    def run() -> None:
        run_spec(resolved({"hidden": (20,), "method": name, "learning": learning}), few)

    with pytest.raises(SpecError, match=name) as caught:
        run()
    assert "\n" not in str(caught.value)


@every
def test_ghosts_and_residuals_are_told_where_there_are_ghosts_and_nowhere_else(name, trained):
    model, folder = trained[name]
    told = (folder / "model.yaml").read_text()
    beside = [p for p in model.graph.populations if p.role == "ghost"]
    assert bool(beside) == ("role: ghost" in told)
    assert beside or "residual" not in told


def test_the_names_of_the_package_have_them_all():
    assert set(NAMES) >= {
        "ghost", "backprop", "frozen", "relaxation", "brainprop", "least-action", "pal", "fa", "dfa", "sign-symmetric",
        "kolen-pollack", "modulated",
    }  # fmt: skip
    assert lg.train is not None
