# The project's jobs. Each installs what it needs and misses, on Debian 12 with Swift.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

SWIFT  ?= swift
PREFIX ?= /usr/local
# Extra arguments for pytest, such as PYTEST_ARGS="-k hairpin".
PYTEST_ARGS ?=
# Where integration-tests reports to.
REPORT ?= integration
# Arguments for benchmarks/run, such as BENCH_ARGS=--quick.
BENCH_ARGS ?=

RELAYD  := .build/release/relayd
VENV    := .build/venv
RESULTS := .build/test-results

# What the Swift toolchain needs to build C, C++ and packages from git, the libraries for YAML and io_uring, and what
# builds and loads the XDP program.
BUILD_PACKAGES := binutils ca-certificates clang git libbpf-dev libc6-dev libelf-dev libstdc++-12-dev liburing-dev \
                  libyaml-dev zlib1g-dev
# The clients that the program is run under, and what watches the wire meanwhile.
CLIENT_PACKAGES := coturn
TEST_PACKAGES   := $(CLIENT_PACKAGES) chromium ethtool iproute2 openssl python3 python3-venv tcpdump util-linux
# What makes the Debian package, and what reads everything under deploy/.
DEB_PACKAGES    := binutils chrpath dpkg-dev git
DEPLOY_PACKAGES := $(DEB_PACKAGES) clang gcc groff-base libbpf-dev libc6-dev libssl-dev lintian make mandoc python3 \
                   python3-venv systemd
BENCH_PACKAGES  := $(CLIENT_PACKAGES) clang ethtool gcc iproute2 libbpf-dev libc6-dev libssl-dev linux-perf make procps \
                   python3

.PHONY: help run test check format bench clean install release toolchain unit-tests address-tests \
        integration-tests build-micro allocation-tests deploy-tests deb reference bench-planes bench-micro bench-xdp

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: release ## build release and start a demonstration relay on loopback
	@scripts/install-missing $(CLIENT_PACKAGES)
	@$(RELAYD) --demo

test: ## build and run everything that tests, then count it
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	@status=0; $(MAKE) -k unit-tests release $(VENV)/.complete || status=1; \
	  $(MAKE) build-micro >$(RESULTS)/build-micro.log 2>&1 & builder=$$!; \
	  $(MAKE) integration-tests REPORT=clients PYTEST_ARGS="-k test_clients" >$(RESULTS)/clients.log 2>&1 & clients=$$!; \
	  $(MAKE) integration-tests PYTEST_ARGS=--ignore=Tests/Integration/test_clients.py || status=1; \
	  wait $$clients || status=1; cat $(RESULTS)/clients.log; wait $$builder; \
	  $(MAKE) -k allocation-tests deploy-tests check || status=1; \
	  scripts/summary $(RESULTS) && exit $$status

unit-tests: toolchain ## run the Swift tests
	@mkdir -p $(RESULTS)
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --disable-xctest --xunit-output $(RESULTS)/unit.xml

address-tests: toolchain ## run what makes and closes sockets under the address sanitizer
	$(SWIFT) build --build-tests --sanitize=address --scratch-path .build/address
	LSAN_OPTIONS=print_suppressions=0:suppressions=$(abspath Tests/foundation.supp) \
	  $(SWIFT) test --skip-build --disable-xctest --sanitize=address --scratch-path .build/address \
	  --filter "PlaneConformanceTests|DataPlane"

integration-tests: release $(VENV)/.complete ## run real clients against the release build
	@mkdir -p $(RESULTS)
	PYTEST_ARGS="$(PYTEST_ARGS)" scripts/integration $(VENV)/bin/python $(RELAYD) $(RESULTS)/$(REPORT).xml

deploy-tests: release $(VENV)/.complete ## hold deploy/ and docs/ against the tools that read them, and the program; test the benchmark harness
	@scripts/install-missing $(DEPLOY_PACKAGES)
	@mkdir -p $(RESULTS)
	RELAYD_BINARY=$(abspath $(RELAYD)) $(VENV)/bin/python -B -m pytest -p no:cacheprovider --tb=short -ra --junit-xml=$(RESULTS)/deploy.xml \
	  $(PYTEST_ARGS) Tests/Deploy

# The integration tests wait more than they work: `test` runs them in two halves, and builds this beside them. What goes
# wrong here is said by the next one.
build-micro: toolchain
	cd benchmarks/micro && $(SWIFT) build --configuration release --product micro

allocation-tests: toolchain ## count heap allocations and reference counts an operation against what git says
	cd benchmarks/micro && $(SWIFT) run --configuration release micro --check thresholds.json

check: toolchain ## lint, build with warnings as errors, look for untidy code
	@scripts/install-missing python3
	$(SWIFT) format lint --strict --parallel --recursive Sources Tests Package.swift
	scripts/tidy
	$(SWIFT) build --build-tests

format: toolchain ## format all Swift files in place
	$(SWIFT) format --in-place --parallel --recursive Sources Tests Package.swift

bench: release ## measure what a relayed packet costs, beside other relays (as root, 35 minutes)
	@scripts/install-missing $(BENCH_PACKAGES)
	@if [ "$$(id -u)" -eq 0 ]; then benchmarks/run $(BENCH_ARGS); else sudo benchmarks/run $(BENCH_ARGS); fi

bench-planes: ## hold io_uring against sockets and coturn, window by window (as root, 20 minutes)
	@$(MAKE) bench BENCH_ARGS="--parts duels --out benchmarks/out/planes --report benchmarks/PLANES.md $(BENCH_ARGS)"

bench-micro: toolchain ## time single operations, for the next report of make bench
	@mkdir -p benchmarks/out
	cd benchmarks/micro && $(SWIFT) run --configuration release micro --json ../out/micro.json

bench-xdp: toolchain ## run the XDP program by the kernel's own test, for the next report (as root)
	@mkdir -p benchmarks/out
	RELAYD_MEASURE=1 RELAYD_MEASURE_JSON=$(CURDIR)/benchmarks/out/xdp-costs.json \
	  $(SWIFT) test --configuration release --disable-xctest --filter CostTests

release: toolchain ## build .build/release/relayd
	$(SWIFT) build --configuration release --static-swift-stdlib --product relayd

deb: release ## build a Debian package in .build
	@scripts/install-missing $(DEB_PACKAGES)
	scripts/package-deb $(RELAYD) .build

reference: release ## write the pages that are made from the list of options
	$(RELAYD) options --format markdown >docs/configuration.md
	$(RELAYD) options --format man >deploy/man/relayd.8
	$(RELAYD) options --format yaml >deploy/relayd.yaml

install: release ## install relayd under PREFIX (default /usr/local)
	install -D -m 755 $(RELAYD) $(DESTDIR)$(PREFIX)/bin/relayd
	install -D -m 644 deploy/man/relayd.8 $(DESTDIR)$(PREFIX)/share/man/man8/relayd.8

clean: ## remove everything that was built
	rm -rf .build benchmarks/micro/.build benchmarks/out

toolchain:
	@command -v $(SWIFT) >/dev/null || { \
	  echo "Swift 6.3 or newer is needed and '$(SWIFT)' was not found: https://www.swift.org/install/linux/" >&2; exit 1; }
	@scripts/install-missing $(BUILD_PACKAGES)

$(VENV)/.complete: Tests/Integration/requirements.txt
	@scripts/install-missing $(TEST_PACKAGES)
	rm -rf $(VENV)
	/usr/bin/python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
