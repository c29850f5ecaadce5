"""What a figure was measured on: processor, threads, versions, and how busy the machine was."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("lavaghost", "numpy", "scipy", "torch")
POOL_FIELDS = ("prefix", "internal_api", "version", "architecture", "threading_layer", "num_threads")


def available_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(threads: int) -> dict[str, Any]:
    """The machine and its software; names no path and no host."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "thread_pools": _pools(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def headline(machine: dict[str, Any]) -> str:
    """The description in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads on both sides; "
        f"Python {machine['python']}, {versions}; load average {machine['load_average']} at the start"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _pools() -> list[dict[str, Any]]:
    """The BLAS and OpenMP pools in this process, each with its own threads."""
    try:
        from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingImports]
    except ImportError:
        return []
    return [{key: pool[key] for key in POOL_FIELDS if key in pool} for pool in threadpool_info()]
