"""The operating system's processes that run one Lava network: started, watched and ended.

Lava's own class waits for them without a time-out, lets them write on the user's terminal and loses an
exception that cannot be pickled. All of that is different here and nothing else.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lava.magma.compiler.channels.interfaces import ChannelType
from lava.magma.runtime.message_infrastructure.multiprocessing import (
    MultiProcessing,
    SystemProcess,
)
from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager

from lavaghost.base.errors import LavaError
from lavaghost.lava.direct import DirectChannel, DirectSelector

GRACE_S = 2.0
"""How long actors that were told to stop may take before they are killed."""
OUTPUT_SHOWN = 2000
"""Bytes shown of what a dead actor wrote."""
PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


class Actors(MultiProcessing):
    """One process for each process model and runtime service, and the manager of their shared memory."""

    def __init__(self) -> None:
        super().__init__()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._smm: Any = None

    def start(self) -> None:
        """Start the manager of the shared memory."""
        shared_memory: Any = SharedMemoryManager()
        shared_memory._manager.start(initializer=_die_with_parent)
        self._smm = shared_memory

    def build_actor(self, target_fn: Callable[..., Any], builder: Any, exception_q: Any = None) -> Any:
        """Start what `builder` builds. `target_fn`, Lava's own, gives way to `_act`."""
        model = getattr(builder, "proc_model", None) or builder.rs_class
        actor = SystemProcess(
            target=_act,
            args=(self._output.fileno(), builder, exception_q),
            name=model.__name__,
            daemon=True,  # ends with us even where nobody could clean up
        )
        self._actors.append(actor)  # before it starts, so that an interrupt cannot lose it
        actor.start()
        return actor

    def channel_class(self, channel_type: Any) -> Any:
        """The channels that Python processes talk through."""
        return DirectChannel if channel_type == ChannelType.PyPy else super().channel_class(channel_type)

    def fault(self) -> str | None:
        """What went wrong in an actor, with its traceback, or None."""
        # asked before the exceptions, because an actor sends its exception before it ends
        ended = [(actor.name, actor.exitcode) for actor in self._started()]
        failed = [(actor.name, str(actor.exception[0])) for actor in self._actors if actor.exception]
        if failed:
            name, text = failed[0]
            said = "".join(text for _, text in failed).strip()
            return f"Lava process {name} failed: {text.strip().splitlines()[-1]}\n{said}"
        for name, code in ended:
            if code:  # 0 is an actor that was told to stop, because another one failed
                how = f"with exit code {code}" if code > 0 else f"by {_signal_name(-code)}"
                return f"Lava process {name} was ended {how}{self._last_words()}"
        return None

    def kill(self) -> None:
        """End the actors at once."""
        for actor in self._started():
            if actor.is_alive():
                actor.kill()

    def stop(self) -> None:
        """Wait a moment for the actors, kill those that stay, free the shared memory. Twice is harmless."""
        deadline = time.monotonic() + GRACE_S
        for actor in self._started():
            # the join of SystemProcess has no time-out
            multiprocessing.Process.join(actor, max(0.0, deadline - time.monotonic()))
        self.kill()
        for actor in self._started():
            multiprocessing.Process.join(actor)
            actor._is_done = True
            multiprocessing.Process.close(actor)
            actor._pconn.close()
            actor._cconn.close()
        self._actors.clear()
        self._output.close()
        if self._smm is not None:
            segments = list(self._smm._shared_memory_handles)
            self._smm.shutdown()
            for segment in segments:
                with suppress(FileNotFoundError):  # still there if the manager was killed
                    segment.unlink()

    def _started(self) -> list[Any]:
        return [actor for actor in self._actors if not actor._is_done and actor.pid is not None]

    def _last_words(self) -> str:
        file = self._output.fileno()  # not seek: the actors share its position
        start = max(0, os.fstat(file).st_size - OUTPUT_SHOWN)
        text = os.pread(file, OUTPUT_SHOWN, start).decode(errors="replace").strip()
        return f"; it wrote:\n{text}" if text else "; it wrote nothing"


def _act(output: int, builder: Any, ready: Any) -> None:
    """The main function of an actor: build the model, say so, run it until it is told to stop."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which ends its actors
    for standard in (1, 2):
        os.dup2(output, standard)
    # these need not be file descriptors 1 and 2, in a notebook for one
    sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1, closefd=False)
    try:
        model = builder.build()
        if hasattr(model, "_selector"):
            model._selector = DirectSelector()
        ready.put(None)
        model.start()
    except (Exception, SystemExit) as error:
        # as text, because not every exception survives pickling
        raise LavaError(traceback.format_exc()) from error


def _die_with_parent() -> None:
    """Nothing is left when the host is killed and can clean up no more (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
