"""One reader for untrusted files, and one run at a time in a folder."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lavaghost.base.errors import DataError, ExportError, ModelFileError, OutputError, SpecError
from lavaghost.base.files import LOCK_NAME, locked, open_regular, read_regular, write_atomic
from lavaghost.base.strict_yaml import read as read_yaml
from lavaghost.datasets import load
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.hardware.catalogue import load_chip
from lavaghost.model.model import Model
from lavaghost.run.spec import read_spec

READERS = {
    "run.yaml": (read_spec, SpecError),
    "chip.yaml": (load_chip, SpecError),
    "data.npz": (lambda path: load(str(path)), DataError),
    "model.yaml": (Model.load, ModelFileError),
    "file.onnx": (import_onnx, ExportError),
}


@pytest.fixture(params=["pipe", "link to a device", "folder", "socket"])
def no_file(request, tmp_path):
    """Makes something of the given name that is no regular file."""

    def make(name: str) -> Path:
        path = tmp_path / name
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "folder":
            path.mkdir()
        elif request.param == "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        return path

    return make


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(no_file, name):
    reader, error = READERS[name]
    path = no_file(name)
    with pytest.raises(error) as caught:
        reader(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match=r"regular|directory|device|address"), open_regular(path):
        pass


def test_a_checkpoint_and_weights_that_are_pipes_are_refused(tmp_path, digits):
    from lavaghost.net.network import Network
    from lavaghost.run.train import train

    os.mkfifo(tmp_path / "checkpoint.safetensors")
    with pytest.raises(ModelFileError, match="regular"):
        train(Network(layers=(64, 8, 10)), digits, epochs=0, out=tmp_path, resume=True)


def test_limits_are_those_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, more than 4") as caught:
        read_regular(path, 4)
    assert caught.value.errno == errno.EFBIG
    # a file that says that it has no bytes, and has some
    with pytest.raises(OSError, match="more than the 0 bytes"):
        read_regular("/proc/self/status", 1 << 40)
    with pytest.raises(OSError, match="null"):
        read_regular("a\0b", 10)


DEEP = {
    "flow": b"[" * 20_000,
    "flow in a key": b"a: " + b"[" * 20_000 + b"]" * 20_000,
    "mappings": b"{a: " * 20_000,
    "blocks": b"- " * 20_000,
    "indents": b"".join(b" " * i + b"a:\n" for i in range(1000)),
    "keys": b"? " * 20_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_yaml_is_refused_by_every_reader(tmp_path, text):
    with pytest.raises(ValueError, match=r"open brackets|nested deeper|not allowed here"):
        read_yaml(text)
    for name in ("run.yaml", "chip.yaml", "model.yaml"):
        path = tmp_path / name
        path.write_bytes(text)
        reader, error = READERS[name]
        with pytest.raises(error):
            reader(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"hidden: [1]\nhidden: [2]\n", "'hidden' is given twice"),
        (b"learning: {epochs: 1, epochs: 2}\n", "'epochs' is given twice"),
        (b"a: &x [1]\nb: *x\n", "aliases"),
        (b"a: !!python/object:os.system []\n", "tags"),
        (b"a: 1\n---\nb: 1\n", "document"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_configuration_is_read_strictly(tmp_path, text, why):
    path = tmp_path / "run.yaml"
    path.write_bytes(text)
    with pytest.raises(SpecError, match=why) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)


HOLD = """
import sys
from lavaghost.base.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "out"`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_folder_has_one_run_and_the_second_says_whose(tmp_path, holder):
    with (
        pytest.raises(OutputError, match=f"process {holder.pid} .*choose another --out"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "other"):
        pass
    holder.kill()
    holder.wait()
    # the system ends a lock with its process; its file may stay behind
    with locked(tmp_path / "out"):
        assert (tmp_path / "out" / LOCK_NAME).exists()
        with locked(tmp_path / "out" / ".." / "out"):  # the thread that has it may enter again
            pass
        assert (tmp_path / "out" / LOCK_NAME).exists()
        with ThreadPoolExecutor(1) as pool, pytest.raises(OutputError, match="of this program"):
            pool.submit(lambda: locked(tmp_path / "out").__enter__()).result()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_child_of_a_run_does_not_keep_its_lock(tmp_path):
    with locked(tmp_path / "out"):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with locked(tmp_path / "out"):
        pass
    child.communicate()


WRITE = """
import os, sys
import lavaghost.base.files
from pathlib import Path
os.fsync = lambda handle: (print("writing", flush=True), sys.stdin.read())
lavaghost.base.files.write_atomic(Path(sys.argv[1]), b"whole")
"""


def test_what_a_killed_run_left_goes_and_what_another_writes_stays(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path / "model.yaml")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"writing\n"
    kept = [tmp_path / name for name in (".profile", ".notes.yaml", "model.yaml.abcdefgh", ".a.txt.abcdefgh")]
    for path in kept:
        path.write_text("the user's")
    (tmp_path / ".model.safetensors.new").write_text("half")
    (tmp_path / ".curves.png.a_b0c1d2").write_text("half")
    names = {path.name for path in tmp_path.iterdir()}
    with locked(tmp_path):
        assert names - {path.name for path in tmp_path.iterdir()} == {
            ".model.safetensors.new",
            ".curves.png.a_b0c1d2",
        }
    process.kill()
    process.communicate()
    with locked(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {*(path.name for path in kept), LOCK_NAME}


def test_nothing_can_be_locked_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(OutputError, match="cannot write to"), locked(folder):
            pass


def test_an_atomic_write_is_not_disturbed_by_its_own_lock(tmp_path):
    with locked(tmp_path):
        assert write_atomic(tmp_path / "a.yaml", b"1").read_bytes() == b"1"
        assert write_atomic(tmp_path / "a.yaml", b"2").read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.yaml"]
