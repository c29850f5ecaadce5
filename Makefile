# `make help` lists the targets. Everything is made from a clean clone, given a Python 3 with venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# an idle worker takes tests from the other: the slowest ones, of Lava, come last
PYTEST_ARGS ?= -n 2 --dist worksteal
BENCH_ARGS ?=
FUZZ_ARGS ?=
BUSY ?= 8
UV := .tools/bin/uv
# An editable install notes which folders are packages, so it is made anew when their first file changes.
BUILD_FILES := pyproject.toml setup.py $(wildcard lavaghost/__init__.py exporters/__init__.py hw_configs/__init__.py)
LOCK_OLD := requirements/lock-py310.txt
LOCK_NEW := requirements/lock-py311.txt

# The environment that is active, if any, is left alone; certificates are those that git trusts too.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export UV_SYSTEM_CERTS ?= 1

# $(call find,VERSION): the path of a Python, on the PATH or made by pyenv; nothing where there is none.
find = { $(UV) python find --system --no-python-downloads $(1) 2>/dev/null \
	|| ls "$${PYENV_ROOT:-$${HOME:-}/.pyenv}"/versions/$(1).*/bin/python$(1) 2>/dev/null | tail -n 1 || true; }

# $(call environment,FOLDER,VERSIONS,DOWNLOAD): the folder, with the first version found, or else a download.
define environment
	@$(1)/bin/python -c pass 2>/dev/null || { \
		if test -e $(1) -o -L $(1); then echo "make: $(1) has no Python that runs; it is made anew"; rm -rf $(1); fi; \
		for version in $(2); do python=$$($(call find,$$version)); test -z "$$python" || break; done; \
		$(UV) venv --quiet --clear --python "$${python:-$(3)}" $(1) 2>/dev/null || { \
			echo "make: found no Python of $(2) and could not download one; put python$(3) on the PATH (as with: pyenv install $(3))" >&2; \
			exit 1; }; }
endef

# $(call install,ENVIRONMENT,LOCK): exactly what the lock names, then this project over it.
# The links show pyright the two folders that are installed under another name; it reads them as one package.
define install
	$(UV) pip sync --quiet --python $(1)/bin/python --require-hashes $(2)
	$(UV) pip install --quiet --python $(1)/bin/python --no-deps --no-build-isolation --editable .
	@mkdir -p $(1)/typing/lavaghost
	@ln -sfn ../../../lavaghost/__init__.py $(1)/typing/lavaghost/__init__.py
	@ln -sfn ../../../exporters $(1)/typing/lavaghost/exporters
	@ln -sfn ../../../hw_configs $(1)/typing/lavaghost/hw_configs
endef

# $(call compile,PYTHON,MARKER,LOCK): a lock for every platform and for the Pythons that the marker names.
# uv reads the marker from a project file, hence the folder made for it.
define compile
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	printf '[tool.uv]\nenvironments = ["%s"]\n' "$(2)" > "$$folder/pyproject.toml"; \
	$(UV) pip compile --quiet --project "$$folder" --python-version $(1) --universal --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" $(LOCK_ARGS) \
		--all-extras pyproject.toml requirements/build.in --output-file $(3) >/dev/null
endef

# An environment whose Python does not run, or is gone, is made anew, whatever its stamp says.
ENVIRONMENTS := .tools .venv .venv-new .venv-bench
$(foreach folder,$(wildcard $(ENVIRONMENTS:=/.done)),$(shell $(dir $(folder))bin/python -c pass 2>/dev/null || rm -f $(folder)))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.done ## Make .venv: Python 3.10, Lava, and all that development needs

.PHONY: demo
demo: .venv/.done ## Train, check and export a small network into out/demo
	.venv/bin/lavaghost demo --out out/demo

.PHONY: verify-all
verify-all: .venv/.done ## Export to every target, run each on every runtime, write the matrix into docs/results.md
	@test -f out/demo/model.yaml || .venv/bin/lavaghost train --dataset digits --layers 128 --epochs 30 \
		--batch-size 32 --out out/demo
	.venv/bin/lavaghost verify --all --model out/demo/model.yaml --dataset digits --write docs/results.md

