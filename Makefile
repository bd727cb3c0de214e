# Everything a person types. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
export INSTANCE ?= default
# GATE=oathkeeper make up: Envoy asks Oathkeeper instead of authz.
ifdef GATE
export GATEHOUSE_GATE := $(GATE)
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: ## Start the native stack (INSTANCE=name for a second one, GATE=oathkeeper for the other gate)
	@stack/run up

.PHONY: dev
dev: ## The same with next dev, and Go services rebuilt on change
	@stack/run up --dev

.PHONY: down
down: ## Stop it
	@stack/run down

.PHONY: status
status: ## Show the state of every process
	@stack/run status

.PHONY: logs
logs: ## Follow the logs (SERVICE=kratos for one)
	@stack/run logs $(SERVICE)

.PHONY: reset
reset: ## Stop it and delete its data, after asking (YES=1 does not ask)
	@stack/run reset $(if $(YES),--yes)

.PHONY: demo
demo: ## Print the demo's credentials as KEY=value lines (STACK=compose for docker compose)
ifeq ($(STACK),compose)
	@docker compose --progress quiet run --rm -T --no-deps seed demo --compose
else
	@stack/run demo
endif

.PHONY: test
test: unit integration smoke ## Everything: unit tests, then real servers, then the smoke suite with both gates

.PHONY: unit
unit: ## Tests without services
	@stack/test unit

.PHONY: integration
integration: ## Tests of the Go services against a real Postgres
	@stack/test integration

.PHONY: smoke
smoke: ## The native stack and the smoke suite, with both gates and a browser
	@stack/test smoke

.PHONY: smoke-compose
smoke-compose: ## docker compose up and the same smoke suite
	@stack/test compose

.PHONY: story
story: ## Two people, an organization, a gateway, machines: what they are allowed and denied, told over HTTP on a running stack
	@stack/test story

.PHONY: differential
differential: ## Compare authz with the real Oathkeeper (N=100000 for more, SEED=n to repeat a run)
	@stack/test differential $(or $(N),4000) $(or $(SEED),0)

.PHONY: fuzz
fuzz: ## Look for inputs that break a promise, in every fuzz target (TIME=30s for each)
	@stack/test fuzz $(or $(TIME),30s)

.PHONY: bench-authz
bench-authz: ## What a decision costs with authz and Oathkeeper, into docs/performance.md (RUNS=1 to try, writes nothing)
	@RUNS=$(RUNS) stack/test bench_authz

.PHONY: bench-api
bench-api: ## Pages, permits and convergence of the API over a million people, into docs/performance.md (SHARE=0.1 tries with a tenth)
	@SHARE="$(SHARE)" stack/test bench_api

.PHONY: soak
soak: ## authz under load with outages and changing rules, each answer judged (MINUTES=5)
	@stack/test soak $(or $(MINUTES),5)

.PHONY: lint
lint: ## golangci-lint, Biome, tsc, and that generated code is up to date
	@stack/test lint

.PHONY: generate
generate: ## Write generated code anew
	@stack/test generate
