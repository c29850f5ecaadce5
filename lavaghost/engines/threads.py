"""How many threads a matrix product is worth: a function of its size alone, so that a run has the same bits anywhere.

Threads of a BLAS spin while they wait for each other. Where something else has a core, a small product takes a time
slice of the operating system instead of microseconds. Measured with OpenBLAS and float32 on two cores at a load average
of 10, microseconds of a product with one and with two threads, and (the fastest twentieth) nearly undisturbed:

    products      one, two threads (mean)    undisturbed
    0.4 million        59       55              18       18
    1.6 million       186    43000              62        -
    12 million       1460    63600             452        -
    20 million       3270    13900             890      488
    39 million       4460    31400            1120      760
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import threadpoolctl

from lavaghost.net.graph import Graph
from lavaghost.net.network import Network

LARGE = 2**24
"""Multiplications from which a matrix product is left all threads: undisturbed, it gains 1.5 times and more there."""
CHOSEN = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
"""Environment variables by which a user chooses the number; then it is left alone."""

_lock = threading.Lock()
_users = 0
_limit: Any = None


def is_small(network: Network | Graph, batch: int) -> bool:
    """Whether no matrix product of `batch` samples is worth a second thread."""
    return batch * max(a * b for a, b in pairwise(network.layers)) < LARGE


@contextmanager
def suited_threads(network: Network | Graph, batch: int) -> Iterator[None]:
    """While the block runs, products have one thread if all are small, else as many as there are.

    The limit is the process's, so blocks may be nested and run beside each other: it goes with the last one that is
    small. It costs about a millisecond. A BLAS that cannot be told is left as it is.
    """
    global _users, _limit  # noqa: PLW0603 - the number of threads is global
    if not is_small(network, batch) or any(os.environ.get(name) for name in CHOSEN):
        yield
        return
    with _lock:
        _let_this_thread_set()
        limit = _controller().limit(limits=1, user_api="blas")
        _users, _limit = _users + 1, limit if _users == 0 else _limit
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _let_this_thread_set()
                _limit.restore_original_limits()


@cache
def _controller() -> Any:
    return threadpoolctl.ThreadpoolController()


def _let_this_thread_set() -> None:
    """Recent versions of threadpoolctl let only one thread set limits of OpenBLAS, in silence; `_lock` is our way."""
    controller = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(controller, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
