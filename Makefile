# make demo   a small Moodle-shaped site with backup, exporter, Prometheus and Alertmanager (Ctrl-C ends it)
# make test   every test, against real programs; as root it installs what is missing
# make run    the exporter on this host, nothing else
# make lint, make bench, make proof, make build

SHELL := /bin/sh
BINARY := bin/moodle-exporter
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
STAMP := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(STAMP).Version=$(VERSION) -X $(STAMP).Revision=$(REVISION)
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/moodle-exporter/tools
# Where the state of make run goes for a user who is not root.
RUN_STATE := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)/moodle-exporter

.PHONY: build test demo run lint bench proof clean
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/moodle-exporter

test: build
	scripts/install-tools test
	MOODLE_EXPORTER_BINARY=$(CURDIR)/$(BINARY) $(GO) test -count=1 -timeout 15m ./...

demo: build
	scripts/install-tools demo
	$(GO) run ./test/demo -exporter $(BINARY)

run: build
	@if [ "$$(id -u)" = 0 ]; then exec $(BINARY) serve $(ARGS); else exec $(BINARY) serve --state.dir=$(RUN_STATE) $(ARGS); fi

lint:
	scripts/install-tools lint
	$(TOOLS)/golangci-lint run ./...

bench: build
	scripts/install-tools bench
	MOODLE_EXPORTER_BINARY=$(CURDIR)/$(BINARY) $(GO) run ./test/bench $(ARGS)

proof: build
	scripts/install-tools test
	MOODLE_EXPORTER_BINARY=$(CURDIR)/$(BINARY) scripts/proof $(ARGS)

clean:
	rm -rf bin dist
