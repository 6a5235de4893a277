# All it needs is make and a python3 >= 3.11 with pip; it installs nothing outside this folder.
# uv goes to .bootstrap/ (by pip's --target, which works where pip is managed by the system and where
# venv has no ensurepip), everything else to .venv/, exactly as uv.lock says.
#
#   make test ARGS="-k meters"                     the tests whose names match
#   make test ARGS="-n0 tests/rules/test_meters.py::test_name"   one test, in one process
#   make test PYTHON=python3.13                    another interpreter

PYTHON ?= python3
ARGS ?=

UV_VERSION := 0.13.9
uv := .bootstrap/bin/uv
uv_stamp := .bootstrap/uv-$(UV_VERSION).dist-info/METADATA
python := .venv/bin/python
# Named after the interpreter's version, so that another interpreter gets another environment.
venv_stamp := .venv/.synced-$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)

export UV_CACHE_DIR ?= .bootstrap/cache
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# Compiled modules go to one folder, also where the environment asks Python to keep none: each test
# worker and each command that a test starts would otherwise compile every library again.
# Not within .venv: uv makes an environment only in an empty folder.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.pycache
unexport PYTHONDONTWRITEBYTECODE
# As pip does, trust the certificates that this machine trusts: a company's proxy has its own.
export UV_SYSTEM_CERTS ?= true
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.DEFAULT_GOAL := help
.PHONY: help demo demo-api test quick coverage test-faults mutants fuzz test-full lint format bench bench-full docs docs-serve reference pictures words wheel dist sbom publish compat api lock clean

help:
	@echo 'make demo       a tour of the library in one program'
	@echo 'make demo-api   a small API with plans, limits and a plan page, on http://127.0.0.1:8000'
	@echo 'make test       the test suite, in three minutes on two cores; its arguments for pytest:'
	@echo '                make test ARGS="-k meters", make test ARGS="-n0 tests/rules/test_meters.py::test_name"'
	@echo 'make quick      the tests without servers, processes and browsers, in twenty seconds'
	@echo 'make coverage   make test, and how much of the package it runs, line by line; fails below what it was'
	@echo 'make test-faults  every fault on every operation, on real servers; writes docs/faults.md; 20 minutes'
	@echo 'make mutants    small changes in rules, resilience and Lua that tests must notice; 40 minutes'
	@echo 'make fuzz       coverage-guided fuzzing by atheris of what reads replies, files and requests; two minutes'
	@echo 'make test-full  the slow tests too, with many more examples for each property'
	@echo 'make lint       formatting, style, types, layers, spelling, workflows, and the words of docstrings'
	@echo 'make format     let ruff mend what it can'
	@echo 'make bench      the main benchmarks: in process, and on a Valkey beside floors and peers; some minutes'
	@echo 'make bench-full every benchmark, on Redis and Valkey, and its plots; two hours'
	@echo 'make docs       build the site in build/site; a warning or a broken link fails'
	@echo 'make docs-serve show the site on http://127.0.0.1:8000, and again after each change of a page'
	@echo 'make reference  write the pages of docs/reference/ that are made from the package'
	@echo 'make pictures   draw docs/pictures/: the windows, results, an answer as a tree, recordings of commands'
	@echo 'make words      words, sentences and reading level of every page; the longest sentences'
	@echo 'make wheel      build the wheel and try it away from the source'
	@echo 'make dist sbom  wheel, source archive and bill of materials in dist/, as a release has them'
	@echo 'make compat     the suite with the lowest and the newest libraries, and beside others; half an hour'
	@echo 'make api        list the public API, after a change of it, and write the reference pages'
	@echo 'make lock       write uv.lock anew after a change in pyproject.toml'
	@echo 'make clean      remove everything that make has built'

demo: $(venv_stamp)
	$(python) examples/quickstart.py

demo-api: $(venv_stamp)
	$(python) examples/leads_api/app.py

test: $(venv_stamp)
	$(python) -m pytest -n auto --dist worksteal -m 'not slow' $(ARGS)

quick: $(venv_stamp)
	$(python) -m pytest --quick -n auto --dist worksteal -m 'not slow' $(ARGS)

# The tests that compute most are not traced: tests/conftest.py names them.
coverage:
	$(MAKE) test ARGS="--cov $(ARGS)"

test-faults: $(venv_stamp)
	$(python) -m pytest -n auto --dist worksteal -m faults --faults-table docs/faults.md $(ARGS) tests/faults

mutants: $(venv_stamp)
	$(python) tests/mutation $(ARGS)

fuzz: $(venv_stamp)
	$(uv) run --quiet --no-sync --with 'atheris==3.0.0' python tests/smoke/fuzz.py $(ARGS)

test-full: $(venv_stamp)
	$(python) -m pytest --hypothesis-profile=full $(ARGS)

