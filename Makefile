# Everything needs only python3 (3.11 or later) with pip and venv, and make.
PYTHON ?= python3
VENV ?= .venv
PHOTO ?=

.PHONY: demo test check fix bench lock clean

demo: $(VENV)/run.done  ## hide the faces in a photograph
	@VELUM=$(VENV)/bin/velum scripts/demo "$(PHOTO)"

test: $(VENV)/dev.done  ## the fast suite
	$(VENV)/bin/pytest -n auto

check: $(VENV)/dev.done  ## format, lint, types, import contracts, docs examples
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pytest -q tests/contracts

fix: $(VENV)/dev.done  ## format and mend what can be mended
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

bench: $(VENV)-bench/bench.done  ## figures next to deface, as in docs/benchmarks.md
	$(VENV)-bench/bin/python -m bench

lock: $(VENV)/dev.done  ## pin every dependency anew, with hashes
	$(VENV)/bin/pip install --quiet uv
	scripts/lock $(VENV)/bin/uv

clean:
	rm -rf $(VENV) $(VENV)-bench demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/%.done $(VENV)-bench/%.done: requirements/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
