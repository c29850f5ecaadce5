"""What `make` does about an environment whose Python is gone; no environment is made here."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the recipe `environment` for `folder/.venv`, with a `uv` that only notes what it is asked."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    ends = ((r"find = ", r"true; \}"), (r"define environment", r"^endef"))
    found = [re.search(rf"(?ms)^{start}.*?{end}", text) for start, end in ends]
    recipes = "\n\n".join(match[0] for match in found if match)
    uv = folder / "uv"
    uv.write_text(
        '#!/bin/sh\necho "$@" >> asked\n'
        'case "$1" in python) command -v python3;; venv) test ! -L .venv -a ! -e .venv;; esac\n'
    )
    uv.chmod(0o755)
    (folder / "Makefile").write_text(
        f"SHELL := /bin/bash\n.SHELLFLAGS := -eu -o pipefail -c\nUV := ./uv\n\n{recipes}\n\n"
        "all:\n\t$(call environment,.venv,3.10,3.10)\n"
    )
    return subprocess.run(["make", "all"], cwd=folder, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    "kind", ["empty", "no python", "dangling link", "file", "link to nowhere", "not executable", "is broken"]
)
def test_an_environment_without_a_python_that_runs_is_made_anew_and_said_so(kind, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    if kind == "file":
        python.parents[1].write_text("")
    elif kind == "link to nowhere":
        python.parents[1].symlink_to(tmp_path / "gone")
    else:
        python.parents[0 if kind != "empty" else 1].mkdir(parents=True)
    if kind == "dangling link":
        python.symlink_to(tmp_path / "gone")
    elif kind == "not executable":
        python.write_text("")
    elif kind == "is broken":
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    done = environment(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "make: .venv has no Python that runs; it is made anew\n"
    assert "venv --quiet --clear" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("runs", [True, False])
def test_a_stamp_does_not_outlive_the_python_that_it_speaks_of(runs, tmp_path):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.search(r"(?m)^ENVIRONMENTS := .*\n.*\n", text)
    assert lines
    (tmp_path / "Makefile").write_text(f"{lines[0]}\nall:\n\t@true\n")
    for name in (".tools", ".venv", ".venv-bench"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / ".done").touch()
        (tmp_path / name / "bin" / "python").write_text(f"#!/bin/sh\nexit {0 if runs else 1}\n")
        (tmp_path / name / "bin" / "python").chmod(0o755)
    subprocess.run(["make"], cwd=tmp_path, check=True, timeout=600, capture_output=True)
    assert {(tmp_path / name / ".done").exists() for name in (".tools", ".venv", ".venv-bench")} == {runs}


def test_one_that_is_missing_is_made_and_one_that_runs_is_left_alone(tmp_path):
    done = environment(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "asked").unlink()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    assert environment(tmp_path).returncode == 0
    assert not (tmp_path / "asked").exists()
