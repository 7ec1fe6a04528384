# Each command sets up what it needs: a virtual environment from the pinned lock, with the hash of every package checked.
PYTHON ?=
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes

COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
LOCK := $(COMPILE) pyproject.toml

# foreign clients of the exchange, in environments of their own: two of them have packages of the same name as a third
CLIENTS := .venv-clients
CLIENT_LOCKS := tests/conformance/locks
AXE := $(CLIENTS)/axe
CLIENT_GROUPS := clients spot-connector usdm-connector signalr

# modules are compiled once, at their first import
unexport PYTHONDONTWRITEBYTECODE

CHART := api/dashboard/vendor/lightweight-charts.standalone.production.mjs

.PHONY: run demo dev compiled test test-fast test-plain collected laws check check-platforms conformance readers operations bench bench-long bench-peers soak fresh image wheel lock lock-clients licences picture pictures dashboard clean help

help:      ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

$(RUN):
	@python=$$(PYTHON='$(PYTHON)' deploy/python.sh $(VENV)-uv) && $$python -m venv $(VENV)

$(READY): deploy/requirements.lock | $(RUN)
	@echo 'make: installing what runs into $(VENV), 600 MB: a minute or two, once'
	@$(PIP) -r deploy/requirements.lock
	@touch $(READY)

# what runs, and what developers need besides, in the same versions; by uv, which takes an eighth of pip's time, and by pip
# where uv fails, as it does not know pip's settings
$(READY_DEV): deploy/requirements-dev.lock | $(RUN)
	@echo 'make: installing the tools of developers into $(VENV) besides: a minute or two, once'
	@awk '/^uv==/,!/\\$$/' $< >$(VENV)/uv.lock && $(PIP) -r $(VENV)/uv.lock
	@$(VENV)/bin/uv pip install --quiet --python $(RUN) --require-hashes -r $< || $(PIP) -r $<
	@touch $(READY) $(READY_DEV)

# it is in the repository; without it the page says so and shows everything else
$(CHART): | $(READY)
	@$(RUN) deploy/chart.py || true

compiled: | $(RUN)  ## what is written in C, in place, where there is a compiler: two seconds, once
	@$(RUN) deploy/extensions.py || true

dev: $(READY_DEV) compiled  ## the environment with the tools of developers, a notebook's too

dashboard: $(READY)  ## fetches the page's chart library anew, as api/dashboard/package-lock.json names it
	$(RUN) deploy/chart.py

run: $(READY) $(CHART) compiled  ## the live exchange
	$(RUN) -m flows run || test $$? -eq 130

demo: $(READY) $(CHART) compiled  ## the same flow against the bundled replay exchange; needs no network
	@$(RUN) -m flows demo || test $$? -eq 130

# without npm or a network the tests of accessibility are left out
$(AXE)/.ready: tests/axe/package-lock.json
	@rm -rf $(@D) && mkdir -p $(@D)
	@cp tests/axe/package.json tests/axe/package-lock.json $(@D)
	@! command -v npm >/dev/null || npm ci --prefix $(@D) --ignore-scripts --silent --no-fund --no-audit && touch $@ || true

# most of what they take is waiting for one another's processes: three workers a core
test: $(READY_DEV) $(CHART) $(AXE)/.ready compiled  ## all tests
	$(RUN) -m pytest -n 6 --dist worksteal

collected: $(READY_DEV)  ## compiles the tests once, before six workers would each do so
	@$(RUN) -m pytest --collect-only -q >$(VENV)/collected || { cat $(VENV)/collected; exit 1; }

test-fast: $(READY_DEV) compiled  ## those that need no browser, no database and no processes
	$(RUN) -m pytest -n 2 --dist worksteal -m 'not e2e and not database and not slow'

# of the folders of the flow's machines those with parts in C
PLAIN := $(addprefix tests/flows/operators/,books candles runs trades test_*.py)

test-plain: $(READY_DEV)  ## what is also written in C, in plain Python: those of the machines and parsers
	MARKETFLOW_NO_EXTENSIONS=1 $(RUN) -m pytest -q -n 2 $(PLAIN) tests/flows/modules/test_compiled.py tests/sources/binance/test_parse.py tests/sinks/trades/test_record_checks.py

laws: $(READY_DEV) compiled  ## the laws with ten times the examples
	THOROUGH=1 $(RUN) -m pytest -n 2 $$(grep -rlE 'hypothesis|fakes.examples' tests --include='test_*.py')

check: $(READY_DEV)  ## style, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports >$(VENV)/layers 2>&1 & layers=$$!; \
	$(VENV)/bin/mypy; code=$$?; wait $$layers || code=1; cat $(VENV)/layers; exit $$code

