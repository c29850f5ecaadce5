"""Whether Lava can be used here; asked before anything of Lava is imported."""

import multiprocessing
import sys
from importlib.util import find_spec

from lavaghost.base.errors import LavaError, MissingError

INSTEAD = "use engine 'stepped', which computes the same numbers, or 'equilibrium'"


def require_lava() -> None:
    """Make `import lava` possible, or raise.

    Raises `MissingError` where Lava is not installed or cannot run, and `LavaError` where this program has
    chosen a way of starting processes that Lava cannot use.
    """
    if sys.version_info >= (3, 11):
        found = ".".join(str(part) for part in sys.version_info[:2])
        raise MissingError(
            f"engine 'lava' needs Python 3.10 and the package lava-nc, and this is Python {found}; {INSTEAD}"
        )
    if find_spec("lava") is None or find_spec("lava.magma") is None:
        raise MissingError(
            "engine 'lava' needs the package lava-nc, which is not installed; with this Python 3.10: "
            f"pip install lava-nc; or {INSTEAD}"
        )
    if "lava.magma.runtime.message_infrastructure.multiprocessing" not in sys.modules:
        _allow_fork()


def _allow_fork() -> None:
    """Lava sets the start method when it is imported, and fails if any use of a queue has set it before."""
    method = multiprocessing.get_start_method(allow_none=True)
    if method not in (None, "fork"):
        raise LavaError(
            f"Lava starts its processes by 'fork', and this program has chosen {method!r} "
            f"(multiprocessing.set_start_method); run Lava in a program of its own, or {INSTEAD}"
        )
    multiprocessing.set_start_method(None, force=True)
