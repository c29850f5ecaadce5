"""Tensors in a file beside the model: read, or refused in one sentence with the remedy."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from lavaghost.base.errors import ExportError
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from tests.unit.onnx_graphs import FIRST, LAST, RELU, W1, W2, model

REMEDY = "save the model as one file"


def outside(folder: Path, name: str = "m.data") -> onnx.ModelProto:
    """A network whose tensors lie in `name`, as PyTorch writes it."""
    made, data = model(FIRST, RELU, LAST), b""
    for tensor in made.graph.initializer:
        place = {"location": name, "offset": str(len(data)), "length": str(len(tensor.raw_data))}
        data += tensor.raw_data + bytes(12)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
    (folder / name).write_bytes(data)
    return made


def saved(folder: Path, made: onnx.ModelProto) -> Path:
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "m.onnx"


def entry(made: onnx.ModelProto, key: str, value: str) -> None:
    for found in made.graph.initializer[0].external_data:
        if found.key == key:
            found.value = value


def test_tensors_beside_the_model_are_read(tmp_path: Path) -> None:
    trained = import_onnx(saved(tmp_path, outside(tmp_path)))
    np.testing.assert_array_equal(trained.params.weights[0], W1)
    np.testing.assert_array_equal(trained.params.weights[1], W2)
    assert trained.record["imported"]["beside"] == ["m.data"]


def test_length_and_offset_may_be_left_out(tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    tensor = made.graph.initializer[0]
    (tmp_path / "one.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="one.bin")
    np.testing.assert_array_equal(import_onnx(saved(tmp_path, made)).params.weights[0], W1)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("location", "../m.data", "no plain name"),
        ("location", "/etc/passwd", "no plain name"),
        ("location", "folder/m.data", "no plain name"),
        ("location", "folder\\m.data", "no plain name"),
        ("location", "..", "no plain name"),
        ("location", "", "no plain name"),
        ("location", "a\0b", "no plain name"),
        ("location", "none.data", "put it beside the model"),
        ("location", "link.data", "put it beside the model"),
        ("location", "pipe.data", "not a regular file"),
        ("location", "folder", "not a regular file"),
        ("length", "79", "has 79 bytes in 'm.data' and needs 80"),
        ("length", str(2**60), "needs 80"),
        ("length", "-1", "no numbers"),
        ("offset", "-8", "no numbers"),
        ("offset", "1e3", "no numbers"),
        ("offset", "9" * 400, "no numbers"),
        ("offset", str(2**60), "of its .* bytes"),
        ("offset", "200", "of its .* bytes"),
    ],
)
def test_what_is_no_file_beside_the_model_is_refused(key: str, value: str, why: str, tmp_path: Path) -> None:
    made = outside(tmp_path)
    (tmp_path / "link.data").symlink_to(tmp_path / "m.data")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.data")
    entry(made, key, value)
    with pytest.raises(ExportError, match=why) as caught:
        import_onnx(saved(tmp_path, made))
    assert REMEDY in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    # the nodes that need it have no fault of their own
    assert "node" not in str(caught.value)


def test_tensors_of_one_missing_file_are_one_fault(tmp_path: Path) -> None:
    path = saved(tmp_path, outside(tmp_path))
    (tmp_path / "m.data").unlink()
    with pytest.raises(ExportError, match=r"tensor 'W1' and 3 more lies in another file, 'm\.data'") as caught:
        import_onnx(path)
    assert str(caught.value).count("m.data") == 1


def test_a_claimed_shape_reads_no_more_than_there_is(tmp_path: Path) -> None:
    made = outside(tmp_path)
    made.graph.initializer[0].dims[:] = [2**40, 2**40]
    entry(made, "length", str(2**82))
    with pytest.raises(ExportError, match=r"no numbers|bytes"):
        import_onnx(saved(tmp_path, made))
