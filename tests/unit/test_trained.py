import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml

from lavaghost.base import files
from lavaghost.base.errors import ModelFileError, OutputError, SpecError
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.by_name import METHODS
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.model.manifest import Manifest, manifest_schema
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from tests.networks import ghost_graph, parts

MECHANISMS = ("duplicate", "learned", "online")


def trained_network(layers=(6, 5, 4, 3), seed=3, **physics: Any) -> Model:
    network, method = parts(layers=layers, **{"feedback": "random", "rule": "temporal", **physics})
    params = initial_parameters(method.graph(network), seed)
    biases = tuple(np.linspace(-0.1, 0.1, b.size, dtype=np.float32) for b in params.biases)
    return Model(
        network=network,
        method=method,
        learning=Learning(epochs=2, seed=seed),
        tensors=params._replace(biases=biases),
        input_scale=1 / 16,
        labels=("yes", 1, "1")[: layers[-1]],
        dataset="digits",
        record={"accuracy": 0.97, "cosines": [0.99, 1.0], "residuals": None, "run": {"note": "ü: #"}},
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- what is saved comes back


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
def test_round_trip_is_equal_to_the_bit(tmp_path, mechanism, feedback, activation):
    trained = trained_network(mechanism=mechanism, feedback=feedback, activation=activation)
    manifest = trained.save(tmp_path / "a")
    assert manifest == tmp_path / "a" / "model.yaml"
    for path in (manifest, tmp_path / "a"):
        again = Model.load(path)
        assert again == trained
        assert hash(again) == hash(trained)
        assert again.network == trained.network
        assert again.method == trained.method
        assert again.learning == trained.learning
        assert again.labels == trained.labels
        assert again.record == trained.record
        assert again.params.named().keys() == trained.params.named().keys()
        for name, array in again.params.named().items():
            assert array.dtype == np.float32
            assert array.tobytes() == trained.params.named()[name].tobytes()
            assert not array.flags.writeable
    again.save(tmp_path / "b")
    trained.save(tmp_path / "c")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") == bytes_of(tmp_path / "c")
    assert bytes_of(tmp_path / "a").keys() == {"model.yaml", "model.safetensors"}


def test_saving_over_another_network_replaces_it(tmp_path):
    trained_network(seed=1).save(tmp_path)
    other = trained_network(seed=2, mechanism="learned")
    other.save(tmp_path)
    assert Model.load(tmp_path) == other
    assert bytes_of(tmp_path).keys() == {"model.yaml", "model.safetensors"}


def test_values_of_other_content_differ():
    trained = trained_network()
    assert trained != trained_network(seed=4)
    assert trained != replace(trained, record={})
    assert trained != replace(trained, input_scale=1.0)
    assert trained != "a network"


def test_arrays_are_copies():
    network, method = parts(layers=(4, 3, 2))
    params = initial_parameters(method.graph(network), 0)
    trained = Model(network, method, Learning(), params, 1.0, (0, 1), "toy")
    before = trained.params.weights[0].copy()
    params.weights[0][:] = 7
    np.testing.assert_array_equal(trained.params.weights[0], before)
    with pytest.raises(ValueError, match="read-only"):
        trained.params.weights[0][0, 0] = 1


def test_the_record_takes_numpy_numbers_as_plain_ones(tmp_path):
    record = {"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(2), True), "d": [], "e": {}}
    trained = replace(trained_network(), record=record)
    assert trained.record == {"a": 0.5, "b": [0, 1, 2], "c": [2, True], "d": [], "e": {}}
    shared = [1, {"x": 1e-7}]
    trained = replace(trained, record={"a": shared, "b": shared, "big": 2**63, "tiny": 5e-324})
    trained.save(tmp_path)
    assert Model.load(tmp_path).record == trained.record
    json.dumps(dict(trained.record), allow_nan=False)


@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_manifest_alone_tells_what_is_connected(tmp_path, mechanism, feedback):
    """Every tensor in the file is some projection's own, or a population's bias; every other one is a copy of it."""
    trained = trained_network(mechanism=mechanism, feedback=feedback)
    values = yaml.safe_load(trained.save(tmp_path).read_text())
    own = [p["tensor"] for p in values["projections"] if "tensor" in p and p["own"]]
    assert len(own) == len(set(own))
    biases = [p["bias"] for p in values["populations"] if "bias" in p]
    assert {*own, *biases} == trained.params.named().keys()
    assert {p["tensor"] for p in values["projections"] if "tensor" in p} == set(own)
    sizes = {p["name"]: p["size"] for p in values["populations"]}
    for p in values["projections"]:
        shape = (sizes[p["target"]], sizes[p["source"]])
        if "tensor" not in p:
            assert p["kind"] == "one_to_one"
            assert shape[0] == shape[1]
        else:
            found = trained.params.named()[p["tensor"]].shape
            assert shape == (found[::-1] if p["transposed"] else found)


@pytest.mark.parametrize("method", [Backprop(), Ghost()], ids=lambda method: method.name)
def test_only_a_network_with_ghosts_has_them_in_its_manifest(tmp_path, method):
    network = Network(layers=(4, 3, 2))
    params = initial_parameters(method.graph(network), 0)
    trained = Model(network, method, Learning(), params, 1.0, (0, 1), "toy")
    text = trained.save(tmp_path).read_text().replace("lavaghost", "")
    assert ("ghost" in text) == ("feedback" in text) == (method.name == "ghost")
    values = yaml.safe_load(text)
    roles = [p["role"] for p in values["populations"]]
    assert roles == ["input", "hidden", "output", *(["ghost"] if method.name == "ghost" else [])]
    assert values["method"]["name"] == method.name
    assert ("lam" in values["method"]) == (method.name == "ghost")
    assert not {"lam", "mechanism", "feedback"} & values["network"].keys()


def test_populations_and_projections_by_mechanism():
    def brief(**physics: Any) -> list[str]:
        graph = ghost_graph(layers=(4, 3, 2), **physics)
        people = [f"{p.name}:{p.size}:{p.activation}:{p.bias}" for p in graph.populations[3:]]
        ways = [
            f"{p.source}>{p.target} {p.path} {p.tensor or p.kind}{' copied' if p.tensor and not p.own else ''}"
            f"{' transposed' if p.transposed else ''}"
            for p in graph.projections[2:]
        ]
        return people + ways

    assert brief() == [
        "ghost.1:2:linear:biases.2",
        "output>hidden.1 feedback weights.2 copied transposed",
        "hidden.1>ghost.1 ghost weights.2 copied",
        "ghost.1>hidden.1 inhibition weights.2 copied transposed",
    ]
    assert brief(mechanism="learned", feedback="random") == [
        "ghost.1:2:linear:ghost_biases.1",
        "output>hidden.1 feedback feedback.1",
        "hidden.1>ghost.1 ghost ghost_weights.1",
        "ghost.1>hidden.1 inhibition ghost_inhibition.1",
    ]
    assert brief(mechanism="online", feedback="random") == [
        "ghost.1:3:linear:None",
        "output>hidden.1 feedback feedback.1",
        "output>ghost.1 ghost feedback.1 copied",
        "ghost.1>hidden.1 inhibition one_to_one",
    ]


def test_schema_is_json_and_closed():
    schema = manifest_schema()
    json.dumps(schema)
    assert set(schema["required"]) == set(Manifest.model_fields)
    assert schema["additionalProperties"] is False


# ---- what cannot be a trained network


def test_construction_names_all_faults_in_one_line():
    good = trained_network()
    weights = tuple(np.full_like(w, np.nan) for w in good.params.weights)
    with pytest.raises(SpecError) as caught:
        replace(
            good,
            tensors=good.params._replace(weights=weights, biases=good.params.biases[:2], feedback=()),
            labels=(1, 1.5),
            input_scale=0.0,
            record={"loss": math.nan, "epoch": {1: "one"}},
        )
    text = str(caught.value)
    assert "\n" not in text
    for part in ("weights.1 has 30", "biases.3", "feedback.1", "2 labels for 3", "labels.1 is 1.5"):
        assert part in text
    for part in ("input_scale is 0.0", "record.loss is nan", "record.epoch has the key 1"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensors": Parameters((), ())}, "params and network differ in biases.1"),
        ({"labels": (0, 1, 1)}, "not all different"),
        ({"labels": (0, 1, True)}, "labels.2 is True"),
        ({"labels": (0, 1, 2**64)}, "labels.2"),
        ({"labels": (0, 1, "\ud800")}, "surrogate"),
        ({"dataset": "x" * 5000}, "5000 characters"),
        ({"dataset": None}, "dataset is a NoneType"),
        ({"input_scale": math.inf}, "input_scale is inf"),
        ({"input_scale": 1e-40}, "float32"),
        ({"record": {"x": object()}}, "record.x is a object"),
        ({"record": {"x": 2**64}}, "record.x is beyond 64 bits"),
        (
            {"method": Ghost(mechanism="online", feedback="random", rule="prediction")},
            "'online' only replicates",
        ),
    ],
)
def test_construction_refuses(change, said):
    with pytest.raises(SpecError, match=said):
        replace(trained_network(), **change)


def test_a_record_in_itself_and_one_without_end_are_refused(tmp_path):
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SpecError, match="nested deeper"):
        replace(trained_network(), record={"loop": loop})
    long = replace(trained_network(), record={"rows": ["x" * 4000] * 300})
    with pytest.raises(SpecError, match="shorten the record"):
        long.save(tmp_path)
    assert not bytes_of(tmp_path)


