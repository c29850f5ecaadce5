"""Find, read and check hardware configurations: those that are registered by name, a user's own by path.

Ours lie in `hw_configs/`. A package brings another one, `mine.yaml`, by the name of the folder in which it lies:

    [project.entry-points."lavaghost.chips"]
    mine = "my_package.my_folder"

`tests/conformance/test_hw_chips.py` checks every registered chip.
"""

from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from lavaghost.base import strict_yaml
from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.files import read_regular
from lavaghost.base.registry import Registry
from lavaghost.base.spec import Spec
from lavaghost.hardware.schema import Hardware

MAX_BYTES = 1 << 20
FOLDER = "lavaghost.hw_configs"
HELP = "lavaghost hardware --schema"

_FILES = [Path(entry.name) for entry in files(FOLDER).iterdir()]
OURS = tuple(sorted(path.stem for path in _FILES if path.suffix == ".yaml"))
CHIPS: Registry[ModuleType] = Registry(
    "lavaghost.chips", "hardware configuration", ModuleType, dict.fromkeys(OURS, import_module(FOLDER))
)
"""By the name of each, the package in whose folder its YAML file lies."""

REMEDIES = {
    "missing": "add it",
    "string_type": "write text, in quotes if it looks like a number",
    "int_type": "write a whole number without quotes",
    "bool_type": "write true, false or null without quotes",
    "model_type": f"write a mapping of keys; {HELP} shows them",
    "model_attributes_type": f"write a mapping of keys; {HELP} shows them",
    "dict_type": "write a mapping of keys to text",
    "tuple_type": "write a list",
    "literal_error": "use one of these",
    "greater_than_equal": "write a larger number",
    "less_than_equal": "write a smaller number",
    "string_pattern_mismatch": "use lower-case letters, digits and _, or version 1.0",
    "string_too_short": "write at least one character",
    "string_too_long": "shorten it",
    "too_long": "shorten the list",
}
"""What to do about a fault, by pydantic's name of it; faults found by our own validators carry their remedy."""


def load_chip(name: str | Path) -> Hardware:
    """The configuration with this name, or in the YAML file at this path.

    Raises `SpecError` with every fault by path, value and remedy.
    """
    path = Path(name)
    # a path is tried first, so that a file of the user's can never be mistaken for a registered one
    if path.suffix not in (".yaml", ".yml"):
        return _registered(str(name))
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise SpecError(
            f"cannot read hardware configuration {path}: {error.strerror or error}; name a .yaml file, "
            f"or one of {', '.join(CHIPS.names())}"
        ) from error
    return parse_chip(data, str(path))


def _registered(name: str) -> Hardware:
    if name not in CHIPS.names():
        raise SpecError(
            f"no hardware configuration {name!r:.80}; there are {', '.join(CHIPS.names())}, or name a .yaml file"
        )
    package = CHIPS.find(name)
    where = f"{name}.yaml of {package.__name__}"
    try:
        data = files(package).joinpath(f"{name}.yaml").read_bytes()
    except (OSError, TypeError) as error:  # TypeError: it is a module, and no folder
        raise SpecError(
            f"cannot read {where}: {getattr(error, 'strerror', None) or error}; register the package in which it lies"
        ) from error
    hardware = parse_chip(data, where if package.__name__ != FOLDER else f"{name}.yaml")
    if hardware.name != name:
        raise SpecError(f"{where}: name is {hardware.name!r}; write {name!r}, as which it is registered")
    return hardware


def parse_chip(data: bytes, where: str) -> Hardware:
    """The configuration in `data`; `where` names it in messages. Raises `SpecError`."""
    try:
        values = strict_yaml.read(data)
    except ValueError as error:
        raise SpecError(f"{where}: not readable as YAML ({error}); mend it; {HELP} shows the keys") from error
    if not isinstance(values, dict):
        raise SpecError(
            f"{where}: holds a {type(values).__name__}; write keys such as format and limits ({HELP})"
        )
    try:
        hardware = Hardware.model_validate(values)
    except ValidationError as error:
        raise SpecError(join_faults(_faults(error, where))) from None
    if faults := [
        f"{where}: {path}.source: {entry.source!r:.80} is not among the keys of sources "
        f"({', '.join(sorted(hardware.sources)) or 'none'}); add it there"
        for path, entry in hardware.sourced()
        if entry.source is not None and entry.source not in hardware.sources
    ]:
        raise SpecError(join_faults(faults))
    return hardware


def schema() -> dict[str, Any]:
    """The JSON Schema of a hardware configuration, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Hardware.model_json_schema()}


def _faults(error: ValidationError, where: str) -> list[str]:
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "file"
        shown = "" if isinstance(fault["input"], dict | Spec) else f", got {fault['input']!r:.80}"
        if fault["type"] == "extra_forbidden":
            known = ", ".join(_keys_at(fault["loc"][:-1]))
            lines.append(f"{where}: {path}: unknown key{shown}; known keys are {known}")
            continue
        text = fault["msg"].removeprefix("Value error, ")
        remedy = REMEDIES.get(fault["type"])
        end = f"; {remedy}" if remedy else ""
        lines.append(f"{where}: {path}: {text[:1].lower()}{text[1:]}{shown}{end}")
    return lines


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `path`, looked up in the schema that is published."""
    whole = Hardware.model_json_schema()
    part: dict[str, Any] = whole
    for step in path:
        part = _resolve(whole, part)
        part = part["items"] if isinstance(step, int) else part.get("properties", {}).get(step, {})
    return sorted(_resolve(whole, part).get("properties", {}))


def _resolve(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of a JSON Schema with its reference followed; of alternatives, the one that is not null."""
    options = [p for p in part.get("anyOf", []) if p.get("type") != "null"]
    part = options[0] if options else part
    name = part.get("$ref", "").rpartition("/")[2]
    return whole["$defs"][name] if name else part
