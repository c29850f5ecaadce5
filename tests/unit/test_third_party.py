"""An exporter in a package of its own is found by its entry point, passes the conformance test, and its file runs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import available
from lavaghost.exporters.floats import float_expected
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.network import Network

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
CLI = "from lavaghost.cli import main; main()"


def python(*arguments: str, cwd: Path = ROOT, path: Path | None = None, timeout: float = 1000) -> str:
    """Run Python, with `path` as one more folder of installed packages."""
    environment = dict(os.environ) | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a wheel, unpacked into a folder of its own; nothing is fetched."""
    source, target = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("target")
    shutil.copytree(ROOT / "examples" / "third_party_exporter", source)
    wheel = python("-c", BUILD, str(source), cwd=source).split()[-1]
    with zipfile.ZipFile(source / wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = Network(layers=(6, 5, 4, 3), saturation=1.5)
    params = initial_parameters(Ghost().graph(network), 0)
    biases = tuple(b + np.float32(0.1) for b in params.biases)
    trained = Model(
        network, Ghost(), Learning(), params._replace(biases=biases), 1 / 255, ("a", "b", "c"), "some"
    )
    return trained.save(tmp_path_factory.mktemp("model"))


def test_it_is_listed_only_where_it_is_installed(installed: Path) -> None:
    arguments = ("-c", CLI, "export", "--list", "--json")
    assert "c-header" not in available()
    assert "c-header" in json.loads(python(*arguments, path=installed))


def test_it_passes_the_conformance_test(installed: Path) -> None:
    options = ("-k", "c-header", "-q", "-p", "no:cacheprovider")
    said = python("-m", "pytest", "tests/conformance/test_exporters.py", *options, path=installed)
    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_header_runs_and_agrees_within_rounding(installed: Path, model: Path, tmp_path: Path) -> None:
    header = tmp_path / "network.h"
    arguments = ("export", str(model), "--to", "c-header", "--out", str(header), "--json")
    report = json.loads(python("-c", CLI, *arguments, path=installed))
    assert str(header) in report["files"]
    (tmp_path / "main.c").write_text(
        """#include <stdio.h>
#include "network.h"
int main(void) {
    float x[6], y[3];
    while (fread(x, sizeof x, 1, stdin) == 1) { lavaghost_run(x, y); fwrite(y, sizeof y, 1, stdout); }
    return 0;
}
"""
    )
    cc = shutil.which("cc") or ""
    flags = ["-std=c99", "-Wall", "-Werror", "-O1", "main.c", "-o", "main"]
    subprocess.run([cc, *flags], cwd=tmp_path, check=True, timeout=1000)
    raw = np.random.default_rng(0).integers(0, 256, (200, 6)).astype(np.float32)
    done = subprocess.run(
        [tmp_path / "main"], input=raw.tobytes(), capture_output=True, check=True, timeout=1000
    )
    found = np.frombuffer(done.stdout, np.float32).reshape(200, 3)
    expected = float_expected(Model.load(model), raw)
    assert np.all(np.abs(found - expected.logits) <= expected.tolerance)
    assert expected.tolerance.max() < 1e-4
