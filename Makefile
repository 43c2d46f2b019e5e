# make demo   a small Moodle-shaped site with backup, exporter, Prometheus and Alertmanager (Ctrl-C ends it)
# make test   every test, against real programs; as root it installs what is missing
# make run    the exporter on this host, nothing else
# make lint, make bench, make proof, make build
# make cover  what of the code the tests reach, by function, in bin/cover.txt
# make race   the tests of what runs concurrently, with the race detector
# make fuzz   every reader of what others write, FUZZTIME=10s each
# make deb, make dist              a Debian package of this machine's kind; release archives and packages of all kinds
# make install, make uninstall     below PREFIX (/usr/local), for systems without Debian packages; DESTDIR is put before it

SHELL := /bin/sh
BINARY := bin/moodle-exporter
GO ?= go
VERSION ?= $(shell scripts/version)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
STAMP := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(STAMP).Version=$(VERSION) -X $(STAMP).Revision=$(REVISION)
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/moodle-exporter/tools
# The date in packages: equal sources make equal packages, whenever and wherever they are made.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date -r CHANGELOG.md +%s)
DIST := dist
ARCHES := amd64 arm64
PREFIX := /usr/local
# Where the state of make run goes for a user who is not root.
RUN_STATE := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)/moodle-exporter

compile = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(1) ./cmd/moodle-exporter
package = VERSION=$(VERSION) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) scripts/package

.PHONY: build test demo run lint bench proof cover race fuzz deb dist install uninstall clean
build:
	$(call compile,$(BINARY))

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

cover: build
	scripts/install-tools test
	MOODLE_EXPORTER_BINARY=$(CURDIR)/$(BINARY) $(GO) test -count=1 -timeout 30m -coverpkg=./... -coverprofile=bin/cover.out ./...
	$(GO) tool cover -func=bin/cover.out >bin/cover.txt
	tail -n 1 bin/cover.txt

# The race detector has memory of its own: how flat ours is, it cannot tell.
race:
	scripts/install-tools test
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 60m -skip 'MemoryIsFlat$$' ./collector/... ./internal/... ./backup/... ./cmd/...

fuzz:
	scripts/fuzz

deb: build
	scripts/install-tools package
	$(package) deb $(BINARY) $$($(GO) env GOARCH) $(DIST)

dist: build
	scripts/install-tools package
	rm -f $(DIST)/*.deb $(DIST)/*.tar.gz
	set -e; for arch in $(ARCHES); do \
		export GOOS=linux; GOARCH=$$arch $(call compile,$(DIST)/linux-$$arch/moodle-exporter); \
		for kind in deb archive; do $(package) $$kind $(DIST)/linux-$$arch/moodle-exporter $$arch $(DIST) $(BINARY); done; \
	done
	cd $(DIST) && sha256sum *.deb *.tar.gz >SHA256SUMS

# Builds nothing: "make && sudo make install" leaves the building to the one who owns the checkout.
install:
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) scripts/install $(BINARY) $(PREFIX) $(DESTDIR)

uninstall:
	scripts/uninstall $(PREFIX) $(DESTDIR)

clean:
	rm -rf bin dist
