"""Descriptions laid over each other: a file over what a start decides, options over a file."""

from collections.abc import Mapping
from typing import Any

from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.modulated import Modulated


def merged(values: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`overrides` laid over `values`, section by section; another method brings its own settings.

    Where the method of `values` is modulated, settings that are none of modulation's own speak of the method that it
    wraps; where that of `overrides` is, it wraps what there is.
    """
    found = dict(values)
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            section, laid = found.get(key, {}), value
            if key == "method":
                section, laid = _methods(section, value)
            # a section that is not a mapping is left for the schema to refuse
            found[key] = merged(section, laid) if isinstance(section, dict) else section
        else:
            found[key] = value
    return found


def modulating(method: Any, modulation: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `method`, modulated; what a description may say of a method stays what it says."""
    return {"name": Modulated.name, "method": method, **modulation}


def _methods(section: Any, value: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """A method's section and what is laid over it, so that equal keys are of the same method."""
    if isinstance(section, str):
        section = {"name": section}
    if not isinstance(section, Mapping):
        return {}, value
    named, own = value.get("name"), section.get("name", Ghost.name)
    if named == Modulated.name and own != Modulated.name:
        return modulating(dict(section), {}), value
    if own == Modulated.name and named is None:
        inner = {key: part for key, part in value.items() if key not in Modulated.model_fields}
        rest = {key: part for key, part in value.items() if key not in inner}
        wrapped = rest.get("method", {})
        if inner and isinstance(wrapped, Mapping):
            rest["method"] = {**inner, **wrapped}
        return section, rest
    return ({} if named is not None and named != own else section), value
