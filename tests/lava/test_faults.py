"""What goes wrong while a network learns ends soon, as an exception with the traceback, and leaves nothing.

A user's rule runs inside the processes of either model, so it is what brings the faults in.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lava.magma.core.process.process import ProcessServer
from lava_leaks import HANGING_S, lava_children, open_files
from lava_networks import SAMPLES, network, parameters, plan, taught

from lavaghost.base.errors import LavaError
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.processes.io.sources import SampleSource
from lavaghost.lava.quiet import quiet
from lavaghost.lava.session import Session, configuration
from lavaghost.methods.ghost.rules import Rule

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

MODELS = ("fused", "decomposed")


def fault(kind: str) -> Any:
    if kind == "raises":
        raise ValueError("fault of a rule")
    if kind == "exits":
        sys.exit("fault of a rule")
    if kind == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hangs":
        time.sleep(2 * HANGING_S)
    return np.zeros((2, 3))  # has a wrong shape


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("raises", r"failed: ValueError: fault of a rule[\s\S]*Traceback[\s\S]*in run_spk"),
        ("exits", "failed: SystemExit: fault of a rule"),
        ("is killed", "was ended by SIGKILL"),
        ("hangs", r"no answer within the time-out of 0\.5 s"),
        ("has a wrong shape", r"failed: ValueError: .*shape"),
    ],
)
def test_a_rule_that(kind, text, model, capfd):
    net = network()
    course = plan(net, Rule("faulty", lambda local: fault(kind)))
    with taught(net, parameters(net), course, model) as (session, _):
        session.run(6, timeout_s=HANGING_S)  # the seventh step is the first trial's last
        with pytest.raises(LavaError, match=text):
            session.run(20, timeout_s=0.5 if kind == "hangs" else HANGING_S)
        assert lava_children() == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("model", MODELS)
def test_a_target_at_the_wrong_time(model):
    net = network()
    with taught(net, parameters(net), None, model) as (session, ghosts):
        session.run(4, timeout_s=HANGING_S)  # a network without a course has free phases only
        assert session.get(ghosts.v_mem2).shape == (4,)
    with quiet():
        source: Any = SampleSource(samples=SAMPLES, trial_steps=7)
        ghosts = ghost_network(net, parameters(net), plan(net, "temporal"))
    source.s_out.connect(ghosts.x_in)
    with Session(ghosts, configuration(model)) as session:
        session.run(4, timeout_s=HANGING_S)
        with pytest.raises(LavaError, match="nudge_in is 0 in the nudged phase of trial 0; connect y_in"):
            session.run(1, timeout_s=HANGING_S)


@pytest.mark.parametrize("model", MODELS)
def test_a_var_can_be_set_between_runs(model):
    net = network()
    with taught(net, parameters(net), plan(net, "temporal"), model) as (session, ghosts):
        session.run(7, timeout_s=HANGING_S)
        value = np.arange(9.0)
        session.set(ghosts.b1, value)
        np.testing.assert_array_equal(session.get(ghosts.b1), value)


def test_cycles_of_a_decomposed_network_leak_nothing():
    net = network()
    course = plan(net, "temporal")

    def cycle() -> None:
        with taught(net, parameters(net), course, "decomposed", export_after=[0]) as (session, ghosts):
            session.run(7, timeout_s=HANGING_S)
            session.receive(ghosts.params_out)

    cycle()
    files, registered = open_files(), len(ProcessServer().processes)
    for _ in range(2):
        cycle()
    assert open_files() <= files + 2
    assert len(ProcessServer().processes) == registered


HOST = """
    import sys
    from pathlib import Path
    from lavaghost.datasets import load
    from lavaghost.lava.learner import train_on_lava
    from lavaghost.methods.ghost.method import Ghost
    from lavaghost.methods.learning import Learning
    from lavaghost.net.network import Network, Schedule
    method = Ghost(schedule=Schedule(t_free_steps=3, t_nudge_steps=2))
    learning = Learning(batch_size=1, momentum=0.0, weight_decay=0.0, epochs=1000)
    try:
        train_on_lava(Network(layers=(64, 8, 10)), method, learning, load("digits"), processes=sys.argv[1], limit=8,
                      looks=0, diagnostics=False, out=Path(sys.argv[2]), report=lambda *at: print(*at, flush=True))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("model", MODELS)
def test_ctrl_c_keeps_the_last_checkpoint(model, tmp_path: Path):
    command = [sys.executable, "-c", textwrap.dedent(HOST), model, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            assert program.stdout is not None
            epochs = 0
            for line in program.stdout:
                epochs += "'epoch': " in line
                if epochs == 3:
                    break
            os.killpg(program.pid, signal.SIGINT)
            program.stdout.read()
            assert program.wait(timeout=HANGING_S) == 130
        finally:
            program.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    until = time.monotonic() + HANGING_S
    while lava_children() and time.monotonic() < until:
        time.sleep(0.02)
