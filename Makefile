# make help lists the targets.
.DEFAULT_GOAL := help
GO ?= go

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: test
test: ## all tests with -race against real servers, which it gets, starts and stops
	@scripts/test.sh

.PHONY: test-short
test-short: ## the tests that need no server; lists those that did not run
	@$(GO) test -json ./... | $(GO) run ./internal/testsummary -allow-skips

.PHONY: test-long
test-long: newest ## the full counts, all servers, and the newest dependencies
	@scripts/test.sh long

.PHONY: soak
soak: ## the whole pipeline for SOAK (10m), with each part killed again and again
	SOAK=$${SOAK:-10m} $(GO) test -tags soak -count=1 -timeout 0 -v ./internal/soak

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@scripts/fuzz.sh

.PHONY: bench
bench: services-start ## ratios against plain GORM, in this run, as a table
	@eval "$$(scripts/services.sh env)" && $(GO) run ./internal/bench -o docs/benchmarks.md

.PHONY: bench-search
bench-search: services-start ## searches in BENCH_RECORDS (1,000,000) records in each store, as a table
	@eval "$$(scripts/services.sh env)" && $(GO) run ./internal/benchsearch -records $${BENCH_RECORDS:-1000000} -o docs/benchmarks-search.md

.PHONY: bench-consumer
bench-consumer: services-start ## the consumer against ready bulks, lag, and the time to the search; ARGS="-lag 100000"
	@eval "$$(scripts/services.sh env)" && $(GO) run ./internal/benchconsumer -o docs/benchmarks-pipeline.md $(ARGS)

.PHONY: bench-peers
bench-peers: services-start ## the same for other libraries for GORM, which the Go module proxy must have
	@eval "$$(scripts/services.sh env)" && $(GO) -C test/peers run . -o ../../docs/benchmarks.md

.PHONY: bench-delivery
bench-delivery: services-start ## the ratios of spool, relay, outbox and requests to the raw ways, as a table
	@eval "$$(scripts/services.sh env)" && $(GO) run ./internal/bench/delivery -o docs/benchmarks.md

.PHONY: build
build: ## everything, with exactly the versions of go.mod
	$(GO) build -mod=readonly ./...

.PHONY: newest
newest: ## build and vet with the newest versions of the dependencies
	@scripts/newest.sh

.PHONY: tidy-check
tidy-check: ## go.mod and go.sum are as go mod tidy leaves them
	@for m in . test; do if [ -f $$m/go.mod ]; then $(GO) -C $$m mod tidy -diff || exit 1; fi; done

.PHONY: format-check
format-check: ## gofmt and go vet
	@out=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	@if [ -f test/go.mod ]; then $(GO) -C test vet ./...; fi

.PHONY: lint
lint: ## golangci-lint, at the version of tools/go.mod
	$(GO) -C tools build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...
	@if [ -f test/go.mod ]; then cd test && ../bin/golangci-lint run ./...; fi

.PHONY: vulncheck
vulncheck: ## known vulnerabilities, where the database of Go can be reached; else it says NOT RUN
	@scripts/vulncheck.sh

.PHONY: release
release: ## the program for each platform in dist, with checksums: the same bytes wherever it is built
	@scripts/release.sh

.PHONY: services-start
services-start: ## PostgreSQL, MariaDB, RabbitMQ and OpenSearch on loopback; then: eval "$(scripts/services.sh env)"
	@scripts/services.sh start

.PHONY: services-stop
services-stop: ## stop them; their data stays
	@scripts/services.sh stop
