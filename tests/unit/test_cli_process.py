"""The command line as a process: what it imports, how it ends, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lavaghost.cli import run
from lavaghost.cli.commands import cli

HEAVY = ("lava", "numba", "scipy", "onnx", "onnxruntime", "matplotlib", "numpy", "pydantic", "yaml", "rich")
SHOW = f"""
import sys
from lavaghost.cli import run
try:
    run(sys.argv[1:])
finally:
    print("IMPORTED", *sorted({HEAVY!r} & sys.modules.keys()), file=sys.__stderr__)
""".replace("('", "{'").replace("')", "'}")
TRAIN = ["train", "--layers", "8", "--epochs", "2"]


def called(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lavaghost", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], [], *([name, "--help"] for name in cli.commands)]
)
def test_help_imports_nothing_that_takes_time(arguments):
    found = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments], capture_output=True, text=True, check=False
    )
    assert found.stderr.splitlines()[-1] == "IMPORTED", found.stderr
    assert "Usage" in found.stdout + found.stderr or "version" in found.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lavaghost ", "train"),
        ("lavaghost train --m", "--mechanism"),
        ("lavaghost train --mechanism ", "online"),
    ],
)
def test_completion_imports_nothing_that_takes_time(words, offered):
    found = subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_LAVAGHOST_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
    )
    assert offered in found.stdout
    assert found.stderr.splitlines()[-1] == "IMPORTED", found.stderr


def test_the_package_runs_as_a_module():
    found = called("--version")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("lavaghost, version ")


def started(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "lavaghost", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGTERM, 143, b"ended by SIGTERM"), (signal.SIGINT, 130, b"interrupted")],
)
def test_a_run_that_is_told_to_end_says_so_and_leaves_nothing_half(tmp_path, number, code, words):
    out = tmp_path / "out"
    with started("train", "--layers", "8", "--epochs", "100000", "--out", str(out)) as process:
        while not (out / "checkpoint.safetensors").exists():
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == code
    last = err.decode().splitlines()[-1]
    assert last.startswith("lavaghost: ")
    assert words.decode() in last
    assert "--resume" in last
    assert b"Traceback" not in err
    assert [path.name for path in out.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["hardware", "loihi1", "--json"], ["hardware", "--schema"]]
)
def test_a_reader_that_goes_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [sys.executable, "-m", "lavaghost", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_run_whose_progress_nobody_reads_goes_on(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lavaghost", *TRAIN, "--out", str(tmp_path), "--json"]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, check=False)
    os.close(writer)
    assert found.returncode == 0
    assert Path(json.loads(found.stdout)["model"]).exists()


def test_a_fault_that_nobody_reads_keeps_its_code():
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [sys.executable, "-m", "lavaghost", "info", "nowhere"],
        stdout=subprocess.PIPE,
        stderr=writer,
        check=False,
    )
    os.close(writer)
    assert found.returncode == 2


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    capfd.readouterr()
    assert run(arguments) == 2
    return capfd.readouterr().err


def test_a_trained_network_is_not_overwritten_unless_told(tmp_path, capfd):
    out = str(tmp_path / "out")
    assert run([*TRAIN, "--out", out]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for arguments in (
        [*TRAIN, "--seed", "1", "--out", out],
        ["quantize", out, "--dataset", "digits", "--out", out],
        ["import", out, "--out", out],
        ["export", out, "--to", "yaml", "--out", out],
        ["precision", out, "--weight-bits", "8", "--out", out],
    ):
        text = refused(capfd, *arguments)
        assert "holds a trained network" in text
        assert "--force" in text
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert run([*TRAIN, "--resume", "--out", out]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before["model.safetensors"]
    assert run([*TRAIN, "--seed", "1", "--force", "--out", out]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before["model.safetensors"]


def test_an_unfinished_run_is_started_anew_with_a_word(tmp_path, capfd):
    out = tmp_path / "out"
    assert run([*TRAIN, "--out", str(out)]) == 0
    (out / "model.yaml").unlink()
    capfd.readouterr()
    assert run([*TRAIN, "--out", str(out), "--json"]) == 0
    assert "did not end" in json.loads(capfd.readouterr().out)["warnings"][0]


def test_a_folder_that_a_run_is_writing_is_refused_by_its_name(tmp_path, capfd):
    out = tmp_path / "out"
    with started("train", "--layers", "8", "--epochs", "100000", "--out", str(out)) as process:
        while not (out / "checkpoint.safetensors").exists():
            assert process.poll() is None, process.communicate()
        for more in ([], ["--resume"], ["--force"]):
            text = refused(capfd, *TRAIN, "--out", str(out), *more)
            assert f"process {process.pid} (" in text
            assert "train --layers 8" in text
        process.kill()
        process.communicate()
    assert run([*TRAIN, "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.safetensors",
        "curves.png",
        "model.safetensors",
        "model.yaml",
    ]


@pytest.mark.parametrize("name", ["o[/x]", "o[bold]", "o\x1b[31m", "o\u202e", "o:smile:", "o\tx"])
def test_markup_in_a_path_is_a_path(tmp_path, capfd, name):
    assert run([*TRAIN, "--out", str(tmp_path / name)]) == 0
    assert run(["info", str(tmp_path / name)]) == 0
    shown = capfd.readouterr().err
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "internal error" not in shown
