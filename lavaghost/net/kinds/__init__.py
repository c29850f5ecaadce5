"""Kinds of projections, one file each; found by name."""

from lavaghost.base.registry import Registry
from lavaghost.net.kinds import dense, one_to_one
from lavaghost.net.kinds.products import ByMatrix, Kind, Products, Shape

KINDS: Registry[Kind] = Registry(
    "lavaghost.kinds", "kind of projection", Kind, {kind.name: kind for kind in (dense.kind, one_to_one.kind)}
)
"""All that can be named; `KINDS.register(name, kind)` adds one in Python."""

__all__ = ["KINDS", "ByMatrix", "Kind", "Products", "Shape"]