def test_double_precision_is_not_rounded_silently():
    good = trained_network()
    with pytest.raises(SpecError, match=r"weights\.1 is float64; use params\.astype"):
        replace(good, tensors=good.params.astype(np.float64))


# ---- manifests that cannot be trusted


def _set(path: str, value: Any):
    def change(values: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        at: Any = values
        for part in parents:
            at = at[int(part) if isinstance(at, list) else part]
        at[int(last) if isinstance(at, list) else last] = value

    return change


def _drop(key: str):
    return lambda values: values.pop(key)


BAD_VALUES = [
    (_set("format", "other"), "not a lavaghost.network manifest"),
    (_drop("format"), "not a lavaghost.network manifest"),
    (_set("version", "3.0"), "version '3.0' cannot be read, only 1.x and 2.x"),
    (_set("version", 2.0), "version 2.0 cannot be read"),
    (_drop("version"), "version None"),
    (_set("typo", 1), "typo: unknown key"),
    (_set("network.lamb", 1.0), "network.lamb: unknown key; known keys are"),
    (_set("network.layers", [6, 5]), "network.layers"),
    (_set("network.layers", [6, 5, 4, 10**9]), "network.layers.3"),
    (_set("network.layers", ["6", 5, 4, 3]), "network.layers.0"),
    (_set("network.lam", 0.1), "network.lam: unknown key"),
    (_set("network.kinds", ["dense", "dense", "x" * 9]), "no kind of projection 'xxxxxxxxx'; there are"),
    (_set("network.kinds", ["dense"]), "kinds names 1 projections, and the layers have 3"),
    (_set("method.lam", "0.1"), "method.lam"),
    (_set("method.lam", math.nan), "method.lam"),
    (_set("method.lamb", 0.1), "method.lamb: unknown key; known keys are"),
    (_set("method.mechanism", "magic"), "method.mechanism"),
    (_set("method.mechanism", "online"), "projections"),
    (_set("method.rule", "guess"), "method.rule"),
    (_set("method.name", "magic"), f"no method 'magic'; there are {', '.join(METHODS.names())}"),
    (_set("method", 3), "method"),
    (_set("learning.rule", "temporal"), "learning.rule: unknown key"),
    (_set("learning.arithmetic", "decimal"), "learning.arithmetic is 'decimal'; use float or loihi"),
    (_set("learning.epochs", -1), "learning.epochs"),
    (_set("numbers.arithmetic", "decimal"), "numbers.arithmetic"),
    (_set("numbers.arithmetic", "loihi"), "weights.1 is F32 (5, 6), the network needs I16 (5, 6)"),
    (_set("input.size", 7), "input.size is 7, network.layers.0 is 6"),
    (_set("input.scale", 0), "input.scale"),
    (_set("labels", [0, 1]), "2 labels for 3 outputs"),
    (_set("labels", [0, 1, 1.5]), "labels.2"),
    (_set("labels", [0, 1, 1]), "not all different"),
    (_set("record", [1]), "record"),
    (_set("record", {"x": math.inf}), "record.x is inf"),
    (_set("populations.1.size", 6), "populations.1 is"),
    (_set("populations", []), "populations has 0 entries, the network implies 6"),
    (_set("projections.0.kind", "conv"), "projections.0 is"),
    (_set("projections.0.path", "feedback"), "projections.0 is"),
    (_set("projections.0.path", "sideways"), "projections.0.path"),
    (_set("projections.3.tensor", "weights.1"), "projections.3 is"),
    (_set("weights.path", "../model.safetensors"), "weights.path"),
    (_set("weights.path", "a/../../model.safetensors"), "leaves its folder"),
    (_set("weights.path", "/etc/passwd"), "weights.path"),
    (_set("weights.path", "missing.safetensors"), "missing.safetensors"),
    (_set("weights.path", "x" * 251), "xxx: No such file"),
    (_set("weights.path", "a\x00b"), "weights.path"),
    (_set("weights.format", "pickle"), "weights.format"),
    (_set("weights.sha256", "0" * 64), "SHA-256"),
    (_set("weights.bytes", 10**6), "the manifest says 1000000"),
]


@pytest.mark.parametrize(("change", "said"), BAD_VALUES)
def test_a_changed_manifest_is_refused_by_its_fault(tmp_path, change, said):
    path = trained_network().save(tmp_path / "deep" / "er")
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ModelFileError) as caught:
        Model.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_several_faults_are_told_together(tmp_path):
    path = trained_network().save(tmp_path)
    values = yaml.safe_load(path.read_text())
    values |= {"labels": 3, "typo": 1, "dataset": None}
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ModelFileError, match=r"(?=.*labels:)(?=.*typo:)(?=.*dataset:)"):
        Model.load(path)


