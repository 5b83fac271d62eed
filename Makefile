# Each target sets itself up the first time; afterwards no network is needed.
#   make run                      the demonstration: no key, no sound card
#   make run CONFIG=kiosk.yaml    this machine's microphone and speaker
CONFIG ?= demo.yaml
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
PIPELINE := $(PY) -m pipeline
PYTEST := $(PY) -m pytest

.PHONY: run check status devices tap doctor simulate lint format test test-fast setup setup-test clean
.DEFAULT_GOAL := run

setup:
	@scripts/setup run

setup-test:
	@scripts/setup test

run: setup
	@exec $(PIPELINE) run $(CONFIG) $(ARGS)

check: setup
	@$(PIPELINE) check $(CONFIG) $(ARGS)

status: setup
	@$(PIPELINE) status $(ARGS)

devices: setup
	@$(PIPELINE) devices $(ARGS)

tap: setup
	@$(PIPELINE) tap $(ARGS)

doctor: setup
	@$(PIPELINE) doctor $(if $(filter-out file,$(origin CONFIG)),$(CONFIG)) $(ARGS)

simulate: setup
	@$(PIPELINE) simulate $(ARGS)

lint: setup-test
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: setup-test
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

# Unit tests compute, process tests wait for something to happen, device tests need an even beat: so many at a time.
# What depends on the beat of a shared machine is tried again where it failed, and pytest says how often it was.
# (5 is pytest's word for a kind of which ARGS chose none.)
test: lint
	@failed=0; \
	$(PYTEST) -m "unit or bus" -n 2 $(ARGS) || [ $$? = 5 ] || failed=1; \
	$(PYTEST) -m process -n 4 --dist worksteal --reruns 2 $(ARGS) || [ $$? = 5 ] || failed=1; \
	$(PYTEST) -m device -n 2 --dist worksteal --reruns 2 $(ARGS) || [ $$? = 5 ] || failed=1; \
	exit $$failed

test-fast: lint
	@$(PYTEST) -m "unit or bus" -n 2 $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

#   make bench PART=hops          beside its floor, into bench-results/; all parts without PART: half an hour, and two
#                                 hours with ARGS=--full; an hour each in peace and beside hogs: PART=calm MINUTES=60
#   make wheels                   whether an ARM machine finds every pinned library ready built; asks the index
.PHONY: bench wheels
bench: setup-test
	@$(PY) scripts/bench $(PART) $(if $(filter command line,$(origin MINUTES)),--minutes $(MINUTES)) $(ARGS)

wheels: setup-test
	@$(PY) scripts/wheels $(ARGS)

#   make soak MINUTES=10 SEED=7   questions for minutes on end while things break, then 1,000 visits; build/soak.json
MINUTES ?= 10
.PHONY: soak
soak: setup-test
	@$(PY) scripts/soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)
