"""Exporters: a trained network in a format that another tool reads. See `base` for how to add one."""

from lavaghost.exporters.base import (
    ELEMENTS,
    Carried,
    Exporter,
    ExportReport,
    available,
    export,
    find,
)

__all__ = ["ELEMENTS", "Carried", "ExportReport", "Exporter", "available", "export", "find"]
