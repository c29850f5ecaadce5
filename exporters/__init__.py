"""Exporters: a trained network in a format that another tool reads. See `base` for how to add one."""

from lavaghost.exporters.base import (
    ELEMENTS,
    Carried,
    Expected,
    Exporter,
    ExportReport,
    NoOptions,
    Outputs,
    available,
    export,
    find,
)

__all__ = [
    "ELEMENTS",
    "Carried",
    "Expected",
    "ExportReport",
    "Exporter",
    "NoOptions",
    "Outputs",
    "available",
    "export",
    "find",
]
