"""Channels between Lava processes that need no threads.

Lava's own channel has a thread at each end, which does nothing but pass a semaphore on to a queue: a message
costs four switches between threads. Here the semaphores themselves are waited for. Messages, their order and
what they contain are the same; a step of two processes takes a third of the time (docs/results.md).

The host keeps Lava's channels: its waiting must be watched (`runtime`).
"""

import time
from collections.abc import Callable
from multiprocessing import Semaphore
from typing import Any

import numpy as np
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort, Proto, PyPyChannel

LONGEST_NAP_S = 1e-3


class DirectSendPort(CspSendPort):
    """Sends when a place is free; `ack` counts the free places."""

    _req: Any
    _ack: Any

    def start(self) -> None:
        """Map the shared memory; no thread."""
        self._array = _views(self)

    def probe(self) -> bool:
        """Whether `send` would not wait."""
        free = self._ack.acquire(False)
        if free:
            self._ack.release()
        return free

    def send(self, data: Any) -> None:
        """Send `data`, once there is room. Raises `AssertionError` for another shape, as Lava's port does."""
        if data.shape != self._shape:
            raise AssertionError(f"data.shape={data.shape} self._shape={self._shape} Mismatch")
        self._ack.acquire()
        self._array[self._idx][...] = data
        self._idx = (self._idx + 1) % self._size
        self._req.release()

    def join(self) -> None:
        """Nothing waits here."""


class DirectRecvPort(CspRecvPort):
    """Receives when something has come; `req` counts what has."""

    _req: Any
    _ack: Any
    _waiting = False
    """Whether a message has been taken off the count, but not been read."""

    def start(self) -> None:
        """Map the shared memory; no thread."""
        self._array = _views(self)

    def probe(self) -> bool:
        """Whether `recv` would not wait."""
        self._waiting = self._waiting or self._req.acquire(False)
        return self._waiting

    def await_one(self) -> None:
        """Wait until `recv` would not wait."""
        if not self._waiting:
            self._req.acquire()
            self._waiting = True

    def peek(self) -> Any:
        """The next message, which stays."""
        self.await_one()
        return self._array[self._idx].copy()

    def recv(self) -> Any:
        """The next message, once it is there."""
        self.await_one()
        self._waiting = False
        result = self._array[self._idx].copy()
        self._idx = (self._idx + 1) % self._size
        self._ack.release()
        return result

    def join(self) -> None:
        """Nothing waits here."""


class DirectChannel(PyPyChannel):
    """A channel between two processes of Lava; towards the host it is Lava's own."""

    def __init__(
        self, infrastructure: Any, src_name: str, dst_name: str, shape: Any, dtype: Any, size: int, *dogs: Any
    ) -> None:
        if "runtime" in src_name:
            super().__init__(infrastructure, src_name, dst_name, shape, dtype, size, *dogs)
            return
        nbytes = int(self.nbytes(shape, dtype))
        memory = infrastructure.smm.create_shared_memory(nbytes * size)
        come, free = Semaphore(0), Semaphore(size)
        proto = Proto(shape=shape, dtype=dtype, nbytes=nbytes)
        self._src_port = DirectSendPort(src_name, memory, proto, size, come, free, *dogs[:2])
        self._dst_port = DirectRecvPort(dst_name, memory, proto, size, come, free, *dogs[2:])


class DirectSelector:
    """Waits for one of several ports, as Lava's `CspSelector` does."""

    def select(self, *channel_actions: tuple[Any, Callable[[], Any]]) -> Any:
        """What the action of the first port that has something gives."""
        if len(channel_actions) == 1:
            port, action = channel_actions[0]
            port.await_one()
            return action()
        nap = LONGEST_NAP_S / 64
        while True:
            for port, action in channel_actions:
                if port.probe():
                    return action()
            time.sleep(nap)
            nap = min(2 * nap, LONGEST_NAP_S)


def _views(port: Any) -> list[Any]:
    dtype = np.int32 if port._dtype == 4 else port._dtype  # Lava's code for its C type INT32
    places = range(0, port._size * port._nbytes, port._nbytes)
    return [np.ndarray(port._shape, dtype, port._shm.buf[at : at + port._nbytes]) for at in places]
