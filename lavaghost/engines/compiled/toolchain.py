"""Compilation by Numba: kept on disk where that is possible, and said before it begins."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from numba import njit
from numba.core import event

NO_WRAPPERS: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
LOG = logging.getLogger("lavaghost")


def compiled(function: Callable[..., Any]) -> Any:
    """`function` as machine code, without the interpreter's lock.

    The code is kept beside the source, in the user's cache, or in NUMBA_CACHE_DIR; where none of these can be
    written, each process compiles anew.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba found no folder
        return njit(nogil=True)(function)


def inner(function: Callable[..., Any]) -> Any:
    """`function` as machine code that only compiled code calls; what Python would call it by takes longest to make."""
    return njit(**NO_WRAPPERS)(function)


def digest_of(*sources: str) -> int:
    """A number that changes with these source files.

    Numba looks at the file of a function alone to see whether its code on disk is of today; a function that calls
    others from other files has this number as a free variable, which is part of the key.
    """
    return crc32(b"".join(Path(source).read_bytes() for source in sources))


@contextmanager
def said(what: str) -> Iterator[None]:
    """While the block runs, the first compilation is logged, as information, before it begins."""
    listener = _Listener(what)
    with event.install_listener("numba:compile", listener):
        yield


class _Listener(event.Listener):
    def __init__(self, what: str) -> None:
        self._what: str | None = what

    def on_start(self, event: Any) -> None:
        if self._what is not None:
            LOG.info(self._what)
            self._what = None

    def on_end(self, event: Any) -> None:
        pass
