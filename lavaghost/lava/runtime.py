"""Lava's runtime with a watch on everything that it waits for."""

import math
import time
from queue import Empty
from typing import Any

from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal
from lava.magma.runtime.runtime import Runtime

from lavaghost.base.errors import LavaError, SpecError
from lavaghost.lava.actors import GRACE_S, Actors

POLL_S = 0.05
"""How often the actors are looked at while the host waits."""


class WatchedRuntime(Runtime):
    """Waits for its actors only as long as all of them live and the time-out is not over.

    The host waits in few places: for each actor's first word, for messages of the runtime services, and for
    room to send them one. Each of these now looks at the actors twenty times a second.
    """

    def __init__(self, executable: Any) -> None:
        super().__init__(executable, ActorType.MultiProcessing)
        self.actors = Actors()
        self._timeout_s = self._deadline = 0.0

    def expect_within(self, timeout_s: float, since: float | None = None) -> None:
        """What is waited for must come within `timeout_s` of `since` (`time.monotonic`), or of now."""
        if not 0 < timeout_s < math.inf:
            raise SpecError(f"timeout_s is {timeout_s}; it must be positive and finite")
        self._timeout_s = timeout_s
        self._deadline = (time.monotonic() if since is None else since) + timeout_s

    def check(self) -> None:
        """Raise `LavaError` if an actor failed or the time is over."""
        fault = self.actors.fault()
        if fault is not None:
            raise LavaError(fault)
        if time.monotonic() > self._deadline:
            raise LavaError(
                f"Lava gave no answer within the time-out of {self._timeout_s:g} s; its processes were "
                "ended (raise the time-out if the machine is slow or the network large)"
            )

    def done(self) -> bool:
        """Whether what was started has ended; waits a moment for it. Raises `LavaError` as `check` does."""
        for port in self.service_to_runtime:
            if not port.await_one(POLL_S / 5):
                self.check()
                return False
        return True

    def end(self) -> None:
        """End everything at once, whatever state it is in. Nothing can be waited for afterwards."""
        self.actors.kill()
        self.join()
        self.actors.stop()
        self._is_started = self._is_running = False

    def _build_message_infrastructure(self) -> None:
        self._messaging_infrastructure = self.actors
        self.actors.start()

    def _start_ports(self) -> None:
        super()._start_ports()
        self.runtime_to_service: Any = [Watched(port, self) for port in self.runtime_to_service]
        self.service_to_runtime: Any = [Watched(port, self) for port in self.service_to_runtime]
        # the base class would now wait for these without a time-out, and print what went wrong
        for first_word in self.exception_q:
            self._await_word(first_word)
            self.expect_within(self._timeout_s)  # each is a sign of life
        self.exception_q = []

    def _await_word(self, words: Any) -> None:
        while True:
            try:
                return words.get(timeout=POLL_S)
            except Empty:
                self.check()

    def _get_resp_for_run(self) -> None:
        for port in self.service_to_runtime:
            answer = port.recv()
            if not enum_equal(answer, MGMT_RESPONSE.DONE):
                # if an actor failed, its traceback is about to arrive by another way
                until = time.monotonic() + GRACE_S / 2
                while time.monotonic() < until:
                    self.check()
                    time.sleep(POLL_S / 10)
                raise LavaError(f"Lava ended the run early, with response {int(answer[0])}")
        self._is_running = False


class Watched:
    """A Lava port of the host, whose `send` and `recv` raise instead of waiting in vain."""

    def __init__(self, port: Any, runtime: WatchedRuntime) -> None:
        self._port, self._runtime = port, runtime

    def await_one(self, seconds: float) -> bool:
        """Whether a message comes within `seconds`."""
        try:
            self._port._queue.get(timeout=seconds, peek=True)
        except Empty:
            return False
        return True

    def recv(self) -> Any:
        """The next message. Raises `LavaError`."""
        while True:
            try:
                self._port._queue.get(timeout=POLL_S, peek=True)
            except Empty:
                self._runtime.check()
            else:
                return self._port.recv()

    def send(self, data: Any) -> None:
        """Send `data` when there is room. Raises `LavaError`."""
        while not self._port._semaphore.acquire(timeout=POLL_S):
            self._runtime.check()
        self._port._semaphore.release()
        self._port.send(data)

    def probe(self) -> bool:
        """Whether `recv` or `send` would not wait."""
        return self._port.probe()
