"""Every error that LavaGhost raises on purpose.

    LavaGhostError            exit code of a command
    +-- SpecError        2    a value in a configuration or an argument cannot work
    +-- DataError        2    a data set's file is missing, truncated or mislabelled
    +-- ModelFileError   2    a saved network or checkpoint cannot be trusted
    +-- ExportError      2    an exporter or a runner cannot take this network or file
    +-- OutputError      2    a result cannot be written where it was asked for
    +-- DivergedError    1    training left the finite numbers
    +-- LavaError        1    a Lava process died, or did not answer in time
    +-- MissingError     3    something needed is not installed

A message names the object, the value, the limit and the remedy, in one line. Several faults of one
input are reported together (`join_faults`). What is allowed, yet most likely not meant, is a `LavaGhostWarning`.
"""

import warnings
from collections.abc import Iterable


class LavaGhostError(Exception):
    """Base of the tree; `exit_code` is what a command ends with."""

    exit_code = 2


class SpecError(LavaGhostError, ValueError):
    """A value in a configuration or an argument cannot work."""


class DataError(LavaGhostError, ValueError):
    """A data set's file is missing, truncated or mislabelled."""


class ModelFileError(LavaGhostError, ValueError):
    """A saved network or checkpoint is missing, damaged or of another version."""


class ExportError(LavaGhostError, ValueError):
    """An exporter or a runner cannot take this network or file."""


class OutputError(LavaGhostError, OSError):
    """A result cannot be written where it was asked for."""


class DivergedError(LavaGhostError, ArithmeticError):
    """Training left the finite numbers; the text says in which layer and what to lower."""

    exit_code = 1


class LavaError(LavaGhostError, RuntimeError):
    """A Lava process died, or did not answer in time; the text carries its traceback."""

    exit_code = 1


class MissingError(LavaGhostError, ImportError):
    """Something needed is not installed; the text says what and how to get it."""

    exit_code = 3


def join_faults(faults: Iterable[str]) -> str:
    """All faults of one input as one line: `first; second; third`."""
    return "; ".join(" ".join(fault.split()) for fault in faults)


class LavaGhostWarning(UserWarning):
    """Something that is allowed and most likely not meant; the text names object, value, and what to do."""


def warn(text: str) -> None:
    """Say `text`, one line, as a `LavaGhostWarning`; the command line shows it, and lists it with --json."""
    warnings.warn(" ".join(text.split()), LavaGhostWarning, stacklevel=2)
