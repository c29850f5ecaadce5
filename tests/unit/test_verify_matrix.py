"""The matrix: every cell is filled or says why not, and it stands where it was asked for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lavaghost.base.errors import DataError, ExportError
from lavaghost.cli import run
from lavaghost.exporters import available, base, find
from lavaghost.verification import MatrixEntry, matrix, run_all, runtimes
from tests.unit.onnx_networks import TARGETS, data, samples, trained_network

pytest.importorskip("onnxruntime")


@pytest.fixture
def no_uv(tmp_path, monkeypatch):
    monkeypatch.setenv("LAVAGHOST_UV", str(tmp_path / "nowhere"))


def cells(**options) -> list[MatrixEntry]:
    trained = trained_network()
    reference = find("onnx")

    def free(x: np.ndarray) -> np.ndarray:
        return reference.expected(trained, {}, x * 16).logits

    return run_all(trained, data(trained, samples(trained)), free, **options)


@pytest.mark.usefixtures("no_uv")
def test_what_is_not_installed_leaves_the_others_alone():
    seen: list[tuple[int, int, str]] = []
    found = cells(report=lambda *now: seen.append(now), targets=[*TARGETS, "yaml"])
    assert {cell.target for cell in found} == {*TARGETS, "yaml"}
    here = [cell for cell in found if cell.runtime == "onnxruntime"]
    assert len(here) == len(TARGETS)
    assert all(cell.agreement is not None and cell.agreement.passed for cell in here)
    away = [cell for cell in found if cell.runtime not in ("onnxruntime", "")]
    assert len(away) == 3 * len(TARGETS)
    assert all(
        cell.missing and cell.text == "not installed" and "pip install uv" in cell.reason for cell in away
    )
    assert [done for done, _, _ in seen] == list(range(len(found) + 1))
    assert "yaml: LavaGhost alone runs it" in matrix.notes(found)
    json.dumps([cell.as_json() for cell in found], allow_nan=False)


@pytest.mark.usefixtures("no_uv")
def test_a_target_that_fails_is_a_reason(monkeypatch):
    real = base.export

    def broken(trained, exporter, *args, **kwargs):
        if exporter.name == "onnx-int":
            raise ExportError("too many ghosts; use fewer")
        return real(trained, exporter, *args, **kwargs)

    monkeypatch.setattr(base, "export", broken)
    found = cells(targets=["onnx-int", "onnx"])
    failed = [cell for cell in found if cell.target == "onnx-int"]
    assert {(cell.text, cell.reason) for cell in failed} == {("no", "too many ghosts; use fewer")}
    assert [cell.agreement is not None for cell in found if cell.target == "onnx"] == [
        True,
        False,
        False,
        False,
    ]
    assert "onnx-int on onnxruntime, onnx-int on onnx-reference" in matrix.notes(found)[0]


def test_data_of_another_size_are_refused_at_once():
    trained = trained_network(layers=(5, 4, 3))
    with pytest.raises(DataError, match="the network needs"):
        run_all(trained, data(trained_network(), samples(trained_network())), lambda x: x)


def test_cells_say_how_and_how_well():
    some = next(cell for cell in cells(targets=["onnx-int"]) if cell.runtime == "onnxruntime")
    assert some.agreement is not None
    accuracy = f"{100 * some.agreement.accuracy:.2f} %"
    assert some.text == f"equal, {accuracy}"
    off = replace(some.agreement, passed=False, max_abs_difference=12.0, energy_j=2.5e-6, latency_s=3.4e-4)
    assert replace(some, agreement=off).text == f"DISAGREES by 12, {accuracy}, 2.5 uJ, 340 us"
    near = replace(some.agreement, exact=False, max_abs_difference=1.5e-6)
    assert replace(some, agreement=near).text == f"within 1.5e-06, {accuracy}"


def test_targets_that_share_runtimes_share_a_table():
    """a and c meet only through b; d shares nothing, and e, which has no runtime, stands below with its reason."""
    named = {"a": "p q", "d": "u", "c": "r", "b": "q r", "e": ""}
    found = [
        MatrixEntry(target, runtime, None, f"{target} why")
        for target, runtimes in named.items()
        for runtime in runtimes.split() or [""]
    ]
    assert matrix.families(found) == [["d"], ["a", "c", "b"]]
    expected = """T:

| target | u |
|---|---|
| d | no |

| target | p | q | r |
|---|---|---|---|
| a | no | no | - |
| c | - | - | no |
| b | - | no | no |

* a on p, a on q: a why
* d on u: d why
* c on r: c why
* b on q, b on r: b why
* e: e why
* Versions: none
"""
    assert matrix.markdown(found, "T:") == expected


def test_it_is_placed_between_the_markers(tmp_path):
    file = tmp_path / "m.md"
    matrix.place(file, "one\n")
    assert file.read_text() == "<!-- matrix -->\none\n<!-- end -->\n"
    file.write_text("before\n<!-- matrix -->\nold\n<!-- end -->\nafter\n")
    matrix.place(file, "new\n")
    assert file.read_text() == "before\n<!-- matrix -->\nnew\n<!-- end -->\nafter\n"
    for text in ("nothing", "<!-- matrix -->", "<!-- end -->"):
        file.write_text(text)
        with pytest.raises(ExportError, match=r"m\.md has no lines <!-- matrix --> and <!-- end -->"):
            matrix.place(file, "new\n")
        assert file.read_text() == text


@pytest.mark.usefixtures("no_uv")
def test_the_command(tmp_path, capsys, monkeypatch):
    trained = trained_network(layers=(64, 12, 10))
    model = str(trained.save(tmp_path / "net"))
    common = ["verify", "--all", "--model", model, "--dataset", "digits", "--limit", "20"]
    assert run([*common, "--write", str(tmp_path / "m.md"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {cell["target"] for cell in values["cells"]} >= {*TARGETS, "yaml"}
    written = Path(tmp_path / "m.md").read_text()
    assert all(f"| {name} |" in written for name in TARGETS)
    assert str(tmp_path) not in written.replace(str(tmp_path / "nowhere"), "")
    assert run([*common, "model.onnx"]) == 2
    assert run([*common, "--write", model]) == 2  # no markers: said before any work
    assert "verifying" not in capsys.readouterr().err
    assert run(["verify", "--model", model, "--dataset", "digits"]) == 2
    assert run(["verify", "m.onnx", "--write", "m.md", "--model", model, "--dataset", "digits"]) == 2
    # a cell that disagrees is a negative result
    real = runtimes.run

    def wrong(*args, **kwargs):
        found = real(*args, **kwargs)
        return found._replace(logits=found.logits + 1)

    monkeypatch.setattr(runtimes, "run", wrong)
    capsys.readouterr()
    assert run(common) == 1
    assert "DISAGREES" in capsys.readouterr().err
    assert set(TARGETS) < set(available())
