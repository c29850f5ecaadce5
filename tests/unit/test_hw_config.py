"""Hardware configurations: those that come along are complete, and a faulty one is refused by path, value, remedy."""

import json
import math
from pathlib import Path

import pytest
import yaml

from lavaghost.base.errors import SpecError
from lavaghost.hardware.catalogue import CHIPS, load_chip, parse_chip, schema

NAMES = {
    "loihi1",
    "loihi2_oheo_gulch",
    "loihi2_kapoho_point",
    "loihi2_hala_point",
    "truenorth",
    "spinnaker2",
    "speck2f",
    "xylo_a2",
    "lava_cpu",
}


def test_the_promised_configurations_are_there() -> None:
    assert set(CHIPS.names()) >= NAMES


def test_unlimited_and_unknown_differ() -> None:
    cpu, spinnaker = load_chip("lava_cpu"), load_chip("spinnaker2")
    assert cpu.limits.neurons_per_core.limit == math.inf
    assert spinnaker.limits.neurons_per_core.limit is None
    # a figure that contradicts others is shown and not enforced
    loihi2 = load_chip("loihi2_oheo_gulch").limits.synapse_bits_per_core
    assert (loihi2.value, loihi2.limit, loihi2.confidence) == (1_572_864, None, "unverified")


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    values = yaml.safe_load(GOOD)
    values["limits"]["cores"]["value"] = 7
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values))
    assert load_chip(file).limits.cores.value == 7
    assert load_chip(str(file)).name == "mine"


def test_the_json_schema_names_what_the_files_hold() -> None:
    published = schema()
    json.dumps(published)
    assert published["additionalProperties"] is False
    assert {"limits", "memory", "energy", "sources"} <= set(published["properties"])
    limits = published["$defs"]["Limits"]["properties"]
    for name in NAMES:
        assert set(load_chip(name).limits.model_fields_set) <= set(limits)


GOOD = """
format: lavaghost.hardware
version: "1.0"
name: mine
title: A chip of my own
sources: {me: measured by me}
limits:
  cores: {value: 4, unit: cores, source: me, confidence: unverified}
  weight_bits: {values: [8], unit: bits, source: me, confidence: unverified}
memory:
  formula: axon_blocks
  block_synapses: {value: 64, unit: synapses, source: me, confidence: unverified}
  header_bits: {value: 10, unit: bits, source: me, confidence: unverified}
  word_bits: {value: 64, unit: bits, source: me, confidence: unverified}
  delay_bits: {value: 0, unit: bits, source: me, confidence: unverified}
  tag_bits: {value: 0, unit: bits, source: me, confidence: unverified}
  index_bits: {value: 0, unit: bits, source: me, confidence: unverified}
energy:
  spike: {value: 1.0e-12, unit: J, source: me, confidence: unverified}
latency:
  barrier_tiles: {values: [1], unit: tiles, source: me, confidence: unverified}
  barrier: [{value: 1.0e-6, unit: s, source: me, confidence: unverified}]
"""

