"""Hostile manifests and weights."""

import json
import random
import struct

from lavaghost.base.files import sha256
from lavaghost.model.manifest import MAX_BYTES, SEAL
from tests.fuzz.forge import FLOATS, INTEGERS, PATHS
from tests.fuzz.mutate import damaged, integer_network, trained_network

SAVED = tuple(
    model._files() for model in (trained_network(mechanism="learned", feedback="random"), integer_network())
)
"""Manifest and weights of a network in floating point, and of one in integers."""
NUMBERS = (
    "1e999",
    "-1",
    "0",
    "1e-320",
    ".nan",
    ".inf",
    "9" * 400,
    "0x" + "f" * 300,
    "1_0",
    "true",
    "null",
    "''",
    "~",
)


def manifest_input(rng: random.Random) -> tuple[bytes, bytes]:
    """A damaged or forged model.yaml, beside good weights."""
    manifest, weights = rng.choice(SAVED)
    if rng.random() < 0.005:
        unit, version = rng.choice(YAML_UNITS), rng.choice([b"1.0", b"2.0"])
        head = b"format: lavaghost.network\nversion: '%s'\nx: " % version
        return head + unit * (MAX_BYTES // len(unit) - 9), weights
    text = manifest[: manifest.index(SEAL)] if rng.random() < 0.9 else manifest
    return forged_lines(text, rng, manifest), weights


def forged_lines(text: bytes, rng: random.Random, other: bytes = SAVED[0][0]) -> bytes:
    """A YAML text with values, lines and bytes changed, some of them those of `other`."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(b":")
        value = rng.choice([*NUMBERS, *PATHS, *YAML_BOMBS]).encode()
        kind = rng.randrange(5)
        if kind == 0 and colon:
            lines[at] = key + b": " + value + b"\n"
        elif kind == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 2:
            lines[at] = b""
        elif kind == 3:
            lines.insert(0, b"extra: " + value + b"\n")
        else:
            lines[at] = lines[at].replace(b"[", b"[" + value + b", ", 1)
    data = b"".join(lines)
    return damaged(data or b"x", rng, other) if rng.random() < 0.5 else data


YAML_UNITS = (
    b"[",
    b"{a: ",
    b"[1, ",
    b"1,",
    b"\na: 1",
    b"- ",
    b"? ",
    b" ",
    b"\n",
    b"[a: 1,",
    b"{a, ",
    b"&a ",
    b"'",
    b"!x ",
)
"""What a file of the largest size repeats."""
CANARY = "lavaghost-fuzz-canary"
"""A file that nothing may make: what a tag that runs code would leave."""
YAML_BOMBS = (
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/object/new:os.system ['touch {CANARY}']",
    "!!python/name:os.system",
    "&a [*a, *a]",
    "{a: &a [x, x, x], b: &b [*a, *a, *a], c: [*b, *b, *b, *b]}",
    "{a: 1, a: 2}",
    "[" * 5000,
    "{a: " * 3000,
    "- " * 3000,
    '"' + "x" * 5000 + '"',
    "!!binary eA==",
    "!!timestamp 2001-01-01",
    "2001-01-01",
    "!!set {a, b}",
    "1:30:00",
    "? [a, b]\n: c",
    "---\na: 1",
    "{<<: {a: 1}}",
)


def weights_input(rng: random.Random) -> tuple[bytes, bytes]:
    """Damaged or forged weights, most of them under a manifest that agrees with their hash and size."""
    manifest, weights = rng.choice(SAVED)
    size = int.from_bytes(weights[:8], "little")
    header, body = json.loads(weights[8 : 8 + size]), weights[8 + size :]
    for _ in range(rng.choice([0, 1, 1, 2])):
        entry = header[rng.choice(list(header))]
        if not isinstance(entry, dict):
            continue
        kind = rng.randrange(6)
        if kind == 0:
            entry["data_offsets"] = [rng.choice(INTEGERS), rng.choice([*INTEGERS, len(body)])]
        elif kind == 1:
            entry["shape"] = [rng.choice(INTEGERS) for _ in range(rng.choice([0, 1, 2, 40]))]
        elif kind == 2:
            entry["dtype"] = rng.choice(
                ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "U8", "BOOL", "X", 3, None]
            )
        elif kind == 3:
            header[rng.choice(["../x", "x" * 5000, "weights.1", "method.x", ""])] = dict(entry)
        elif kind == 4:
            header["__metadata__"] = rng.choice([{"a": 1}, {"a": "b"}, [], "x" * 100])
        else:
            body = struct.pack("<f", rng.choice(FLOATS)) * (len(body) // 4)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = rng.choice([b"[" * 20_000, b"{" * 20_000, b'{"a":' * 5000, text[:-1], b"", text + b" " * 500])
    length = len(text) if rng.random() < 0.9 else rng.choice([0, 2**31, 2**63, 2**64 - 1, len(text) + 1])
    data = length.to_bytes(8, "little") + text + body
    data = damaged(data, rng, weights) if rng.random() < 0.4 else data
    if rng.random() < 0.1:
        return manifest, data
    stated = manifest[: manifest.index(SEAL)].replace(sha256(weights).encode(), sha256(data).encode())
    return stated.replace(b"bytes: %d" % len(weights), b"bytes: %d" % len(data)), data
