# Kith. "make help" lists the targets.
SHELL      := /bin/bash
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    := -s -w -X kith.internal/ipc.build=$(VERSION) -X main.version=$(VERSION)
# One set of flags for the app: another one builds all of Fyne again. Without
# Fyne's own emoji, of which each style of text holds 5 MB, the system's are used.
APPTAGS    := gles,migrated_fynedo,no_emoji
BIN        := bin
NICE       := nice -n 5
# What tests with real programs run, and where those with a window put pictures.
export KITH_BIN       = $(abspath $(BIN))
export KITH_ARTEFACTS ?= $(abspath artefacts)
GOFLAGS    += -buildvcs=false
export GOFLAGS

# All but what needs Fyne's drivers, and so cgo and X11, to build. The tray's menu
# is Objective-C on macOS. app/internal/typecheck covers these for other systems.
FYNE       := /app($$|/internal/(ui|e2e|typecheck)$$)
PURE       = $(shell $(GO) list ./... | grep -v -E '$(FYNE)')
PUREWIN    = $(shell GOOS=windows CGO_ENABLED=0 $(GO) list -e ./... | grep -v -E '$(FYNE)')
PUREMAC    = $(shell GOOS=darwin CGO_ENABLED=0 $(GO) list -e ./... | grep -v -E '$(FYNE)|/app/internal/tray$$')
FUZZTIME   ?= 3s

.PHONY: help deps testdeps go-version build run demo test e2e unit race netns gui vet lint vuln fuzz-short bench bench-roster bench-wire bench-stub bench-dns bench-join bench-iperf bench-idle bench-paths bench-relay bench-nat bench-filter bench-crowd icons screenshots clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

go-version: # Go 1.26 or later
	@v=$$($(GO) env GOVERSION 2>/dev/null) || { echo "Go is not installed: Kith needs Go 1.26 or later (https://go.dev/dl)"; exit 1; }; \
	case "$$v" in go1.2[6-9]*|go1.[3-9][0-9]*|go[2-9]*|devel*) ;; *) echo "Kith needs Go 1.26 or later; this is $$v"; exit 1;; esac

deps: go-version ## install the packages that building and testing need (Debian, Ubuntu; asks sudo)
	@installer/linux/deps.sh build

testdeps: go-version
	@installer/linux/deps.sh test

build: deps $(BIN)/kithd $(BIN)/kith $(BIN)/kith-app ## build bin/kithd, bin/kith and bin/kith-app

.PHONY: $(BIN)/kithd $(BIN)/kith $(BIN)/kith-app
$(BIN)/kithd: go-version
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./helper
$(BIN)/kith: go-version
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./app/ctl
$(BIN)/kith-app: go-version
	CGO_ENABLED=1 $(GO) build -tags $(APPTAGS) -ldflags '$(LDFLAGS)' -o $@ ./app

run: build ## build all, start kithd and open the app
	@installer/linux/run.sh $(BIN)

demo: $(BIN)/kithd $(BIN)/kith ## show the main job: two hosts join a network and reach each other by name
	@installer/linux/demo.sh $(BIN)

test: testdeps ## everything but booted systems: unit, simnet, netns, GUI, vet, lint, a short fuzz
	$(MAKE) build
	$(MAKE) vet
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) race
	$(MAKE) netns
	$(MAKE) gui
	$(MAKE) fuzz-short
	@echo "make test: all passed"

unit: testdeps ## unit and simnet tests
	$(NICE) $(GO) test -timeout 30m -skip '^TestNetns' $(PURE)
	CGO_ENABLED=0 $(NICE) $(GO) test -timeout 30m -tags ci ./app/internal/ui/... ./app/internal/typecheck/...

race: testdeps ## unit and simnet tests under the race detector
	@.ci/race -skip '^TestNetns' $(filter-out %/helper/internal/simnet,$(PURE))
	@GOMAXPROCS=1 .ci/race -skip '^TestNetns' ./helper/internal/simnet # timers of a fake clock: see .ci/race

netns: testdeps $(BIN)/kithd $(BIN)/kith ## tests with real TUNs in network namespaces (root)
	$(NICE) $(GO) test -p 1 -count=1 -timeout 60m -run '^TestNetns' $(PURE)

gui: testdeps $(BIN)/kithd $(BIN)/kith $(BIN)/kith-app ## the app under Xvfb with a real session bus
	$(NICE) $(GO) test -p 1 -count=1 -timeout 45m -tags gui,gles,no_emoji ./app ./app/internal/e2e