lint: $(venv_stamp)
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy entitlements $(wildcard tests/typing/*.py)
	.venv/bin/pyright --warnings
	.venv/bin/lint-imports --no-logo
	.venv/bin/codespell
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec examples/deploy/compose.yaml
	.venv/bin/kubernetes-validate --quiet --strict -k 1.37.0 examples/deploy/kubernetes.yaml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	.venv/bin/zizmor --offline --quiet .github
	$(python) -m pytest -q -n 0 tests/project/test_prose.py

format: $(venv_stamp)
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: $(venv_stamp)
	$(python) -m benchmarks
	$(python) -m benchmarks.hot --rounds 2 --kinds valkey-9 --json .bench/hot.json $(ARGS)

bench-full: $(venv_stamp)
	$(python) -m benchmarks
	$(python) -m benchmarks.hot --full $(ARGS)
	$(python) -m benchmarks.hot.plots
	$(python) -m benchmarks.hot.profile
	$(python) -m benchmarks.can_peers
	$(python) -m benchmarks.http_peers
	$(python) -m benchmarks.middleware --app raw
	$(python) -m benchmarks.middleware
	$(python) -m benchmarks.doors
	$(python) -m benchmarks.exactness
	$(python) -m benchmarks.outage --plot docs/outage.svg
	$(python) -m benchmarks.loss

docs: $(venv_stamp)
	$(python) -m tools.docs.site build

docs-serve: $(venv_stamp)
	$(python) -m tools.docs.site serve

reference: $(venv_stamp)
	$(python) -m tools.docs.reference

pictures: $(venv_stamp)
	$(python) -m tools.docs.pictures

words: $(venv_stamp)
	$(python) -m tools.docs.words $(ARGS)

wheel: $(venv_stamp)
	rm -rf dist
	$(uv) build --quiet --wheel --out-dir dist --python $(python)
	away=$$(mktemp -d) && trap 'rm -rf "$$away"' EXIT && \
	cp dist/*.whl tests/smoke/wheel_smoke.py "$$away" && \
	$(uv) venv --quiet --python $(python) "$$away/venv" && \
	$(uv) pip install --quiet --python "$$away/venv" "$$away"/*.whl && \
	cd "$$away" && venv/bin/python -I wheel_smoke.py *.whl && \
	$(CURDIR)/$(uv) pip install --quiet --python venv "$$(ls *.whl)[cli]" && venv/bin/python -I wheel_smoke.py *.whl

# TAG=v0.2.0 fails if the version is another one.
dist: $(venv_stamp)
	$(python) -c 'import os, sys, tomllib; tag, version = os.environ.get("TAG", ""), tomllib.load(open("pyproject.toml", "rb"))["project"]["version"]; \
	  tag in ("", "v" + version) or sys.exit(f"the tag is {tag} and the version of pyproject.toml is {version}: make them the same")'
	rm -rf dist
	$(uv) build --quiet --out-dir dist --python $(python)

# Of the package and all of its extras, as uv.lock says.
sbom: $(venv_stamp)
	mkdir -p dist
	UV_PROJECT_ENVIRONMENT=build/sbom $(uv) sync --quiet --locked --no-dev --extra all --no-editable --python $(python)
	$(uv) run --quiet --isolated --locked --only-group release --python $(python) cyclonedx-py environment build/sbom/bin/python \
	  --pyproject pyproject.toml --mc-type library --output-reproducible --output-format JSON --output-file dist/sbom.cdx.json

# By the release workflow alone: the index trusts its identity, and no password is stored.
publish: $(uv_stamp)
	$(uv) publish --trusted-publishing always dist/*.whl dist/*.tar.gz

compat: $(venv_stamp)
	$(python) tests/smoke/compat.py $(uv) $(ARGS)

api: $(venv_stamp)
	$(python) tests/helpers/public_api.py
	$(python) -m tools.docs.reference

lock: $(uv_stamp)
	$(uv) lock --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

clean:
	rm -rf .venv .bootstrap .pycache .bench dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(venv_stamp): pyproject.toml uv.lock $(uv_stamp)
	$(check_python)
	$(uv) sync --quiet --locked --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

$(uv_stamp):
	$(check_python)
	rm -rf .bootstrap
	PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 $(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
	  --no-deps --only-binary :all: --target .bootstrap uv==$(UV_VERSION)
	@touch $@

define check_python
@command -v $(PYTHON) >/dev/null || { \
  echo '$(PYTHON) is not on PATH: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3'; exit 1; }
@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d, too old: \
entitlements needs 3.11 or newer; name one: make PYTHON=python3.12" % sys.version_info[:2])'
@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
  echo '$(PYTHON) has no pip: install it (on Debian: apt install python3-pip), or name another: make PYTHON=python3.12'; exit 1; }
endef
