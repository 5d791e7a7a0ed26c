# Two commands on a fresh machine: `make demo` and `make test`. Both set up all they need first: Python packages in
# .venv; for tests and `make up` also RabbitMQ (a package of the machine) and MinIO (built into LANDSERIES_CACHE).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVICES := fetcher indexer clusterer pseudolabeler sampler trainer mapper assessor
# Every distribution under services/: the pipeline's services, and the bridge to batch systems.
DISTRIBUTIONS := $(SERVICES) bridge
# Where real test data lies; tests that need it say so where it is absent.
export LANDSERIES_TEST_DATA ?= $(realpath ../shared/data)
# A package index with the CPU build of PyTorch, for machines without a GPU: make demo TORCH_INDEX=URL
TORCH_INDEX ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Tests wait for servers about as long as they compute.
TEST_JOBS ?= $(shell expr $(JOBS) + 1)
# Where the environment forbids to keep bytecode, each of the hundreds of processes of a run or of the tests would compile
# PyTorch and the like from their sources.
export PYTHONDONTWRITEBYTECODE :=

DEMO := demo
DEMO_SEED ?= 7
BENCH := bench
# Folder of the broker, the store and the workers that `make up` starts, and workers of each service.
UP := up
WORKERS ?= 1

# Images: what they are called and built on. BUILD_ENV names a file with settings of this machine (lines such as
# UV_DEFAULT_INDEX=URL) that builds see and no image keeps, BUILD_CERTIFICATES one with the certificates that they trust.
IMAGES ?= fetcher indexer rabbitmq minio
export REGISTRY ?= localhost/landseries
export BASE_IMAGE ?= docker.io/library/python:3.11-slim-bookworm
export BUILD_ENV BUILD_CERTIFICATES TORCH_INDEX

.PHONY: help setup servers demo up down images sbom sif chart-tools chart-docs test test-images test-deployment test-kubernetes \
  test-bridge faults fuzz lint bench clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 12

setup: $(VENV)/ready ## Install landseries and its tools into .venv

$(VENV)/ready: constraints.txt pyproject.toml shared/pyproject.toml $(DISTRIBUTIONS:%=services/%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	  rm -rf $(VENV); echo "Python's venv module is missing, installing it"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
	  else sudo apt-get update -qq && sudo apt-get install -y -qq python3-venv >/dev/null; fi; \
	  $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install -q --disable-pip-version-check uv -c constraints.txt
	$(if $(TORCH_INDEX),$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --no-deps --default-index $(TORCH_INDEX) torch)
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt \
	  -e './shared[torch,simulation]' $(DISTRIBUTIONS:%=-e ./services/%) --group dev
	@touch $@

demo: setup ## Simulate an archive, map three years, and open the report's path (about 4 minutes on 2 cores)
	@start=$$(date +%s); \
	$(BIN)/landseries simulate $(DEMO)/archive --seed $(DEMO_SEED) --size 512 --jobs $(JOBS); \
	$(BIN)/landseries check examples/demo.yaml --workdir $(DEMO)/work; \
	$(BIN)/landseries run examples/demo.yaml --workdir $(DEMO)/work --jobs $(JOBS); \
	echo "demo: $$(( $$(date +%s) - start )) s"

servers: setup ## Install RabbitMQ and build MinIO, once per machine
	$(BIN)/python -m landseries.local.install

up: servers ## Start RabbitMQ, MinIO and the workers here, in the background
	$(BIN)/landseries up --folder $(UP) --workers-per-service $(WORKERS)

down: ## End what `make up` started; its data stay
	$(BIN)/landseries down --folder $(UP)

images: ## Build the image of every service, and of MinIO and RabbitMQ, with podman
	containers/build $(SERVICES) minio rabbitmq

sbom: setup ## Write the bill of materials (CycloneDX) of every service's image below build/sbom
	UV=$(BIN)/uv containers/sbom $(SERVICES)

chart-tools: setup ## Build Helm and helm-docs into LANDSERIES_CACHE, once per machine
	$(BIN)/python -m landseries.local.install helm helm-docs promtool

chart-docs: chart-tools ## Write the chart's README from the comments of its values
	$$($(BIN)/python -c 'from landseries.local.programs import find_tool; print(find_tool("helm-docs"))') -c charts

test: setup ## Run all tests; those with a real RabbitMQ or MinIO are skipped aloud where it cannot be installed
	@{ $(BIN)/python -m landseries.local.install && $(BIN)/python -m landseries.local.install helm helm-docs promtool; } \
	  || { test "$${CI:-}" != true && echo "Going on without" >&2; }
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_JOBS) --dist loadgroup --no-loadscope-reorder --ignore tests/benchmarks -m 'not deployment'

test-images: setup ## Build the images of IMAGES, and prove those of fetcher and indexer with their part of a run
	containers/build $(IMAGES)
	OMP_NUM_THREADS=1 $(BIN)/pytest -v tests/deployment/test_light_images.py tests/deployment/test_broker_image.py

test-deployment: images chart-tools ## Build images and SIFs, and prove them, the chart in the cluster of KUBECONFIG, and the bridge
	@if [ -z "$${LANDSERIES_TEST_SIFS:-}" ] && command -v "$${APPTAINER:-apptainer}" >/dev/null; then $(MAKE) sif; fi
	LANDSERIES_TEST_SIFS=$${LANDSERIES_TEST_SIFS:-$(CURDIR)/build/sif} OMP_NUM_THREADS=1 $(BIN)/pytest -v -rsP --show-capture=stdout tests/deployment

test-kubernetes: chart-tools ## Prove the chart in the cluster of KUBECONFIG, whose nodes have the images
	OMP_NUM_THREADS=1 $(BIN)/pytest -v tests/deployment/test_kubernetes.py

test-bridge: servers ## Prove the bridge to batch systems with the Slurm that is on PATH
	OMP_NUM_THREADS=1 $(BIN)/pytest -v tests/deployment/bridge

sif: ## Build the SIFs of trainer and mapper from their images (after `make images`), for clusters, with Apptainer
	apptainer/build trainer mapper

faults: servers ## Disturb distributed runs in every way, five seeds, and compare every byte; and a source's answers
	$(BIN)/python -m tests.faults.run --seeds 1 2 3 4 5
	$(BIN)/python -m tests.faults.sources --faults 500

fuzz: setup ## Damage archives, metadata, images and catalogue items for ten minutes
	$(BIN)/python -m tests.fuzz --minutes 10

lint: setup ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p landseries $(DISTRIBUTIONS:%=-p landseries_%)

bench: setup ## Measure kernels beside their competitors, and the paper's settings on seeds that nothing was tuned on
	$(BIN)/pytest tests/benchmarks --benchmark-only --benchmark-columns=min,median,rounds -q -s
	$(BIN)/python -m tests.benchmarks.paper --folder $(BENCH)

clean: ## Remove what demo and bench wrote (`landseries down --purge` removes what up wrote)
	rm -rf $(DEMO) $(BENCH)
