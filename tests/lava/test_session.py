"""What hangs in Lava ends here: as a LavaError, soon, with the traceback, and with nothing left behind."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from lava.magma.core.process.process import ProcessServer
from lava_faults.process import Receiver, Sender, Unmodelled
from lava_leaks import HANGING_S, lava_children, open_files

from lavaghost.base.errors import LavaError, SpecError
from lavaghost.lava.quiet import quiet
from lavaghost.lava.runtime import WatchedRuntime
from lavaghost.lava.session import Session

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]


def pair(fault: str | None = None) -> tuple[Sender, Receiver]:
    with quiet():
        sender, receiver = Sender(fault=fault), Receiver()
    sender.s_out.connect(receiver.a_in)
    return sender, receiver


def run(fault: str | None, timeout_s: float = HANGING_S) -> None:
    with Session(pair(fault)[0], timeout_s=timeout_s) as session:
        session.run(100, timeout_s=timeout_s)


def test_a_run_that_ends_well(capfd):
    sender, receiver = pair()
    handlers = logging.getLogger().handlers[:]
    with Session(sender) as session:
        session.run(5, timeout_s=HANGING_S)
        session.run(2, timeout_s=HANGING_S)
        np.testing.assert_array_equal(session.get(receiver.last), [7, 7, 7])
        session.set(sender.count, np.array([1.0, 2.0, 3.0]))
        session.run(1, timeout_s=HANGING_S)
        np.testing.assert_array_equal(session.get(receiver.last), [2, 3, 4])
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("before_send", "ValueError: fault in before_send"),
        ("after_send", "ValueError: fault in after_send"),
        ("wrong_shape", "Mismatch"),
        ("not_pickled", "NotPickled: fault in not_pickled"),
        ("exit", "SystemExit: fault in exit"),
    ],
)
def test_an_exception_in_a_model(fault, text, capfd):
    with pytest.raises(LavaError, match=text) as raised:
        run(fault)
    summary, *trace = str(raised.value).splitlines()
    assert summary.startswith("Lava process PySender failed: ")
    assert text in summary
    assert trace[0] == "Traceback (most recent call last):"
    assert any("in run_spk" in line for line in trace)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_cannot_be_built(capfd):
    with pytest.raises(LavaError, match="PySender failed: ValueError: fault in __init__"):
        run("init")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["killed", "killed_in_init"])
def test_a_killed_process(fault, capfd):
    with pytest.raises(LavaError, match="PySender was ended by SIGKILL; it wrote") as raised:
        run(fault)
    assert ("last words" in str(raised.value)) == (fault == "killed")
    assert capfd.readouterr() == ("", "")


def test_the_manager_of_the_shared_memory_is_killed(nothing_left):
    sender, _ = pair()
    with Session(sender) as session:
        session.run(1, timeout_s=HANGING_S)
        runtime: Any = session._runtime
        own = {actor.pid for actor in runtime.actors.actors}
        (manager,) = (child for child in lava_children() if child.pid not in own)
        manager.kill()
        session.run(1, timeout_s=HANGING_S)
    assert len(nothing_left) > 0


def test_a_network_that_cannot_be_compiled(capfd):
    with quiet():
        process = Unmodelled()
    with pytest.raises(LavaError, match=r"could not compile Unmodelled: .*No ProcessModels"):
        Session(process).__enter__()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["slow", "slow_init"])
def test_a_time_out(fault):
    with pytest.raises(LavaError, match=r"no answer within the time-out of 0\.5 s"):
        run(fault, timeout_s=0.5)


def test_a_get_that_lava_never_answers_and_a_closed_session():
    sender, _ = pair()
    with Session(sender) as session:
        session.run(1, timeout_s=HANGING_S)
        with pytest.raises(LavaError, match="no answer"):
            session.get(sender.scalar, timeout_s=0.3)
    with pytest.raises(LavaError, match="closed"):
        session.run(1, timeout_s=HANGING_S)
    with pytest.raises(LavaError, match="closed"):
        session.get(sender.count)
    session.close()


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, np.inf, np.nan])
def test_no_time_out_without_end(timeout_s):
    with pytest.raises(SpecError, match="must be positive and finite"):
        Session(pair()[0], timeout_s=timeout_s).__enter__()


def test_a_value_of_another_shape_is_refused():
    sender, _ = pair()
    with Session(sender) as session:
        session.run(1, timeout_s=HANGING_S)
        with pytest.raises(SpecError, match=r"count has shape \(3,\), and the value \(2,\)"):
            session.set(sender.count, np.zeros(2))
        np.testing.assert_array_equal(session.get(sender.count), [1, 1, 1])


def test_no_run_at_all_and_double_close():
    with Session(pair()[0]) as session:
        pass
    session.close()
    session.close()


def test_an_exception_of_the_host_passes_through():
    def fail():
        with Session(pair()[0]) as session:
            session.run(1, timeout_s=HANGING_S)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()


def test_an_error_that_the_host_catches():
    with Session(pair("before_send")[0]) as session:
        with pytest.raises(LavaError):
            session.run(10, timeout_s=HANGING_S)
        assert lava_children() == []


def test_interrupt(monkeypatch):
    """Ctrl-C while the host waits for a process that will not answer."""

    def interrupt(runtime):
        if runtime._is_started:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(WatchedRuntime, "check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("slow")


def test_cycles_leak_nothing():
    def cycle():
        sender, _ = pair()
        with Session(sender) as session:
            session.run(1, timeout_s=HANGING_S)

    cycle()
    files, registered = open_files(), len(ProcessServer().processes)
    for _ in range(10):
        cycle()
    assert open_files() <= files + 2
    assert len(ProcessServer().processes) == registered


HOST = """
    import sys
    from lavaghost.lava import require_lava
    require_lava()
    sys.path.insert(0, sys.argv[1])
    from lava_faults.process import Sender
    from lava_leaks import lava_children
    from lavaghost.lava.session import Session
    with Session(Sender(fault="slow")) as session:
        print(*(child.pid for child in lava_children()), flush=True)
        session.run(100, timeout_s=600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_whole_program_is_ended(number):
    # Ctrl-C goes to the program and to its children; SIGKILL leaves nobody to clean up
    command = [sys.executable, "-c", textwrap.dedent(HOST), str(Path(__file__).parent)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            assert program.stdout is not None
            children = [int(pid) for pid in program.stdout.readline().split()]
            time.sleep(0.1)
            if number == signal.SIGINT:
                os.killpg(program.pid, number)
            else:
                program.kill()
            _, errors = program.communicate(timeout=HANGING_S)
        finally:
            program.kill()
    assert len(children) == 3  # sender, runtime service, manager of the shared memory
    assert program.returncode == -number
    assert errors.count("Traceback") == (1 if number == signal.SIGINT else 0)
    until = time.monotonic() + HANGING_S
    while any(map(psutil.pid_exists, children)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(psutil.pid_exists, children))
