# make demo   install, then replace a BERT and classify a real corpus
# make test   install, check, then run all tests
# make test-slow  install, then run the tests that guard little for their time: CONTRIBUTING.md says which
# make check  format, lint, types, layers, docs; what a pre-commit hook runs
# make test-engines  install Ray, Spark, DuckDB and Polars (half a gigabyte), then compare each with pingti classify
# make bench  install, then measure the student beside other classifiers on this machine
# make bench-queue  install, then measure jobs through the queue beside the same work in one process
# make bench-teacher  install, then measure how well fine-tuned teachers decide, and how fast they score
# make bench-reference  install, then hold the reference against the user's own pipeline on whole corpora
# make bench-fidelity  install, then measure students against their teachers (hours; ARGS=--quick: minutes; ARGS=--curve: smaller parts of the pool)
# make bench-students  install, then measure kinds of students beside each other (hours; ARGS=--quick: minutes)
# make bench-tables  install, then write the tables of the documentation from the figures of the last whole runs
# make chaos  install, then let 20 schedules of faults fall on a running service (some 15 minutes)
# make bench-store  install, then measure a job from a bucket to a bucket by two workers, one of them killed
# make compose-smoke  install, then bring docker-compose.yml up, break it in the middle of a job, count every row
# make bench-compose  install, then measure jobs through docker-compose.yml's workers beside the same work in one process
# make test-deploy  install a Helm engine, Kubernetes' schemas (0.4 GB) and OpenTelemetry, then run their tests
# make bench-doors  install, then measure the REST door: classify, 200 clients, a large upload
# make bench-scale  install, then measure what a shard costs and simulate the queue on up to 1,000 cores
# make bench-similarity  install, then hold a similarity student against its sentence teacher, and time both
# make bench-serverless  install, then measure a function of AWS Lambda: cold start, warm events, cost
# make fuzz   install, then 10,000 made-up requests against the service, with and without a key
# make docs   install, then build the documentation's site into site/; its pages need no network
# make docs-reference  write the pages of the reference from the code
# make picture  draw F1 against speed from the README's table
# make screenshots  make the documentation's pictures of the dashboard from a run of the demo (needs a Chromium)
# make lock   write requirements.lock afresh from what a clean install resolves to
# make clean  remove what the targets above made

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The lock file constrains every install (it names torch's version, too); torch goes first so that nothing else
# chooses its build.
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-engines check bench bench-queue bench-teacher bench-reference bench-fidelity bench-doors bench-store bench-similarity bench-serverless bench-students bench-tables chaos fuzz docs docs-reference picture lock clean test-deploy compose-smoke bench-compose bench-scale screenshots

help:
	@sed -n 's/^# make /make /p' Makefile

$(VENV)/.torch: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Pingti needs Python 3.11 or newer; set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing torch ..."
	@$(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	@echo "installing pingti and what the demo needs ..."
	@$(PIP) --editable '.[teacher,service,demo]'
	@touch $@

$(VENV)/.bench: $(VENV)/.demo
	@echo "installing what the bench compares with ..."
	@$(PIP) --editable '.[teacher,service,demo,bench]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "installing the development tools ..."
	@$(PIP) --editable '.[teacher,service,demo,dev]'
	@touch $@

demo: $(VENV)/.demo
	@$(BIN)/pingti demo

test: check
# Two at once: the suite takes 17 minutes for 28; four were no faster. The tests of a file stay together. Those of
# tests/docs ran in check.
	@$(BIN)/pytest --quiet --numprocesses 2 --dist loadfile -m "not slow" --ignore tests/docs

test-slow: $(VENV)/.dev
	@$(BIN)/pytest --quiet -m slow

$(VENV)/.docs: $(VENV)/.demo
	@echo "installing what builds the documentation ..."
	@$(PIP) --editable '.[teacher,service,demo,docs]'
	@touch $@

$(VENV)/.engines: $(VENV)/.dev
	@echo "installing the engines ..."
	@$(PIP) --editable '.[teacher,service,demo,dev,engines,onnx]'
	@touch $@

test-engines: $(VENV)/.engines
	@$(BIN)/pytest --quiet tests/pingti/integrations

$(VENV)/.deploy: $(VENV)/.dev
	@echo "installing what checks the chart ..."
	@$(PIP) --editable '.[teacher,service,demo,dev,deploy,otel]'
	@touch $@

test-deploy: $(VENV)/.deploy
	@$(BIN)/pytest --quiet tests/deploy tests/queue_worker/telemetry

compose-smoke: $(VENV)/.demo
	@$(BIN)/python deploy/compose-smoke $(ARGS)

bench-compose: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.compose $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest --quiet tests/docs

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.speed

bench-queue: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.queue $(ARGS)

bench-teacher: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.teacher $(ARGS)

bench-reference: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.reference $(ARGS)

bench-fidelity: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.fidelity $(ARGS)

bench-students: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.kinds $(ARGS)

bench-tables: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.tables
	@$(BIN)/python -m benchmarks.picture

chaos: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

bench-store: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.store $(ARGS)

bench-doors: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.doors $(ARGS)

bench-scale: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.scale $(ARGS)

bench-similarity: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.similarity $(ARGS)

bench-serverless: $(VENV)/.demo
	@$(BIN)/python -m benchmarks.serverless $(ARGS)

fuzz: $(VENV)/.dev
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-120} $(BIN)/pytest --quiet tests/api/rest/test_fuzz.py

docs: $(VENV)/.docs
	@$(BIN)/mkdocs build --strict --quiet

docs-reference: $(VENV)/.demo
	@$(BIN)/python docs/generate.py

picture:
	@$(PYTHON) -m benchmarks.picture

screenshots: $(VENV)/.dev
	@$(BIN)/python docs/screenshots.py $(ARGS)

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet '.[teacher,service,demo,bench,deploy,dev,docs,engines,hub,onnx,otel,s3,gcs,azure]'
	(echo '# Written by make lock: every version that Pingti is tested with. A constraints file for pip.'; \
	 .venv-lock/bin/pip freeze --all --exclude pip --exclude pingti | sed 's/+cpu$$//') > requirements.lock
	rm -rf .venv-lock build *.egg-info

clean:
	rm -rf $(VENV) workspace demo-workspace build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
