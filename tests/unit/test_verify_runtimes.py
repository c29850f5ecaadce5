"""Programs as runtimes: what they are given, what is believed of their answers, and that they always end."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lavaghost.base.errors import ExportError, MissingError
from lavaghost.base.spec import parse
from lavaghost.exporters import find
from lavaghost.net.network import Network
from lavaghost.verification import RUNTIMES, Runtime, runtimes

NETWORK = parse(Network, {"layers": (4, 3, 2)})
RAW = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    """A `uv` that runs the script in this Python, so that no environment is made."""
    file = tmp_path / "uv"
    file.write_text('#!/bin/sh\nwhile [ "$1" != --script ]; do shift; done\nshift\nexec python3 "$@"\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("LAVAGHOST_UV", str(file))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def program(folder: Path, body: str) -> Runtime:
    script = folder / "run_test.py"
    script.write_text(
        f"import sys, json, os, time\nimport numpy as np\nfile, given, answer = sys.argv[1:]\n{body}\n"
    )
    return Runtime("test", script, "a test")


def run(runtime: Runtime, folder: Path, **options):
    return runtimes.run(runtime, folder / "file", RAW, NETWORK, {"steps": 7, "exporter": "e"}, **options)


def test_it_gets_samples_and_settings_and_its_answer_comes_back(fake_uv):
    body = """
with np.load(given, allow_pickle=False) as arrays:
    x, settings = arrays["x"], json.loads(str(arrays["settings"]))
assert x.dtype == np.float32 and settings == {"steps": 7, "exporter": "e"}, settings
assert os.path.isabs(file) and os.getcwd() == os.path.dirname(answer)
np.savez(answer, logits=(x[:, :2] * 2).astype(np.int64), energy_j=np.full(3, 2e-6), runtime=np.array("test 1"))
"""
    found = run(program(fake_uv, body), fake_uv)
    np.testing.assert_array_equal(found.logits, (RAW[:, :2] * 2).astype(np.int64))
    np.testing.assert_array_equal(found.labels, [1, 1, 1])
    assert found.energy_j is not None
    assert (found.version, found.latency_s, found.energy_j.tolist()) == ("test 1", None, [2e-6] * 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no\\nsuch node')", "cannot run it: such node"),
        ("sys.exit(3)", "exit code 3"),
        ("pass", "left no readable answer"),
        ("open(answer, 'w').write('x')", "left no readable answer"),
        ("np.savez(answer, labels=np.zeros(3, int))", "gave no logits"),
        ("np.savez(answer, logits=np.zeros((3, 5)))", r"logits are float64 \(3, 5\), not \(3, 2\)"),
        ("np.savez(answer, logits=np.full((3, 2), np.nan))", "not all finite"),
        ("np.savez(answer, logits=np.zeros((3, 2)), labels=np.zeros(3))", "labels are float64"),
        ("np.savez(answer, logits=np.array([[{}] * 2] * 3))", "left no readable answer"),
        ("np.savez_compressed(answer, logits=np.zeros((3, 2)), more=np.zeros(10**6))", "answered 80.* bytes"),
    ],
)
def test_what_is_no_answer_is_one_line(fake_uv, body, said):
    with pytest.raises(ExportError, match=said) as caught:
        run(program(fake_uv, body), fake_uv)
    assert "\n" not in str(caught.value)


def test_one_that_hangs_is_ended_with_its_children(fake_uv, monkeypatch):
    body = f"""
if os.fork() == 0:
    open({str(fake_uv / "child")!r}, "w").write(str(os.getpid()))
time.sleep(10**5)
"""

    class Late(subprocess.Popen):
        def communicate(self, input=None, timeout=None):
            if timeout is None:
                return super().communicate(input)
            assert timeout == 2.0
            while not ((path := fake_uv / "child").exists() and path.read_text()):
                assert self.poll() is None
                time.sleep(0.01)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Late)
    with pytest.raises(ExportError, match=r"did not finish within 2 s; use fewer samples \(--limit\)"):
        run(program(fake_uv, body), fake_uv, timeout_s=2.0)
    child = int((fake_uv / "child").read_text())
    for _ in range(10_000):  # the kernel may take a moment
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child is still there")


def test_an_interruption_ends_it_too(fake_uv, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def communicate(self, *args, **kwargs):
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(program(fake_uv, "time.sleep(10**5)"), fake_uv)
    assert started[0].returncode == -signal.SIGKILL


def test_what_cannot_be_started_is_named(fake_uv):
    (fake_uv / "uv").write_text("no program")
    with pytest.raises(MissingError, match=r"cannot start .*uv: Exec format error"):
        run(program(fake_uv, ""), fake_uv)


def test_an_onnx_file_is_checked_before_a_program_sees_it(fake_uv):
    (fake_uv / "m.onnx").write_bytes(b"not one")
    runtime = program(fake_uv, "open('seen', 'w')")
    with pytest.raises(ExportError, match=r"m\.onnx is not an ONNX file"):
        runtimes.run(runtime, fake_uv / "m.onnx", RAW, NETWORK, {}, graph=True)


def test_without_uv_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LAVAGHOST_UV", str(tmp_path / "nowhere"))
    with pytest.raises(MissingError, match=r"runtime 'tract' needs uv, .*pip install uv") as caught:
        runtimes.run(RUNTIMES["tract"], tmp_path / "file", RAW, NETWORK, {})
    assert caught.value.exit_code == 3


def test_only_runtimes_that_can_are_chosen():
    onnx, yaml = find("onnx"), find("yaml")
    assert runtimes.choose(onnx, None).name == "onnxruntime"
    assert runtimes.choose(onnx, "tract").name == "tract"
    with pytest.raises(ExportError, match=r"no runtime 'abacus'; there are .*tract"):
        runtimes.choose(onnx, "abacus")
    with pytest.raises(
        ExportError, match="'tract' does not run files of exporter 'yaml'; those that do are none"
    ):
        runtimes.choose(yaml, "tract")
    with pytest.raises(ExportError, match="no runtime runs files"):
        runtimes.choose(yaml, None)
    assert json.dumps([runtime.how for runtime in RUNTIMES.values()])
