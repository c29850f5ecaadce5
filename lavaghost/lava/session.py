"""`Session`: the one way in which this project uses Lava's runtime. It cannot hang and leaves nothing behind.

Lava waits forever when a model raises before it sends, sends a wrong shape or is killed, when `stop` follows
an exception or nothing was run, and when a script ends without `stop`. Here each of these is a `LavaError`
with the traceback of the process that failed, as soon as the host looks, twenty times a second.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess, ProcessServer
from lava.magma.core.process.variable import VarServer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg, RunConfig
from lava.proc.dense.process import LearningDense

from lavaghost.base.errors import LavaError, SpecError
from lavaghost.lava.learning_dense import NumberedLearningDense, RowMajorLearningDense
from lavaghost.lava.quiet import quiet
from lavaghost.lava.runner import TIMEOUT_S
from lavaghost.lava.runtime import Watched, WatchedRuntime
from lavaghost.numbers.arithmetic import Array


def configuration(model: str, fixed: bool = False) -> RunConfig:
    """The run configuration that selects the `fused` or the `decomposed` model of a ghost network.

    `fixed` selects models in integers, for a network that was made with `loihi.Loihi`.
    """
    if model not in ("fused", "decomposed"):
        raise SpecError(f"Lava model {model!r} is unknown; use fused or decomposed")
    return Loihi2SimCfg(
        select_tag="fixed_pt" if fixed else "floating_pt",
        select_sub_proc_model=model == "decomposed",
        exception_proc_model_map={LearningDense: NumberedLearningDense if fixed else RowMajorLearningDense},
    )


class Session:
    """A connected network of Lava processes while it runs on this computer.

        with Session(process) as session:
            session.run(100, timeout_s=30)
            membranes = session.get(process.v_mem1)

    Every method raises `LavaError` when a Lava process failed or the time-out is over; all processes are
    ended then. They also end with the block, whatever happens in it, and the object is of no use afterwards.
    """

    def __init__(
        self, process: AbstractProcess, config: RunConfig | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._process = process
        self._config = configuration("fused") if config is None else config
        self._timeout_s = timeout_s
        self._runtime: WatchedRuntime | None = None
        self._processes: list[Any] = []

    def __enter__(self) -> "Session":
        name = type(self._process).__name__
        with quiet() as warnings:
            try:
                executable = self._process.compile(self._config)
            except Exception as error:
                said = "; ".join(dict.fromkeys(str(w.message) for w in warnings))
                why = f"{error}; {said}" if said else str(error)
                raise LavaError(f"Lava could not compile {name}: {why}") from error
        self._processes = _with_parents(executable.process_list)
        self._runtime = WatchedRuntime(executable)
        executable.assign_runtime_to_all_processes(self._runtime)
        try:
            self._runtime.expect_within(self._timeout_s)
            self._runtime.initialize()
        except BaseException:  # an interrupt too must not leave processes
            self.close()
            raise
        return self

    def run(self, steps: int, *, timeout_s: float, since: float | None = None) -> None:
        """`steps` time steps of all processes, within `timeout_s` of `since` (`time.monotonic`; now)."""
        with self._waiting(timeout_s, since) as runtime:
            runtime.start(RunSteps(steps, blocking=True))

    def start(self, steps: int) -> None:
        """Begin `steps` time steps and return at once; `wait` for their end."""
        with self._waiting(self._timeout_s) as runtime:
            runtime.start(RunSteps(steps, blocking=False))

    def wait(
        self, *, timeout_s: float, since: float | None = None, drain: Callable[[], None] | None = None
    ) -> None:
        """The end of what was started, within `timeout_s` of `since` (now).

        `drain` is called over and over until then, to `poll` what the network sends to the host: a network
        whose pipe is full waits, and its run never ends.
        """
        with self._waiting(timeout_s, since) as runtime:
            while drain is not None and not runtime.done():
                drain()
            runtime.wait()
        if drain is not None:
            drain()

    def poll(self, out_port: Any) -> Array | None:
        """The next message of an OutPort that has `flag_external_pipe`, or None if there is none yet."""
        with self._waiting() as runtime:  # nothing is waited for, so the deadline of a `wait` around it stands
            port = _leaf(out_port).external_pipe_csp_recv_port
            return Watched(port, runtime).recv() if port.probe() else None

    def get(self, var: Any, *, timeout_s: float = TIMEOUT_S) -> Array:
        """The value of a Var after a run, float64; one element at a time, 30 microseconds each."""
        with self._waiting(timeout_s):
            return var.get()

    def set(self, var: Any, value: Array, *, timeout_s: float = TIMEOUT_S) -> None:
        """Set a Var between two runs, one element at a time."""
        if np.shape(value) != var.shape:  # Lava would leave its channels out of step
            raise SpecError(f"Var {var.name} has shape {var.shape}, and the value {np.shape(value)}")
        with self._waiting(timeout_s):
            var.set(np.asarray(value))

    def receive(self, out_port: Any, *, timeout_s: float = TIMEOUT_S) -> Array:
        """The next message of an OutPort that has `flag_external_pipe`: a whole array at once."""
        with self._waiting(timeout_s) as runtime:
            return Watched(_leaf(out_port).external_pipe_csp_recv_port, runtime).recv()

    def close(self) -> None:
        """End all processes at once and give back what they held. Twice is harmless."""
        try:
            self._end()
        except KeyboardInterrupt:  # a second Ctrl-C while the first one is being obeyed
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # a clean stop is possible only after a run that ended well
            if error is None and self._runtime is not None and self._runtime._is_started:
                self._runtime.expect_within(self._timeout_s)
                self._runtime.stop()
        finally:
            self.close()

    @contextmanager
    def _waiting(self, timeout_s: float | None = None, since: float | None = None) -> Iterator[WatchedRuntime]:
        """The runtime with a deadline, or with the one that it has; whatever is raised ends it."""
        if self._runtime is None:
            raise LavaError("this Lava session is closed; open a new one")
        try:
            if timeout_s is not None:
                self._runtime.expect_within(timeout_s, since)
            yield self._runtime
        except BaseException:
            self.close()
            raise

    def _end(self) -> None:
        if self._runtime is not None:
            self._runtime.end()
            self._runtime = None
        for process in self._processes:
            for port in (*process.in_ports.members, *process.out_ports.members):
                _close_pipe(port)
            # without a runtime `run` refuses and `stop` does nothing; with an ended one they crash
            process.runtime = None
            # Lava's registers would keep every process, and the data in it, as long as the program runs
            with suppress(ValueError):
                ProcessServer().processes.remove(process)
            for var in process.vars.members:
                with suppress(ValueError):
                    VarServer().vars.remove(var)


def _with_parents(processes: list[Any]) -> list[Any]:
    """`processes`, and those that consist of them."""
    found = dict.fromkeys(processes)
    for process in processes:
        parent = process.parent_proc
        while parent is not None:
            found[parent] = None
            parent = parent.parent_proc
    return list(found)


def _leaf(out_port: Any) -> Any:
    """The port that sends: the OutPort of a process that consists of others only passes on what theirs send."""
    sources = out_port.get_src_ports()
    return sources[0] if sources else out_port


def _close_pipe(port: Any) -> None:
    """End the thread of a pipe out of Lava, which its runtime forgets."""
    for name in ("external_pipe_csp_recv_port", "external_pipe_csp_send_port"):
        csp_port = getattr(port, name, None)
        if csp_port is not None:
            csp_port.join()
