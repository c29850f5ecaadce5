"""Whatever happens to the two files of a saved network, it loads equal or is refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lavaghost.base.errors import ModelFileError
from lavaghost.base.files import sha256
from lavaghost.dynamics import initial_parameters
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.settings import IntegerLearning, suited
from tests.networks import parts

SETTINGS = settings(max_examples=75, deadline=None)


def trained_network(dataset: str = "digits", labels=(0, "one", 2), record=None) -> Model:
    network, method = parts(layers=(4, 3, 3), mechanism="learned", feedback="random")
    params = initial_parameters(method.graph(network), 0)
    return Model(
        network, method, Learning(epochs=1), params, 1 / 255, labels, dataset, record or {"accuracy": 0.9}
    )


def integer_network() -> Model:
    network, method = suited(*parts(layers=(4, 3, 3), mechanism="learned", feedback="random"))
    graph = method.graph(network)
    integers = initial_integers(graph, 0, default_formats(graph), DEFAULT)
    return Model(network, method, IntegerLearning(epochs=1), integers, 1.0, (0, 1, 2), "digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bundle")


KINDS = {"float": trained_network(), "loihi": integer_network()}
FILES = {name: model._files() for name, model in KINDS.items()}


def write(folder: Path, manifest: bytes, weights: bytes) -> None:
    (folder / "model.yaml").write_bytes(manifest)
    (folder / "model.safetensors").write_bytes(weights)


@st.composite
def damaged(draw, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content) - 1))
    kind = draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "insert":
        return content[:at] + draw(st.binary(min_size=1, max_size=20)) + content[at:]
    return content[:at] + content[at + draw(st.integers(1, 50)) :]


def loads_equal_or_not_at_all(folder: Path, kind: str) -> None:
    try:
        found = Model.load(folder)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found == KINDS[kind]


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@SETTINGS
@given(st.data())
def test_a_damaged_manifest(folder, kind, data):
    manifest, weights = FILES[kind]
    write(folder, data.draw(damaged(manifest)), weights)
    loads_equal_or_not_at_all(folder, kind)


@every_kind
@SETTINGS
@given(st.data())
def test_damaged_weights(folder, kind, data):
    manifest, weights = FILES[kind]
    content = data.draw(damaged(weights))
    write(folder, manifest, content)
    if content == weights:
        return
    with pytest.raises(ModelFileError):
        Model.load(folder)


@every_kind
@SETTINGS
@given(st.data())
def test_damaged_weights_under_a_forged_hash(folder, kind, data):
    # numbers may now be others, but names, shapes, types and bits cannot, and nothing else may be raised
    manifest, weights = FILES[kind]
    content = data.draw(damaged(weights))
    values = yaml.safe_load(manifest)
    values["weights"] |= {"sha256": sha256(content), "bytes": len(content)}
    write(folder, yaml.safe_dump(values).encode(), content)
    try:
        found = Model.load(folder)
    except ModelFileError:
        return
    for name, array in found.params.named().items():
        assert array.shape == KINDS[kind].params.named()[name].shape
        assert np.isfinite(array).all()
    assert isinstance(found.tensors, Integers) == (kind == "loihi")
    if found.integers is not None:
        for name, array in found.integers.arrays.items():
            low, high = found.integers.limits(name)
            assert low <= array.min()
            assert array.max() <= high


@every_kind
@SETTINGS
@given(st.data())
def test_an_unsealed_manifest_with_two_faults(folder, kind, data):
    # the halves of two damaged files, without the checksum's line: other values, or a refusal, never a crash
    manifest, weights = FILES[kind]
    first, second = data.draw(damaged(manifest)), data.draw(damaged(manifest))
    content = first[: len(first) // 2] + second[len(second) // 2 :].rpartition(b"#")[0]
    write(folder, content, weights)
    try:
        found = Model.load(folder)
    except ModelFileError:
        return
    assert found.params.named().keys() == KINDS[kind].params.named().keys()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@SETTINGS
@given(
    TEXT, st.lists(TEXT | st.integers(-9, 9), min_size=3, max_size=3, unique=True), st.dictionaries(TEXT, JSON)
)
def test_any_texts_and_records_come_back(folder, dataset, labels, record):
    trained = trained_network(dataset, tuple(labels), record)
    trained.save(folder)
    again = Model.load(folder)
    assert (again.dataset, again.labels, again.record) == (dataset, tuple(labels), record or {"accuracy": 0.9})
    assert again == trained