operations: $(READY_DEV)  ## rules, alerts, routes and boards by promtool and amtool; image, compose and manifests by their linters
	@command -v promtool amtool >/dev/null || { echo 'promtool and amtool are in the packages prometheus and prometheus-alertmanager'; exit 1; }
	promtool check config deploy/observation/prometheus/prometheus.yml
	promtool test rules deploy/observation/prometheus/rules_test.yml
	amtool check-config deploy/observation/alertmanager/alertmanager.yml
	$(RUN) -m pytest -q tests/deploy/test_observation.py tests/deploy/test_containers.py tests/deploy/test_kubernetes.py tests/deploy/test_sbom.py

check-platforms: $(READY_DEV)  ## whether the locks resolve for every platform; asks PyPI
	$(RUN) -m tests.platforms

$(CLIENTS)/%/.ready: $(CLIENT_LOCKS)/%.lock | $(READY_DEV)
	@rm -rf $(@D)
	$(VENV)/bin/uv venv --quiet --no-project --python $(RUN) $(@D)
	$(VENV)/bin/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

# without Node its clients are left out
$(CLIENTS)/node/.ready: $(CLIENT_LOCKS)/package-lock.json
	@rm -rf $(@D) && mkdir -p $(@D)
	@cp $(CLIENT_LOCKS)/package.json $(CLIENT_LOCKS)/package-lock.json $(@D)
	@! command -v npm >/dev/null || npm ci --prefix $(@D) --ignore-scripts --silent --no-fund --no-audit
	@touch $@

conformance: $(CLIENT_GROUPS:%=$(CLIENTS)/%/.ready) $(CLIENTS)/node/.ready  ## foreign clients against the replay exchange; ONLY='ccxt*' names some
	$(RUN) -m tests.conformance $(if $(ONLY),'$(ONLY)')

readers: $(CLIENTS)/readers/.ready  ## pandas, pyarrow and duckdb read back what is exported, in an environment of their own of 340 MB; PyPI
	$(RUN) -m pytest -q tests/sinks/export/test_foreign_readers.py

bench: $(READY_DEV) $(CHART) compiled  ## speed, as ratios within one run
	$(RUN) -m tests.benchmarks

bench-long: $(READY_DEV) compiled  ## the parts of it that wait: kills, imports, hours of market; an hour
	$(RUN) -m tests.benchmarks long

bench-peers: $(READY_DEV) compiled $(CLIENTS)/clients/.ready  ## the flow beside cryptofeed, nautilus_trader and ccxt, in turns; PyPI
	$(RUN) -m tests.benchmarks.peers

soak: $(READY_DEV) compiled  ## whether it stays as fast and as small: ten minutes, or make soak MINUTES=60
	$(RUN) -m tests.benchmarks soak --minutes $(or $(MINUTES),10)

fresh:     ## the README's commands in a bare Debian made for it; needs root, debootstrap and a network
	@tests/fresh.sh $(or $(STEPS),demo)

image:     ## the image of deploy/Containerfile, built and run; needs root, buildah, runc, debootstrap and a network
	@tests/image.sh

wheel: $(READY_DEV) $(CHART)  ## builds the wheel and the source distribution in dist/
	$(RUN) -m hatchling build

lock: $(READY_DEV)  ## pins every package anew, with hashes and without addresses
	$(LOCK) --extra bus --extra fast --extra kafka --upgrade -o deploy/requirements.lock
	$(LOCK) --group dev -c deploy/requirements.lock --upgrade -o deploy/requirements-dev.lock

lock-clients: $(READY_DEV)  ## pins the foreign clients of make conformance anew
	@set -e; for group in $(CLIENT_GROUPS) readers; do \
		$(COMPILE) $(CLIENT_LOCKS)/$$group.in --upgrade -o $(CLIENT_LOCKS)/$$group.lock; done
	for folder in $(CLIENT_LOCKS) tests/axe; do (cd $$folder && npm install --package-lock-only --omit-lockfile-registry-resolved --silent --no-fund --no-audit) || exit 1; done

picture: $(READY_DEV)  ## brings the picture of the flow and the generated tables in docs/ up to date
	$(RUN) -m tests.picture
	$(RUN) -m tests.settings_table
	$(RUN) -m tests.commands_page
	$(RUN) -m tests.fault_table
	$(RUN) -m tests.boards
	$(RUN) -m tests.reading_list
	$(RUN) -m tests.sbe_codec

licences: $(READY_DEV)  ## brings docs/licences.md up to date with what is installed
	$(RUN) -m tests.licences

pictures: $(READY_DEV) $(CHART) compiled  ## draws the pictures in docs/ anew, which takes four minutes, py-spy and chromium
	$(RUN) -m tests.benchmarks.pictures

clean:     ## forgets the environments; data/ stays
	rm -rf $(VENV) $(VENV)-uv $(CLIENTS)
