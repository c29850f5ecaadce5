"""Keeps what Lava says about itself away from the user's terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """No warnings, and no new log handlers, from what is done inside; yields the warnings.

    Every Lava process adds a handler to the root logger and every compiler one to its own, so that after
    ten processes each error of the program would be printed ten times.
    """
    loggers = [logging.getLogger(), logging.getLogger("lava.magma.compiler.compiler")]
    before = [logger.handlers[:] for logger in loggers]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        for logger, handlers in zip(loggers, before, strict=True):
            for handler in logger.handlers[:]:
                if handler not in handlers:
                    logger.removeHandler(handler)