.PHONY: test
test: .venv/.done ## Run all tests, two at a time (PYTEST_ARGS="-k ghost" for other arguments)
	.venv/bin/python -m pytest $(PYTEST_ARGS)

.PHONY: test-busy
test-busy: .venv/.done ## Run all tests beside eight busy loops, which end with them (BUSY=25 for as many)
	@loops=(); trap 'kill "$${loops[@]}" 2>/dev/null' EXIT; \
	for ((i = 0; i < $(BUSY); i++)); do .venv/bin/python -c 'while True: pass' & loops+=($$!); done; \
	.venv/bin/python -m pytest $(PYTEST_ARGS)

.PHONY: test-new
test-new: .venv-new/.done ## Run the tests that need no Lava, on the newest Python there is
	.venv-new/bin/python -m pytest -m "not lava" $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: .venv/.done ## Give thousands of hostile files to every reader (FUZZ_ARGS="--inputs 50000 --seed 1")
	.venv/bin/python -m tests.fuzz $(FUZZ_ARGS)

.PHONY: check
check: .venv/.done ## Check format, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright

.PHONY: format
format: .venv/.done ## Format, and mend what can be mended
	.venv/bin/ruff check --fix-only --exit-zero .
	.venv/bin/ruff format .

.PHONY: bench
bench: .venv-bench/.done .venv/.done ## Run the benchmarks, PyTorch beside them (MNIST=DIR: with MNIST, four IDX files)
	LAVAGHOST_MNIST="$(or $(MNIST),$(LAVAGHOST_MNIST))" .venv-bench/bin/python -m benchmarks $(BENCH_ARGS)
	$(if $(BENCH_ARGS),,.venv/bin/python -m benchmarks.mapping --json out/bench/mapping.json)
	$(if $(BENCH_ARGS),,.venv/bin/python -m benchmarks.lava)
	$(if $(BENCH_ARGS),,.venv/bin/python -m benchmarks.integer --json out/bench/integer.json)

.PHONY: lock
lock: .tools/.done ## Bring the locks up to date with pyproject.toml (LOCK_ARGS=--upgrade for new versions)
	$(call compile,3.10,python_version < '3.11',$(LOCK_OLD))
	$(call compile,3.11,python_version >= '3.11' and python_version < '3.14',$(LOCK_NEW))
	@$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" $(LOCK_ARGS) requirements/tools.in \
		--output-file requirements/tools.txt >/dev/null

.PHONY: clean
clean: ## Remove the environments and all that was built
	rm -rf .venv .venv-new .venv-bench .tools out build dist *.egg-info
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first of these Pythons that runs and has venv makes the folder of tools.
.tools/.done: requirements/tools.txt
	@for python in "$(or $(PYTHON),python3)" python3.10 python3.11 python3.12 python3.13 /usr/bin/python3; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; \
		then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: no Python 3.10 or newer with venv was found; install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	echo "$$python -m venv .tools"; "$$python" -m venv --clear .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	@touch $@

.venv/.done: .tools/.done $(LOCK_OLD) $(BUILD_FILES)
	$(call environment,.venv,3.10,3.10)
	$(call install,.venv,$(LOCK_OLD))
	@touch $@

.venv-new/.done: .tools/.done $(LOCK_NEW) $(BUILD_FILES)
	$(call environment,.venv-new,3.13 3.12 3.11,3.13)
	$(call install,.venv-new,$(LOCK_NEW))
	@touch $@

# PyTorch comes by pip, which also takes a release that lies on the disk (PIP_FIND_LINKS).
.venv-bench/.done: .tools/.done $(LOCK_NEW) requirements/bench.in $(BUILD_FILES)
	$(call environment,.venv-bench,3.11,3.11)
	.tools/bin/python -m pip --python .venv-bench/bin/python install --quiet --disable-pip-version-check -r requirements/bench.in
	$(UV) pip install --quiet --python .venv-bench/bin/python --require-hashes -r $(LOCK_NEW)
	$(UV) pip install --quiet --python .venv-bench/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