# what is replaced in the good file, by what, and what the one line must say: path, value, remedy
BAD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "number as text": (
        "cores: {value: 4",
        "cores: {value: '4'",
        ("limits.cores.value", "'4'", "without quotes"),
    ),
    "exponent without a point": ("1.0e-12", "1e-12", ("energy.spike.value", "'1e-12'", "with a point")),
    "boolean for a number": ("value: 4", "value: true", ("limits.cores.value", "True", "write a number")),
    "negative limit": ("value: 4", "value: -4", ("limits.cores.value", "-4", "from 1 to")),
    "not a number": ("value: 4", "value: .nan", ("limits.cores.value", "nan", "whole number")),
    "infinite": ("value: 4", "value: .inf", ("limits.cores.value", "inf", "or unlimited")),
    "list for a number": ("value: 4", "value: [4]", ("limits.cores.value", "[4]", "write a number")),
    "no source": (
        ", source: me, confidence: unverified}\n  weight",
        "}\n  weight",
        ("limits.cores", "add both"),
    ),
    "source not listed": (
        "unit: J, source: me",
        "unit: J, source: you",
        ("energy.spike", "'you'", "add it there"),
    ),
    "unknown confidence": (
        "cores, source: me, confidence: unverified",
        "cores, source: me, confidence: sure",
        ("limits.cores.confidence", "'sure'", "'documented', 'secondary' or 'unverified'"),
    ),
    "confidence of nothing": ("value: 4", "value: null", ("limits.cores", "no confidence", "remove it")),
    "wrong unit": ("unit: cores", "unit: tiles", ("limits.cores: unit is 'tiles'", "write 'cores'")),
    "no unit": ("value: 4, unit: cores", "value: 4", ("limits.cores.unit", "add it")),
    "unit is a number": ("unit: cores", "unit: 3", ("limits.cores.unit", "3", "write text")),
    "unknown limit": ("  cores:", "  cors:", ("limits.cors", "unknown key", "known keys are", "cores")),
    "unknown section": ("energy:", "enrgy:", ("enrgy", "unknown key", "energy")),
    "unknown key of a figure": ("value: 4,", "value: 4, max: 5,", ("limits.cores.max", "unknown key", "value")),
    "section is a list": (
        "energy:\n  spike: {value: 1.0e-12, unit: J, source: me, confidence: unverified}",
        "energy: [1]",
        ("energy", "[1]", "mapping"),
    ),
    "figure is a number": (
        "cores: {value: 4, unit: cores, source: me, confidence: unverified}",
        "cores: 4",
        ("limits.cores", "4", "mapping"),
    ),
    "fraction of a bit": (
        "values: [8]",
        "values: [8.5]",
        ("limits.weight_bits.values.0", "8.5", "whole number"),
    ),
    "negative choice": ("values: [8]", "values: [-8]", ("limits.weight_bits.values.0", "-8", "larger")),
    "choices are no list": ("values: [8]", "values: 8", ("limits.weight_bits.values", "8", "write a list")),
    "unknown formula": (
        "formula: axon_blocks",
        "formula: magic",
        ("memory.formula", "'magic'", "'axon_blocks', 'per_synapse' or 'power_of_two'"),
    ),
    "formula without its numbers": (
        "  tag_bits: {value: 0, unit: bits, source: me, confidence: unverified}\n",
        "",
        ("memory", "tag_bits", "use per_synapse"),
    ),
    "blocks of nothing": (
        "block_synapses: {value: 64",
        "block_synapses: {value: 0",
        ("memory.block_synapses.value", "0", "from 1 to"),
    ),
    "barrier of other length": (
        "barrier_tiles: {values: [1]",
        "barrier_tiles: {values: [1, 2]",
        ("latency", "[1, 2]", "one for each"),
    ),
    "another format": (
        "format: lavaghost.hardware",
        "format: other",
        ("format", "'other'", "use one of these"),
    ),
    "another version": ('version: "1.0"', 'version: "2.0"', ("version", "'2.0'", "1.0")),
    "version is a number": ('version: "1.0"', "version: 1.0", ("version", "1.0", "in quotes")),
    "no name": ("name: mine\n", "", ("name", "add it")),
    "name with spaces": ("name: mine", "name: My Chip", ("name", "'My Chip'", "lower-case")),
    "not YAML": ("limits:", "limits: [", ("not readable as YAML", "mend it")),
    "key twice": ("title:", "name: other\ntitle:", ("'name' is given twice", "mend it")),
    "alias": ("sources: {me", "sources: &a {me", ("anchors and aliases", "mend it")),
}


def test_the_good_file_is_good() -> None:
    assert parse_chip(GOOD.encode(), "good.yaml").name == "mine"
    assert len(BAD) >= 20


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_configuration_is_refused(name: str) -> None:
    old, new, words = BAD[name]
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        parse_chip(GOOD.replace(old, new, 1).encode(), "bad.yaml")
    line = str(caught.value)
    assert line.startswith("bad.yaml")
    assert "\n" not in line
    for word in words:
        assert word in line, line


def test_all_faults_at_once() -> None:
    text = GOOD.replace("value: 4", "value: '4'").replace("unit: J", "unit: 3")
    with pytest.raises(SpecError, match=r"limits\.cores\.value.*energy\.spike\.unit"):
        parse_chip(text.encode(), "bad.yaml")


@pytest.mark.parametrize(
    ("name", "words"),
    [("loihi7", "loihi1, loihi2_hala_point"), ("none.yaml", "No such file"), (".", "name a .yaml")],
)
def test_what_is_not_there_is_named(name: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_chip(name)


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff\xfe", b"3"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(SpecError, match=r"bad\.yaml"):
        parse_chip(data, "bad.yaml")
