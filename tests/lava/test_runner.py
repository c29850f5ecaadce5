"""`run_lava`: progress, interruption, time-out, refusals."""

import os
import signal

import numpy as np
import pytest

from lavaghost.base.errors import LavaError, SpecError
from lavaghost.dynamics import initial_parameters
from lavaghost.lava import run_lava, runner
from lavaghost.lava.runner import default_timeout_s
from lavaghost.net.network import Schedule
from tests.networks import ghost_graph

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

NET = ghost_graph(layers=(4, 5, 3), schedule=Schedule(t_free_steps=4, t_nudge_steps=1))
PARAMS = initial_parameters(NET, 0)


def test_progress_does_not_change_the_result(monkeypatch):
    x = np.random.default_rng(0).random((7, 4))
    whole = run_lava(NET, PARAMS, x)
    monkeypatch.setattr(runner, "STEPS_BETWEEN_REPORTS", 12)
    done: list[int] = []
    parts = run_lava(NET, PARAMS, x, progress=done.append)
    assert done == [3, 6, 7]
    assert parts.steps == whole.steps == 28
    np.testing.assert_array_equal(parts.output, whole.output)


def test_interrupt():
    """The first report is the last one."""
    reports: list[int] = []

    def interrupt(done: int) -> None:
        reports.append(done)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_lava(NET, PARAMS, np.zeros((100_000, 4)), progress=interrupt)
    assert reports == [256]


def test_time_out():
    reports: list[int] = []
    with pytest.raises(LavaError, match=r"within the time-out of 0\.4 s"):
        run_lava(NET, PARAMS, np.zeros((100_000, 4)), timeout_s=0.4, progress=reports.append)
    assert 100_000 not in reports


def test_no_samples():
    run = run_lava(NET, PARAMS, np.zeros((0, 4)))
    assert run.output.shape == (0, 3)
    assert run.steps == 0


def test_input_of_another_width_is_refused():
    with pytest.raises(SpecError, match=r"x has shape \(2, 5\), the network needs \(n, 4\)"):
        run_lava(NET, PARAMS, np.zeros((2, 5)))


def test_parameters_of_another_network_name_what_does_not_fit():
    other = initial_parameters(ghost_graph(layers=(4, 6, 3)), 0)
    swapped = PARAMS._replace(weights=(PARAMS.weights[0], other.weights[1]))
    with pytest.raises(LavaError, match="FusedGhostNetwork1 failed: ValueError"):
        run_lava(NET, swapped, np.zeros((1, 4)))


def test_the_default_time_out_grows_with_steps_and_weights():
    assert 60 < default_timeout_s(NET, 100) < default_timeout_s(NET, 1000) < np.inf
    wide = ghost_graph(layers=(784, 1000, 10))
    assert default_timeout_s(wide, 100) > default_timeout_s(NET, 100)
