"""Where Lava cannot run, one line says what is needed and what to use instead; on every Python."""

import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from lavaghost.base.errors import LavaError, MissingError
from lavaghost.dynamics import initial_parameters
from lavaghost.lava import available, require_lava, run_lava
from lavaghost.net.graph import feedforward
from lavaghost.net.network import Network

NET = feedforward(Network(layers=(2, 3, 2)))


def says_what_to_do(error: Exception) -> bool:
    text = str(error)
    return "\n" not in text and all(
        part in text for part in ("Python 3.10", "lava-nc", "'stepped'", "'equilibrium'")
    )


def test_a_newer_python(monkeypatch):
    monkeypatch.setattr(available.sys, "version_info", (3, 12, 1, "final", 0))
    with pytest.raises(MissingError, match=r"this is Python 3\.12") as raised:
        require_lava()
    assert says_what_to_do(raised.value)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("missing", ["lava", "lava.magma"])
def test_lava_is_not_installed(monkeypatch, missing):
    monkeypatch.setattr(available.sys, "version_info", (3, 10, 13, "final", 0))
    monkeypatch.setattr(available, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MissingError, match="not installed") as raised:
        require_lava()
    assert says_what_to_do(raised.value)


def test_a_run_says_so_too(monkeypatch):
    monkeypatch.setattr(available.sys, "version_info", (3, 13, 0, "final", 0))
    with pytest.raises(MissingError):
        run_lava(NET, initial_parameters(NET, 0), np.zeros((1, 2)))


@pytest.mark.parametrize("chosen", [None, "fork", "spawn"])
def test_start_method(monkeypatch, chosen):
    monkeypatch.setattr(available.sys, "version_info", (3, 10, 13, "final", 0))
    monkeypatch.setattr(available.sys, "modules", {})
    monkeypatch.setattr(available, "find_spec", lambda name: object())
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: chosen)
    reset: list[object] = []
    monkeypatch.setattr(multiprocessing, "set_start_method", lambda method, force: reset.append(method))
    if chosen == "spawn":
        with pytest.raises(LavaError, match="'fork', and this program has chosen 'spawn'"):
            require_lava()
    else:
        require_lava()
    assert reset == ([] if chosen == "spawn" else [None])


def test_importing_the_backend_imports_no_lava():
    code = "import sys, lavaghost.lava; sys.exit('lava' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
