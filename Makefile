# Everything that is done with this repository. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Variables of `make local`: KEEP=1 leaves the environment up; PORT and SQL_PORT choose other ports, 0 any free one.
# SQLSERVER_URL puts a real SQL Server in the place of the local one (docs/local.md).
KEEP ?=
PORT ?= 4566
SQL_PORT ?= 14333

PYTHON := .venv/bin/python
NODE_TOOLS := node_modules/.stamp
LOCAL_TOOLS := .venv/.stamp-local
TEST_TOOLS := .venv/.stamp-test

# The functions' own flags (constructs/gobuild) for everything that make builds: a cold cache compiles what they share once.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export NODE_NO_WARNINGS := 1

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r t d; do printf '  make %-14s %s\n' "$$t" "$$d"; done

.PHONY: local
local: check ## deploy and run the four pipelines on this machine; KEEP=1 leaves them up
	@$(MAKE) -j3 .local-ready
	@bin/local up -port $(PORT) -sql-port $(SQL_PORT) $(if $(KEEP),-keep)

.PHONY: local-down
local-down: bin/local ## end what `make local KEEP=1` left up
	@bin/local down

.PHONY: local-sql
local-sql: bin/local ## run T-SQL in it: Q="SELECT …"
	@bin/local sql $(call quote,$(Q))

.PHONY: local-tick
local-tick: bin/local ## fire the next run of a pipeline in it: P=fraud
	@bin/local tick $(call quote,$(P))

.PHONY: local-predict
local-predict: bin/local ## ask a pipeline's endpoint in it: P=fraud
	@bin/local predict $(call quote,$(P))

.PHONY: test
test: check ## everything that CI checks: vet, unit tests, templates, workflow, end to end
	@$(MAKE) -j3 .test-ready
	go vet ./...
	@# -count=1: many tests run programs that Go doesn't know to be their inputs (Python, the CDK CLI, deployed functions).
	go test -count=1 -p 2 -timeout 20m ./...

.PHONY: lint
lint: check ## format, vet and the linters of .golangci.yml
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted" >&2; exit 1; fi
	go vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint isn't installed: gofmt and vet only (https://golangci-lint.run)"; fi

.PHONY: bench
bench: check ## the benchmarks, and the export's peak memory at 200,000 and 4,000,000 rows
	@$(MAKE) -j3 .test-ready
	BENCH=1 go test -run '^TestPeakMemory$$' -v -timeout 20m ./lambda/internal/export
	go test -run '^$$' -bench . -benchmem ./lambda/... ./test/...

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: check ## each fuzz test for FUZZTIME (30s)
	@$(MAKE) -j3 .test-ready
	@go list ./... | while read -r package; do \
	  { go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true; } | while read -r name; do \
	    echo "$$package $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package"; \
	  done; \
	done

.PHONY: synth
synth: check $(NODE_TOOLS) ## the templates of every environment, in cdk.out
	npx --no-install cdk synth '*/**' --quiet

.PHONY: tools
tools: check $(NODE_TOOLS) $(TEST_TOOLS) ## install the pinned tools into node_modules and .venv

# What `make local` and `make test` need before they start. The downloads run beside the compilers.
.PHONY: .local-ready .test-ready
.local-ready: $(NODE_TOOLS) $(LOCAL_TOOLS) bin/local .app
.test-ready: $(NODE_TOOLS) $(TEST_TOOLS) .app

$(NODE_TOOLS): package-lock.json package.json .npmrc
	@echo "installing the CDK CLI into node_modules"
	@npm ci --silent
	@touch $@

# The marker is the interpreter itself; a folder's time changes with everything in it.
$(PYTHON):
	@echo "making a Python environment in .venv"
	@python3 -m venv .venv

$(LOCAL_TOOLS): test/local/aws/requirements.txt | $(PYTHON)
	@echo "installing the local AWS into .venv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r test/local/aws/requirements.txt
	@touch $@

$(TEST_TOOLS): test/requirements.txt $(LOCAL_TOOLS)
	@echo "installing the tests' tools into .venv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r test/requirements.txt
	@touch $@

# Go knows best what has changed, so these always ask it.
.PHONY: bin/local .app
bin/local:
	@go build -o bin/local ./test/local
.app:
	@[ -x bin/app ] || echo "compiling the CDK app: about two minutes the first time"
	@go build -o bin/app .

# One line for each thing that is missing or too old, before anything else can fail with a page of text.
.PHONY: check
check:
	@check() { \
	  command -v "$$1" >/dev/null || { echo "make: $$1 is missing: $$2 $$3.$$4 or newer is needed ($$5)" >&2; exit 1; }; \
	  version=$$($$6 2>/dev/null | grep -oE '[0-9]+\.[0-9]+' | head -n 1); \
	  major=$${version%%.*}; minor=$${version#*.}; \
	  if [ "$${major:-0}" -lt "$$3" ] || { [ "$$major" -eq "$$3" ] && [ "$$minor" -lt "$$4" ]; }; then \
	    echo "make: $$2 is $${version:-of an unknown version}, it must be $$3.$$4 or newer ($$5)" >&2; exit 1; fi; \
	}; \
	check go Go 1 26 https://go.dev/dl 'go env GOVERSION'; \
	check node Node.js 20 0 https://nodejs.org 'node --version'; \
	check npm npm 9 0 'it comes with Node.js' 'npm --version'; \
	check python3 Python 3 11 https://www.python.org 'python3 --version'; \
	[ -x $(PYTHON) ] || python3 -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }

# quote makes one word of a variable for the shell.
quote = '$(subst ','\'',$(1))'