def test_a_later_minor_version_and_an_edited_file_are_read(tmp_path):
    trained = trained_network()
    path = trained.save(tmp_path)
    *lines, seal = path.read_text().splitlines()
    edited = "\n".join(lines).replace("'2.0'", "'2.7'").replace("dataset: digits", "dataset: mine")
    path.write_text(edited)
    assert Model.load(path) == replace(trained, dataset="mine")
    path.write_text(edited + "\n" + seal + "\n")
    with pytest.raises(ModelFileError, match="changed after it was saved"):
        Model.load(path)


LAUGHS = "a: &a [1]\n" + "".join(f"k{i}: &k{i} [*a, *a, *a]\n" for i in range(30))
BAD_TEXTS = {
    "empty": (b"", "not a lavaghost.network manifest"),
    "a list": (b"[1, 2]", "not a lavaghost.network manifest"),
    "a word": (b"hello", "not a lavaghost.network manifest"),
    "binary": (bytes(range(256)), "not readable as YAML"),
    "not UTF-8": ("format: ü".encode("latin-1"), "not readable as YAML"),
    "broken": (b"a: [1, 2\nb: }", "not readable as YAML"),
    "two documents": (b"a: 1\n---\nb: 2\n", "not readable as YAML"),
    "aliases": (LAUGHS.encode(), "anchors and aliases"),
    "merge": (b"a: &x {b: 1}\nc: {<<: *x}\n", "anchors and aliases"),
    "python tag": (b"a: !!python/object/apply:os.system ['touch owned']\n", "tags are not used"),
    "any tag": (b"a: !!binary aGVsbG8=\n", "tags are not used"),
    "twice": (b"format: x\nformat: lavaghost.network\n", "'format' is given twice"),
    "deep": (b"a: " + b"[" * 100_000, "not readable as YAML"),
    "deep mapping": (b"{a: " * 50_000, "not readable as YAML"),
    "long number": (b"a: " + b"9" * 100_000, "longer than 4096"),
    "no date": (b"a: 2020-99-99\n", "not readable as YAML"),
    "long": (b"# \n" * 400_000, "more than 1048576"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_is_no_manifest_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, said = BAD_TEXTS[name]
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        Model.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["model.yaml"]


def test_missing_and_irregular_files_are_refused(tmp_path):
    path = trained_network().save(tmp_path)
    with pytest.raises(ModelFileError, match="nowhere"):
        Model.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match=r"empty/model.yaml.*No such file"):
        Model.load(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        Model.load(tmp_path / "pipe")
    size = (tmp_path / "model.safetensors").stat().st_size
    (tmp_path / "model.safetensors").unlink()
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=f"0 bytes, the manifest says {size}"):
        Model.load(path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("model.safetensors")
    with pytest.raises(ModelFileError, match=r"weights|model\.safetensors"):
        Model.load(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    path = trained_network().save(tmp_path / "in")
    outside = (tmp_path / "in" / "model.safetensors").rename(tmp_path / "elsewhere")
    (tmp_path / "in" / "model.safetensors").symlink_to(outside)
    with pytest.raises(ModelFileError, match="leaves its folder"):
        Model.load(path)


# ---- weights that cannot be trusted


def reseal(folder: Path, content: bytes, bound: bool = True) -> None:
    """New weights with a manifest that speaks of them, as a forger would."""
    (folder / "model.safetensors").write_bytes(content)
    values = yaml.safe_load((folder / "model.yaml").read_text())
    if bound:
        digest = hashlib.sha256(content).hexdigest()
        values["weights"] |= {"sha256": digest, "bytes": len(content)}
    (folder / "model.yaml").write_text(yaml.safe_dump(values))


def tensors(trained: Model) -> dict[str, Any]:
    return dict(trained.params.named())


def renamed(trained: Model) -> bytes:
    return safetensors.numpy.save({k.replace("weights.1", "weights.9"): v for k, v in tensors(trained).items()})


def retyped(trained: Model) -> bytes:
    return safetensors.numpy.save({k: v.view(np.int32) for k, v in tensors(trained).items()})


def reshaped(trained: Model) -> bytes:
    return safetensors.numpy.save({k: np.ascontiguousarray(v.T) for k, v in tensors(trained).items()})


def holding(value: float):
    def change(trained: Model) -> bytes:
        changed = {k: v.copy() for k, v in tensors(trained).items()}
        changed["feedback.1"][0, 0] = value
        return safetensors.numpy.save(changed)

    return change


def packed(trained: Model) -> bytes:
    return safetensors.numpy.save(tensors(trained))


BAD_WEIGHTS = {
    "renamed": (renamed, r"lacks weights\.1; .*unknown 'weights\.9'"),
    "integers": (retyped, r"weights\.1 is I32"),
    "reshaped": (reshaped, r"weights\.1 is F32 \(6, 5\), the network needs F32 \(5, 6\)"),
    "NaN": (holding(math.nan), r"feedback\.1 has 1 value\(s\) that are NaN"),
    "infinity": (holding(-math.inf), r"feedback\.1 has 1 value"),
    "one tensor less": (
        lambda t: safetensors.numpy.save({k: v for k, v in tensors(t).items() if k != "weights.1"}),
        r"lacks weights\.1",
    ),
    "one tensor more": (
        lambda t: safetensors.numpy.save({**tensors(t), "more": np.zeros(1, np.float32)}),
        r"unknown 'more'",
    ),
    "empty": (lambda t: b"12345678", r"8 bytes, the network's shapes need"),
    "cut": (lambda t: packed(t)[:-1], "not a whole safetensors file"),
    "longer": (lambda t: packed(t) + b"\0", "not a whole safetensors file"),
    "zeros": (lambda t: bytes(len(packed(t))), "not a whole safetensors file"),
    "huge header": (lambda t: b"\xff" * 7 + b"\x7f" + packed(t)[8:], "not a whole safetensors file"),
    "pickle": (lambda t: b"\x80\x04cos\nsystem\n".ljust(len(packed(t)), b"."), "not a whole safetensors"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_forged_weights_are_refused_by_their_fault(tmp_path, name):
    trained = trained_network()
    path = trained.save(tmp_path)
    change, said = BAD_WEIGHTS[name]
    reseal(tmp_path, change(trained))
    with pytest.raises(ModelFileError, match=said) as caught:
        Model.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b + b"\0\0\0\0", lambda b: b[:-1] + b"\1"])
def test_damaged_weights_are_refused(tmp_path, damage):
    trained = trained_network()
    path = trained.save(tmp_path)
    reseal(tmp_path, damage(packed(trained)), bound=False)
    with pytest.raises(ModelFileError, match=r"SHA-256|bytes"):
        Model.load(path)


def test_a_weights_file_far_too_large_is_not_read(tmp_path):
    path = trained_network().save(tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as stream:
        stream.truncate(1 << 42)
    values = yaml.safe_load(path.read_text())
    values["weights"]["bytes"] = 1 << 42
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ModelFileError, match=r"shapes need .*more than 4294967296"):
        Model.load(path)


# ---- crashes and folders that cannot be written


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("survives", range(6))
def test_no_crash_leaves_a_manifest_of_other_weights(tmp_path, monkeypatch, survives):
    old, new = trained_network(seed=1), trained_network(seed=2)
    old.save(tmp_path)
    done = 0

    def dying(real):
        def call(*args, **kwargs):
            nonlocal done
            if done >= survives:
                raise PowerCut
            done += 1
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", dying(os.replace))
        patch.setattr(files.os, "fsync", dying(os.fsync))
        # from Python 3.11 on Path.replace calls os.replace, and one rename must count once
        patch.setattr(Path, "replace", lambda path, target: files.os.replace(str(path), target))
        try:
            new.save(tmp_path)
        except PowerCut:
            assert done == survives
    try:
        found = Model.load(tmp_path)
    except ModelFileError:
        assert not (tmp_path / "model.yaml").exists()
    else:
        assert found in (old, new)
        # staging: two flushes and three renames, and only after the first rename does the old one go
        assert (found == old) == (survives < 2)
    new.save(tmp_path)
    assert Model.load(tmp_path) == new


def test_a_full_disk_leaves_the_old_network(tmp_path, monkeypatch):
    old = trained_network(seed=1)
    old.save(tmp_path)
    before = bytes_of(tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        trained_network(seed=2).save(tmp_path)
    assert bytes_of(tmp_path) == before


def test_old_weights_beside_a_new_manifest_are_noticed(tmp_path):
    trained_network(seed=1).save(tmp_path / "a")
    trained_network(seed=2).save(tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").replace(tmp_path / "b" / "model.safetensors")
    with pytest.raises(ModelFileError, match="do not belong together"):
        Model.load(tmp_path / "b")


def test_unwritable_places_are_output_errors(tmp_path):
    trained = trained_network()
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="file"):
            trained.save(folder)
    (tmp_path / "taken" / "model.yaml").mkdir(parents=True)
    with pytest.raises(OutputError, match="taken"):
        trained.save(tmp_path / "taken")
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["model.yaml"]
