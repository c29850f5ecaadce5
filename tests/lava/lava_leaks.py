"""What a Lava session could leave behind."""

import sys
import threading
import time
from pathlib import Path

import psutil

HANGING_S = 600.0
"""What is waited for longer than this will never come, however busy the machine."""


def lava_children() -> list[psutil.Process]:
    """Child processes; not Python's resource tracker, of which there is one until the program ends."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def port_threads() -> list[str]:
    """Threads of Lava's ports, when they have had time to end."""
    until = time.monotonic() + HANGING_S
    while True:
        names = [thread.name for thread in threading.enumerate() if thread.name.endswith(".send")]
        if not names or time.monotonic() > until:
            return names
        time.sleep(0.01)


def still_there(segments: list[str]) -> list[str]:
    """Those of our segments of shared memory that exist."""
    return [name for name in segments if (Path("/dev/shm") / name).exists()]


def open_files() -> int:
    """Number of open file descriptors."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
