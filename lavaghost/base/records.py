"""Records: the measured figures of a run, in the types that JSON has, so that every file can hold them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_TEXT = 4096
"""Longest single text, in characters: longer ones take the YAML reader quadratic time."""
MAX_NESTING = 16


def plain(value: Any, where: str, faults: list[str], depth: int = 0) -> Any:
    """`value` in the types of JSON; numpy's scalars and arrays become numbers and lists.

    What JSON cannot hold (NaN, keys that are no text, other types) is added to `faults`, by its path.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if depth > MAX_NESTING:
        faults.append(f"{where} is nested deeper than {MAX_NESTING}")
        return None
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}.{i}", faults, depth + 1) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if isinstance(key, str):
                faults += text_faults(f"a key of {where}", key)
            else:
                faults.append(f"{where} has the key {key!r:.40}; keys are texts")
        return {str(k): plain(v, f"{where}.{k!s:.40}", faults, depth + 1) for k, v in value.items()}
    return _plain_scalar(value, where, faults)


def _plain_scalar(value: Any, where: str, faults: list[str]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        faults += text_faults(where, value)
        return str(value)
    if isinstance(value, int):
        if abs(value) >= 1 << 64:
            faults.append(f"{where} is beyond 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            faults.append(f"{where} is {value}; use None for what has no number")
        return float(value)
    faults.append(f"{where} is a {type(value).__name__}; JSON has no such type")
    return None


def text_faults(where: str, text: str) -> list[str]:
    """Why no file could hold `text`, if so."""
    if not isinstance(text, str):
        return [f"{where} is a {type(text).__name__}; give a str"]
    if len(text) > MAX_TEXT:
        return [f"{where} has {len(text)} characters, more than {MAX_TEXT}"]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [f"{where} has half of a surrogate pair, which no file can hold"]
    return []
