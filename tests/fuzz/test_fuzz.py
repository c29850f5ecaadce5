"""A bounded part of `make fuzz`, and that it would see what it looks for."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from lavaghost.base.errors import LavaGhostError
from tests.fuzz import __main__ as program
from tests.fuzz import bundles, worker
from tests.fuzz.worker import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_files_are_refused_or_read(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "OUT", tmp_path)
    monkeypatch.setattr(program, "SECONDS", 600.0)  # only against hanging
    monkeypatch.setattr(program, "START_SECONDS", 600.0)
    found = program.fuzz(target, seed=1, inputs=120)
    assert found["defects"] == []
    assert found["refused"] + found["accepted"] == 120
    # were all refused, or none, the inputs would test nothing
    assert found["refused"] > 20
    assert found["accepted"] > 3


def test_an_input_is_a_function_of_its_number(tmp_path: Path) -> None:
    for target in TARGETS:
        made = [TARGETS[target].make(random.Random(f"0:{target}:{i}")) for i in (1, 1, 2)]
        assert made[0] == made[1] != made[2]


def planted(kind: str) -> None:
    """What a broken reader could do."""
    if kind == "raises":
        raise ValueError("not one of ours")
    if kind == "says two lines":
        raise LavaGhostError("one\ntwo")
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hangs":
        time.sleep(10**5)
    if kind == "takes memory":
        bytearray(4 << 30)
    if kind == "reads elsewhere":
        Path("/etc/hostname").open().close()
    if kind == "runs code":
        os.system(f"touch {bundles.CANARY}")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("raises", "ValueError: not one of ours"),
        ("says two lines", "message"),
        ("dies", "the process ended with -9"),
        ("hangs", "no answer"),
        ("takes memory", "MemoryError"),
        ("reads elsewhere", "touched"),
        ("runs code", "ran code"),
        ("returns", ""),
    ],
)
def test_a_broken_reader_is_noticed(
    kind: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "OUT", tmp_path)
    monkeypatch.setattr(program, "SECONDS", 1.0 if kind == "hangs" else 600.0)
    monkeypatch.setattr(program, "START_SECONDS", 600.0)
    calls = []

    def read(folder: Path) -> None:
        calls.append(folder)
        if len(calls) > worker.WARM_UP:
            planted(kind)

    monkeypatch.setitem(worker.TARGETS, "planted", Target(lambda rng: {"file": b""}, read))
    # the child is forked here, so that it has the planted reader
    monkeypatch.setattr(program, "START_METHOD", "fork")
    found = program.fuzz("planted", seed=0, inputs=1)
    if kind == "returns":
        assert found["accepted"] == 1
        assert found["defects"] == []
    else:
        assert said in found["defects"][0]["what"]
        assert Path(found["defects"][0]["kept"]).is_dir()