vet: testdeps ## go vet for Linux, Windows and macOS
	$(GO) vet -tags bench,docker,booted $(PURE)
	$(GO) vet -tags $(APPTAGS),gui ./app/...
	GOOS=windows CGO_ENABLED=0 $(GO) vet $(PUREWIN)
	GOOS=darwin CGO_ENABLED=0 $(GO) vet $(PUREMAC)
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./helper
	GOOS=windows CGO_ENABLED=0 $(GO) build -o /dev/null ./helper
	GOOS=windows CGO_ENABLED=0 $(GO) build -o /dev/null ./app/ctl
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./helper
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./app/ctl

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

lint: go-version ## gofmt, go mod tidy, staticcheck
	@bad=$$(gofmt -l app helper ipc dns assets); [ -z "$$bad" ] || { echo "not gofmt-ed: $$bad"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) -checks 'all,-ST1000,-ST1003,-ST1016,-ST1020,-ST1021,-ST1022' $(PURE)

vuln: go-version ## known vulnerabilities in what we use
	@.ci/vuln $(PURE)

e2e: $(BIN)/kithd $(BIN)/kith ## booted systems: the service installed, killed, rebooted, uninstalled; every resolver setup; an exit node beside Docker; polkit (root); Windows' programs under Wine
	@installer/linux/e2e.sh $(BIN)
	@installer/linux/dns.sh $(BIN)
	@installer/linux/docker.sh $(BIN)
	@GO='$(GO)' installer/linux/polkit.sh $(BIN)
	@GO='$(GO)' installer/windows/wine.sh

fuzz-short: go-version ## each fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: bench-roster bench-wire bench-stub bench-dns bench-join bench-paths bench-iperf bench-relay bench-nat bench-filter bench-idle ## all benchmarks, as tables
bench-roster: go-version ## evaluating 5,000 members
	$(GO) test -run '^$$' -bench . -benchtime 3x ./helper/internal/roster
bench-wire: go-version ## our layers over plain wireguard-go, in process
	$(GO) test -run '^$$' -bench . ./helper/internal/wire/...
bench-stub: go-version ## the stub resolver
	$(GO) test -run '^$$' -bench . ./dns/...
bench-dns: go-version ## queries a second and latency beside dnsmasq and unbound, with dnsperf (from the package archive)
	$(GO) test -count=1 -v -run '^TestBenchDNS$$' -tags bench ./dns/stub
bench-join: testdeps $(BIN)/kithd $(BIN)/kith ## join to first ping, restart to first ping, medians of 10
	$(GO) test -count=1 -v -run '^TestBenchJoin' -tags bench ./helper/internal/e2e
bench-iperf: testdeps $(BIN)/kithd $(BIN)/kith ## iperf3 through Kith and through plain wireguard-go, interleaved
	$(GO) test -count=1 -v -timeout 30m -run '^TestBenchIperf' -tags bench ./helper/internal/e2e
bench-idle: testdeps $(BIN)/kithd $(BIN)/kith ## memory and processor of an idle helper (takes six minutes)
	$(GO) test -count=1 -v -timeout 30m -run '^TestBenchIdle' -tags bench ./helper/internal/e2e
bench-paths: testdeps $(BIN)/kithd $(BIN)/kith ## join, direct and gaps across NATs, relays and moves, medians of 10 (takes ten minutes)
	$(GO) test -count=1 -v -timeout 60m -run '^TestBenchPaths' -tags bench ./helper/internal/e2e
bench-crowd: go-version ## engines in one process, KITH_CROWD of them or 100, that join and come to rest (a minute; more take more time and memory than in proportion)
	$(GO) test -count=1 -v -timeout 120m -run '^TestBenchCrowd' -tags bench ./helper/internal/simnet
bench-relay: testdeps $(BIN)/kithd $(BIN)/kith ## iperf3 direct, and relayed over UDP and TLS, in turns
	$(GO) test -count=1 -v -timeout 30m -run '^TestBenchRelay' -tags bench ./helper/internal/e2e

bench-filter: testdeps $(BIN)/kithd $(BIN)/kith ## the packet filter under 1,000 rules, its memory with 100,000 flows, and iperf3 with such a policy and without
	$(GO) test -run '^$$' -bench . ./helper/internal/filter
	$(GO) test -count=1 -v -timeout 20m -run '^TestBenchPolicy' -tags bench ./helper/internal/e2e
bench-nat: testdeps ## iperf3 through an exit: plain forwarding, the kernel's NAT and the userspace NAT, in turns
	$(GO) test -count=1 -v -timeout 20m -run '^TestBenchNAT' -tags bench ./helper/internal/usernat
icons: go-version ## render the icons from assets/svg to what each OS wants
	cd assets && $(GO) run ./gen

screenshots: go-version ## render every page, light and dark, into assets/screenshots
	rm -f assets/screenshots/*.png
	CGO_ENABLED=0 $(NICE) $(GO) test -count=1 -tags ci -run '^TestScreenshots$$' ./app/internal/ui -screenshots $(abspath assets/screenshots)

clean: ## remove what was built
	rm -rf $(BIN) artefacts
