# Everything needs only python3 (3.11 or later) with pip and venv, and make.
PYTHON ?= python3
VENV ?= .venv
PHOTO ?=
INPUTS ?= 100000
SEED ?= 1
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 1) + 1)))
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/velum/__init__.py)
FROM_ENVIRONMENT = BASE HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_EXTRA_INDEX_URL

.PHONY: demo fast serve test test-all check lint fix fuzz bench docs pictures lock image clean

demo: $(VENV)/run.done  ## hide the faces in a photograph
	@VELUM=$(VENV)/bin/velum scripts/demo "$(PHOTO)"

serve: $(VENV)/run.done  ## the service, at http://127.0.0.1:4343/docs
	$(VENV)/bin/velum serve --host 127.0.0.1 --port 4343

test: $(VENV)/dev.done  ## the tests, as on every change
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadgroup

test-all: $(VENV)/dev.done  ## these and the exhaustive ones, as every night
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadgroup -m ""

fast: $(VENV)/dev.done  ## those that need neither real weights nor other processes, in under a minute
	$(VENV)/bin/pytest -n $(WORKERS) -m "not real and not slow and not network and not exhaustive"

check: lint  ## format, lint, types, import contracts, docs examples
	$(VENV)/bin/pytest -q -n $(WORKERS) tests/contracts

lint: $(VENV)/dev.done  ## the same without the docs examples, which `make test` runs too
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

fix: $(VENV)/dev.done  ## format and mend what can be mended
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

fuzz: $(VENV)/dev.done  ## mutated inputs for every parser, as every night: INPUTS=100000 SEED=1
	$(VENV)/bin/python -m bench.fuzz --inputs $(INPUTS) --seed $(SEED)

bench: $(VENV)-bench/bench.done  ## figures next to deface, as in docs/benchmarks.md
	$(VENV)-bench/bin/python -m bench

docs: $(VENV)/run.done $(VENV)-docs/docs.done  ## the documentation as a site, in build/docs/html
	$(VENV)/bin/python -m docs.site write build/docs
	$(VENV)-docs/bin/zensical build --strict --config-file build/docs/zensical.toml
	$(VENV)/bin/python -m docs.site finish build/docs

pictures: $(VENV)/run.done  ## draw the pictures of the README anew, and hide what they show with velum
	$(VENV)/bin/python -m docs.pictures

lock: $(VENV)/dev.done  ## pin every dependency anew, with hashes
	$(VENV)/bin/pip install --quiet uv
	scripts/lock $(VENV)/bin/uv

image:  ## the container image; proxies and package indexes are taken from the environment
	DOCKER_BUILDKIT=1 docker build --tag velum:$(VERSION) $(addprefix --build-arg ,$(FROM_ENVIRONMENT)) .

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-docs build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/%.done $(VENV)-bench/%.done $(VENV)-docs/%.done: requirements/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
