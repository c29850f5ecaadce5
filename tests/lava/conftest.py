"""Lava's tests run where Lava runs; each of them must leave no process and no shared memory."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_LAVA = sys.version_info < (3, 11) and find_spec("lava") is not None
collect_ignore_glob = [] if HAS_LAVA else ["test_*.py"]

# lava-nc installs a package `tests`, so what Lava itself must import cannot be in one of that name
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch):
    """Fails if what the test did leaves a child process, a thread or a segment of shared memory."""
    from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager
    from lava_leaks import lava_children, port_threads, still_there

    segments: list[str] = []
    create = SharedMemoryManager.create_shared_memory

    def noted(self, size):
        segments.append((segment := create(self, size)).name)
        return segment

    monkeypatch.setattr(SharedMemoryManager, "create_shared_memory", noted)
    yield segments
    assert lava_children() == []
    assert still_there(segments) == []
    assert port_threads() == []
