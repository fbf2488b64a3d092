# Every target makes its own virtual environment first; nothing outside .venv and ~/.cache/flumebeam is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INPUT  ?=
OUTPUT ?= demo-output
# Tests wait more than they compute; each of these may start a Hadoop or a Flink of its own.
WORKERS ?= 2
comma  := ,

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-flume soak-cuts soak-kills soak-beam fuzz torture torture-pair format dist clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/run.stamp  ## real log lines through the embedded broker into files, with proof [INPUT=file OUTPUT=directory]
	@$(BIN)/flumebeam demo $(if $(INPUT),--input "$(INPUT)") --output "$(OUTPUT)"

test: $(VENV)/test.stamp  ## every test, on real parts [ARGS="-k name" WORKERS=1]
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: failures
failures: $(VENV)/test.stamp  ## every failure case that has bitten a neighbour, on real parts; prints what became of the events
	@FLUMEBEAM_FAILURES=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m failure $(ARGS)

.PHONY: test-runners test-prism test-flink test-spark
RUNNERS = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -p no:randomly -m "" tests/runners tests/integration/runners

test-runners: $(VENV)/test.stamp  ## every pipeline and fault on Prism, Flink and Spark, standalone clusters included; prints the matrix
	@FLUMEBEAM_WRITE_MATRIX=$(if $(ARGS),0,1) $(RUNNERS) $(ARGS)

test-prism: $(VENV)/test.stamp  ## of these, what runs on Prism
	@$(RUNNERS) -k prism $(ARGS)

test-flink: $(VENV)/test.stamp  ## of these, what runs on Flink, in its job server and on a cluster
	@$(RUNNERS) -k flink $(ARGS)

test-spark: $(VENV)/test.stamp  ## of these, what runs on Spark, in its job server and on a cluster
	@$(RUNNERS) -k spark $(ARGS)

coverage: $(VENV)/test.stamp  ## fails unless unit tests take every branch of the wire codec and of the broker's core
	@$(BIN)/python -m pytest -q tests/unit/smf tests/unit/broker --cov=flumebeam.smf --cov=flumebeam.broker.core \
	  --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

check: $(VENV)/dev.stamp  ## lint, types, layers and walls, dead links, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.docs.links README.md CHANGELOG.md docs
	$(BIN)/codespell README.md CHANGELOG.md docs flumebeam transforms pipelines tests

bench: $(VENV)/test.stamp  ## events per second of each stage, side by side in one run [ARGS="--events 100000"]
	@$(BIN)/python -m tests.bench $(ARGS)

bench-flume: $(VENV)/test.stamp  ## the same beside Apache Flume 1.11 from Maven Central; needs Java [ARGS="--quick --html page.html"]
	@$(BIN)/python -m tests.bench flume $(ARGS)

torture: $(VENV)/test.stamp  ## 1,000 kills of a drain on a local disk, every event counted [ARGS="--resume --slices 10"]
	@$(BIN)/python -m tests.torture local $(ARGS)

torture-pair: $(VENV)/test.stamp  ## 100 kills of a drain through Beam on an HA pair of HDFS that fails [ARGS="--resume"]
	@$(BIN)/python -m tests.torture pair $(ARGS)

soak-cuts: $(VENV)/test.stamp  ## 10,000 cut connections, 1,000,000 events exactly once [ARGS="--resume --slices 10"]
	@$(BIN)/python -m tests.faults.broker.soak cuts $(ARGS)

soak-kills: $(VENV)/test.stamp  ## 1,000 times kill -9 of a broker with data [ARGS="--resume --slices 10"]
	@$(BIN)/python -m tests.faults.broker.soak kills $(ARGS)

soak-beam: $(VENV)/test.stamp  ## 1,000,000 events through ingest and drain, all connections cut every few seconds, exactly once [ARGS="--packed"]
	@$(BIN)/python -m tests.faults.pipelines.soak $(ARGS)

fuzz: $(VENV)/test.stamp  ## hostile bytes for the codec and the broker, guided by coverage if atheris can be had [SECONDS=600]
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]" || echo "No atheris here."
	@$(BIN)/python -m tests.fuzz codec --seconds $(or $(SECONDS),600)
	@$(BIN)/python -m tests.fuzz engine --seconds $(or $(SECONDS),600)

format: $(VENV)/dev.stamp  ## put the code into its one format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

dist: $(VENV)/dev.stamp  ## wheel and sdist
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

clean:  ## remove what was made here
	rm -rf $(VENV) build dist demo-output *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flumebeam needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) && touch $@

define install
	@echo "Installing flumebeam$(1) into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(1)" && touch $@
endef

$(VENV)/run.stamp: $(VENV)/python.stamp setup.cfg pyproject.toml
	$(call install,)

$(VENV)/test.stamp: $(VENV)/python.stamp setup.cfg pyproject.toml
	$(call install,[test])
	@touch $(VENV)/run.stamp

$(VENV)/dev.stamp: $(VENV)/python.stamp setup.cfg pyproject.toml
	$(call install,[test$(comma)dev])
	@touch $(VENV)/run.stamp $(VENV)/test.stamp
