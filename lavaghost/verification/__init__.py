"""Runs an exported file on a runtime that is not ours, and compares it with our own reference for that file."""

from lavaghost.exporters.floats import raw_samples, rounding
from lavaghost.verification.agreement import Agreement, compare, verify
from lavaghost.verification.matrix import MatrixEntry, run_all
from lavaghost.verification.runtimes import RUNTIMES, Runtime

__all__ = [
    "RUNTIMES",
    "Agreement",
    "MatrixEntry",
    "Runtime",
    "compare",
    "raw_samples",
    "rounding",
    "run_all",
    "verify",
]
