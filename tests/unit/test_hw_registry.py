"""A chip in a package of its own: one YAML file and a line that registers it."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

from lavaghost.base.errors import SpecError
from lavaghost.base.registry import Registry
from lavaghost.hardware import catalogue
from lavaghost.hardware.catalogue import CHIPS, load_chip

ROOT = Path(__file__).resolve().parents[2]
CLI = "from lavaghost.cli import main; main()"
TOY = """
format: lavaghost.hardware
version: "1.0"
name: toy8
title: A chip of eight cores
sources: {us: made up for this test}
limits:
  cores: {value: 8, unit: cores, source: us, confidence: unverified}
  neurons_per_core: {value: 100, unit: neurons, source: us, confidence: unverified}
  weight_bits: {values: [4, 8], unit: bits, source: us, confidence: unverified}
"""


def package(folder: Path, name: str, entry: str, **texts: str) -> Path:
    """An installed package `name` that registers `entry`, with files of these texts: no Python in it."""
    (folder / name).mkdir(parents=True)
    for stem, text in texts.items():
        (folder / name / f"{stem}.yaml").write_text(text)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lavaghost.chips]\n{entry}\n")
    return folder


def python(*arguments: str, path: Path | None = None) -> str:
    environment = dict(os.environ) | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_it_is_listed_mapped_and_passes_the_conformance_test(tmp_path: Path) -> None:
    installed = package(tmp_path, "toy_chips", "toy8 = toy_chips", toy8=TOY)
    arguments = ("-c", CLI, "hardware", "--json")
    assert set(json.loads(python(*arguments, path=installed))) - set(json.loads(python(*arguments))) == {"toy8"}
    look = "from lavaghost.hardware.catalogue import load_chip; print(load_chip('toy8').limits.cores.value)"
    assert python("-c", look, path=installed).strip() == "8"
    options = ("-k", "toy8", "-q", "-p", "no:cacheprovider")
    said = python("-m", "pytest", "tests/conformance/test_hw_chips.py", *options, path=installed)
    # one of figures, six of what fits, six of payloads, one of messages, one of learning
    assert "15 passed" in said
    assert "skipped" not in said


def test_ours_are_registered_as_others_are() -> None:
    ours = {
        Path(entry.name).stem for entry in files(catalogue.FOLDER).iterdir() if entry.name.endswith(".yaml")
    }
    assert ours
    assert ours <= set(CHIPS.names())


@pytest.mark.parametrize(
    ("entry", "texts", "words"),
    [
        ("toy9 = bad_chips", {"toy8": TOY}, r"cannot read toy9\.yaml of bad_chips.*register the package"),
        ("toy9 = bad_chips", {"toy9": TOY}, r"toy9\.yaml of bad_chips: name is 'toy8'; write 'toy9'"),
        ("toy9 = bad_chips", {"toy9": "3"}, r"toy9\.yaml of bad_chips: holds a int; write keys"),
        ("toy9 = json", {}, r"cannot read toy9\.yaml of json.*register the package"),
        ("toy9 = ast", {}, r"cannot read toy9\.yaml of ast.*register the package"),
        ("toy9 = nowhere.to_be_found", {}, r"nowhere\.to_be_found\) cannot be loaded: .*uninstall its package"),
        ("toy9 = os:sep", {}, r"'toy9' \(os:sep\) is a str, not a module"),
    ],
)
def test_one_that_does_not_work_is_named(entry, texts, words, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(package(tmp_path, "bad_chips", entry, **texts))
    monkeypatch.delitem(sys.modules, "bad_chips", raising=False)
    registry = Registry("lavaghost.chips", "hardware configuration", ModuleType, {})
    monkeypatch.setattr(catalogue, "CHIPS", registry)
    assert "toy9" in registry.names()
    with pytest.raises(SpecError, match=words) as caught:
        load_chip("toy9")
    assert "\n" not in str(caught.value)
    monkeypatch.delitem(sys.modules, "bad_chips", raising=False)
