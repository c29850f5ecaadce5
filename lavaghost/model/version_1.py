"""Manifests of version 1: every network had ghosts then, and integers were real numbers with a record of their format.

`converted` rewrites the values of such a manifest in the words of version 2; nothing else knows the old ones.
"""

from collections.abc import Mapping
from typing import Any

GHOSTS = ("mechanism", "feedback", "lam", "beta", "schedule")


def converted(values: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of version 1 as one of version 2. What cannot be read is left for the schema to refuse."""
    network, learning, record = (_mapping(values.get(key)) for key in ("network", "learning", "record"))
    found = {**values, "populations": [], "projections": []}
    found["network"] = {key: value for key, value in network.items() if key not in GHOSTS}
    found["method"] = _method(network, learning)
    integer, form = record.pop("integer_learning", None), record.pop("integer", None)
    if isinstance(integer, Mapping):
        engine = learning.get("engine", "stepped")
        found["learning"] = {"arithmetic": "loihi", "engine": engine, **integer}
        found["learning"].pop("rule", None)
    else:
        ours = ("method", "rule", "free_sweeps", "ghosts")
        found["learning"] = {key: value for key, value in learning.items() if key not in ours}
    found["record"] = record
    found["numbers"] = {"arithmetic": "loihi", **form} if isinstance(form, Mapping) else {"arithmetic": "float"}
    return found


def _method(network: Mapping[str, Any], learning: Mapping[str, Any]) -> dict[str, Any]:
    name = learning.get("method", "ghost")
    if name != "ghost":
        return {"name": name}
    settings = {key: network[key] for key in GHOSTS if key in network}
    settings |= {key: learning[key] for key in ("rule", "free_sweeps") if key in learning}
    if "ghosts" in learning:
        settings["plasticity"] = learning["ghosts"]
    return {"name": name, **settings}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
