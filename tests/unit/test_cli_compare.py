"""The command `compare` as a user meets it: parts that share a folder, what is shown, and one line for bad input."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lavaghost.cli import run

SPEC = """
title: Two rows
seeds: [0, 1]
base: {hidden: [8], learning: {epochs: 1, batch_size: 100}}
methods:
  - backprop
  - {label: by ghosts, method: ghost}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def compared(capfd: Any, *arguments: object, code: int = 0) -> dict[str, Any]:
    """Run with --json: one object on one line."""
    capfd.readouterr()
    assert run(["compare", *map(str, arguments), "--json"]) == code
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def refused(capfd: Any, *arguments: object) -> str:
    capfd.readouterr()
    assert run(["compare", *map(str, arguments)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("lavaghost: ")
    assert err.count("\n") == 1
    return err


def test_parts_share_a_folder_and_tables_are_of_all(spec: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "out"
    part = compared(capfd, spec, "--out", out, "--only", "by ghosts", "--seed", 1)
    assert part["by ghosts, digits, seed 1"].endswith(" %")
    assert not (out / "table.md").exists()
    early = compared(capfd, spec, "--out", out, "--collect")
    assert early["missing"] == [
        "backprop, digits, seed 0",
        "by ghosts, digits, seed 0",
        "backprop, digits, seed 1",
    ]
    assert "Missing: backprop (seeds 0, 1); by ghosts (seeds 0)." in (out / "table.md").read_text()
    saved = out / "runs" / "digits" / "by-ghosts" / "seed-1" / "model.safetensors"
    before = saved.stat().st_mtime_ns
    whole = compared(capfd, spec, "--out", out)
    assert saved.stat().st_mtime_ns == before
    assert whole["missing"] == whole["diverged"] == []
    assert [line["label"] for line in whole["summary"]] == ["backprop", "by ghosts"]
    assert [len(line["seeds"]) for line in whole["summary"]] == [2, 2]
    for key in ("table", "csv", "rows", "plot"):
        assert Path(whole[key]).stat().st_size > 0
    assert run(["compare", str(spec), "--out", str(out)]) == 0
    shown = capfd.readouterr().err
    assert "by ghosts" in shown
    assert "Two rows" in shown


def test_a_run_that_diverged_is_a_negative_result(spec: Path, tmp_path: Path, capfd) -> None:
    spec.write_text(SPEC + "  - {label: wild, method: backprop, learning: {eta: 1.0e+30}}\n")
    values = compared(capfd, spec, "--out", tmp_path / "out", code=1)
    assert values["diverged"] == ["wild, digits, seed 0", "wild, digits, seed 1"]
    assert [len(line["seeds"]) for line in values["summary"]] == [2, 2, 0]


def test_bad_input_is_one_line_and_writes_nothing(spec: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "out"
    assert "nowhere.yaml" in refused(capfd, tmp_path / "nowhere.yaml", "--out", out)
    assert "rows are backprop, by ghosts" in refused(capfd, spec, "--out", out, "--only", "x")
    assert "seeds are 0, 1" in refused(capfd, spec, "--out", out, "--seed", 2)
    assert "NAME=PATH" in refused(capfd, spec, "--out", out, "--dataset", "mnist")
    assert "given twice" in refused(capfd, spec, "--out", out, "--dataset", "a=b", "--dataset", "a=c")
    assert "data sets digits" in refused(capfd, spec, "--out", out, "--dataset", "a=b")
    assert "--collect runs nothing" in refused(capfd, spec, "--out", out, "--collect", "--seed", 0)
    assert "is a file" in refused(capfd, spec, "--out", spec)
    spec.write_text(
        SPEC + "  - {label: one, method: nothing}\n  - {label: two, method: fa, learning: {eta: -1}}\n"
    )
    both = refused(capfd, spec, "--out", out)
    assert "row 'one'" in both
    assert "row 'two'" in both
    assert not out.exists()


def test_a_comparison_that_is_interrupted_goes_on(spec: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "out"
    spec.write_text(SPEC.replace("epochs: 1,", "epochs: 12,"))
    command = [sys.executable, "-m", "lavaghost", "compare", str(spec), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not list(out.rglob("checkpoint.safetensors")):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert b"interrupted" in err.splitlines()[-1]
    assert b"Traceback" not in err
    begun = {path.parent for path in out.rglob("checkpoint.safetensors")}
    unfinished = [path for path in begun if not (path / "result.json").exists()]
    if unfinished:
        assert "go on with --resume" in refused(capfd, spec, "--out", out)
    assert compared(capfd, spec, "--out", out, "--resume")["missing"] == []
