# Everything a developer does here, by name. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Environments of Python, made on demand from pinned requirements.
CLIENTS := .venv
NOTEBOOKS := notebooks/.venv
API := .venv-api
MONITORING := .venv-monitoring
SDKS := tests/clients/.venv
WIRE := tests/python/postgres/.venv
SIDE_BY_SIDE := benches/.venv

# `make bench EVENTS=200000 QUERY_EVENTS=200000` for a short run.
EVENTS ?= 2000000
QUERY_EVENTS ?= 20000000
REPETITIONS ?= 7
BENCH_FLAGS ?=
# `make api API_EXAMPLES=200 API_SEED=7` for a longer run of other requests.
API_EXAMPLES ?= 5
API_SEED ?= 1
# `make soak SOAK_MINUTES=10 SOAK_SEED=7` for a shorter run with the same faults.
SOAK_MINUTES ?= 30
SOAK_SEED ?=

.PHONY: help setup page browser demo build test fmt fmt-check lint doc deny unit clients sdks postgres readme hostile truth notebooks api \
  monitoring bench soak coverage clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## check that the tools are there, and say what is missing (redis-server and prometheus are installed, as root)
	@scripts/setup.sh

# Where there is no npm, the binary has a page that says how to build the real one.
demo: ## build Tideline and try it on sample shop traffic
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory page; \
	else echo "npm is not installed: building without the dashboard"; fi
	cargo build --profile demo --workspace
	target/demo/tideline demo

build: page ## the release build: target/release/tideline
	cargo build --release -p tideline

# The order is cheap first, and the tests' own closing line last.
test: setup page fmt-check deny lint doc clients readme hostile truth notebooks api monitoring browser unit ## everything CI checks

page: dashboard/dist/index.html ## build the dashboard, which the next cargo build takes in

dashboard/node_modules/.package-lock.json: dashboard/package.json dashboard/package-lock.json
	cd dashboard && npm ci --no-audit --no-fund
	@touch $@

PAGE_SOURCES := $(shell find dashboard/src dashboard/public dashboard/scripts -type f 2> /dev/null)

dashboard/dist/index.html: dashboard/node_modules/.package-lock.json dashboard/index.html dashboard/vite.config.ts \
    dashboard/tsconfig.json $(PAGE_SOURCES)
	cd dashboard && npm run --silent build

browser: page ## the dashboard's tests: its logic, and the page in Chromium against a real server
	cd dashboard && npm test --silent
	cargo build --workspace --locked
	cd dashboard && npm run --silent browser

fmt: ## format the code
	cargo fmt --all

fmt-check:
	cargo fmt --all --check

lint: ## clippy, warnings denied
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: ## documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

deny: ## licences, duplicates and sources of the dependencies
	@if cargo deny --version > /dev/null 2>&1; then \
	  cargo deny --locked check bans licenses sources; \
	else \
	  echo "cargo-deny is not installed: checking the same deny.toml with scripts/check_dependencies.py"; \
	  scripts/check_dependencies.py; \
	fi

unit: ## the Rust tests
	cargo test --workspace --doc --locked --quiet
	@scripts/skipped.sh
	@if cargo nextest --version > /dev/null 2>&1; then \
	  cargo nextest run --workspace --locked; \
	else \
	  echo "cargo-nextest is not installed: running cargo test"; \
	  cargo test --workspace --all-targets --locked; \
	fi

clients: $(CLIENTS)/ready sdks postgres ## deltalake, polars and pyarrow read the table while the server writes; `sdks` and `postgres`
	cargo build --workspace --locked
	$(CLIENTS)/bin/python tests/python/open_table.py --tideline target/debug/tideline
	$(CLIENTS)/bin/python tests/python/export_folder.py --tideline target/debug/tideline

sdks: $(SDKS)/ready tests/clients/node_modules/.package-lock.json ## SDKs of Segment, RudderStack and PostHog, one in Chromium, against a server that fails and dies
	cargo build --workspace --locked
	$(SDKS)/bin/python tests/clients/run.py --tideline target/debug/tideline

tests/clients/node_modules/.package-lock.json: tests/clients/package.json tests/clients/package-lock.json
	cd tests/clients && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

postgres: $(WIRE)/ready ## psql, psycopg, asyncpg, SQLAlchemy, pgJDBC and Grafana's queries over the Postgres wire
	cargo build --workspace --locked
	$(WIRE)/bin/python tests/python/postgres/run.py --tideline target/debug/tideline

api: $(API)/ready ## requests made from /openapi.json: no 5xx, and no answer that it does not name
	cargo build --workspace --locked
	$(API)/bin/python tests/python/api/run.py --tideline target/debug/tideline --examples $(API_EXAMPLES) --seed $(API_SEED)

monitoring: $(MONITORING)/ready ## what is in deploy/, a real Prometheus with its rules, every name and SQL text of a dashboard
	cargo build --workspace --locked
	$(MONITORING)/bin/python tests/python/monitoring/run.py --tideline target/debug/tideline

readme: $(CLIENTS)/ready ## the README's first steps, pasted into a shell; and every link of the documents
	cargo build --workspace --locked
	$(CLIENTS)/bin/python tests/python/readme.py --tideline target/debug/tideline

hostile: ## refused SQL, slow and hostile clients, and a search for secrets, against real processes
	cargo build --workspace --locked
	python3 tests/python/sql_guard.py --tideline target/debug/tideline
	python3 tests/python/hostile_http.py --tideline target/debug/tideline
	python3 tests/python/no_secrets.py --tideline target/debug/tideline

soak: ## half an hour under traffic with faults at random; SOAK_MINUTES and SOAK_SEED choose another run
	cargo build --workspace --locked
	python3 tests/python/soak.py --tideline target/debug/tideline --minutes $(SOAK_MINUTES) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

coverage: ## which lines the Rust tests reach; report in target/coverage
	scripts/coverage.sh

truth: ## every metric, worked out a second time in Python, over a known week and over shops made up at random
	cargo build --workspace --locked
	python3 tests/python/truth.py --tideline target/debug/tideline

notebooks: $(NOTEBOOKS)/ready ## run the notebooks against a server with a made-up season; their figures must agree with the metrics
	cargo build --workspace --locked
	$(NOTEBOOKS)/bin/python notebooks/run.py --tideline target/debug/tideline

bench: $(SIDE_BY_SIDE)/ready ## side by side with DuckDB and chDB; results in benches/results/
	TIDELINE_STUB_PAGE=1 cargo build --release --workspace
	$(SIDE_BY_SIDE)/bin/python -m benches.side_by_side \
	  --events $(EVENTS) --query-events $(QUERY_EVENTS) --repetitions $(REPETITIONS) $(BENCH_FLAGS)

%/.venv/ready: %/requirements.txt
	scripts/venv.sh $(@D) $<

$(CLIENTS)/ready: tests/python/requirements.txt
	scripts/venv.sh $(@D) $<

$(API)/ready: tests/python/api/requirements.txt
	scripts/venv.sh $(@D) $<

$(MONITORING)/ready: tests/python/monitoring/requirements.txt
	scripts/venv.sh $(@D) $<

clean: ## remove what `make` made, but not the compiled dependencies
	rm -rf $(CLIENTS) $(NOTEBOOKS) $(API) $(MONITORING) $(SDKS) $(SIDE_BY_SIDE) tests/clients/node_modules benches/data .demo-data \
	  dashboard/dist dashboard/node_modules dashboard/test-results
	cargo clean -p tideline -p tideline-engine -p tideline-benches
