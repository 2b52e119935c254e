# `make check` is what CI runs.
.PHONY: modules build test integration race bench chaos fuzz corpus lint fmt generate tidy cover check release packages
FUZZTIME ?= 10s
BENCH ?= ^Benchmark[^K]
BENCHTIME ?= 5x
TIME ?= 10m

# Where tests build the program there is no network.
modules:     ; go mod download
build:       ; go build -o ssmd ./cmd/ssmd
test:        ; go test ./...
integration: modules ; go test ./integration
race:        ; go test -race -short ./...
bench: modules ; go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 30m ./integration
chaos: modules ; SSMD_CHAOS_TIME=$(TIME) go test -run '^TestChaos$$' -count=1 -timeout 0 -v ./integration
fuzz:        ; .ci/fuzz $(FUZZTIME)
corpus:      ; .ci/corpus
lint:        ; go vet ./... && go tool staticcheck ./...
fmt:         ; gofmt -w .
generate:    ; go generate ./...
tidy:        ; go mod tidy
cover:       ; go test -short -coverpkg ./... -coverprofile cover.out ./... && go tool cover -func cover.out | tail -1
release:     ; packaging/release
packages:    ; .ci/packages
check:       ; .ci/check
