# Every target a developer or the CI needs; `make` alone lists them.
# Each is a thin name over cargo or one script, so that what runs is what the terminal shows.

.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
TIMES ?= 20
SOAK_SECONDS ?= 60

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build the release binary (target/release/gradual-rollout)
	$(CARGO) build --locked --release

.PHONY: sandbox
sandbox: ## Walk the Sealos plan in the sandbox, live on the terminal (ARGS="--story errors" for another story)
	$(CARGO) run --locked --release -- sandbox $(ARGS)

.PHONY: tools
tools: ## Find the programs that tests talk to (prometheus, promtool, kubectl, envoy); fetch what is missing into .tools/
	scripts/tools.sh

.PHONY: test
# Most integration tests wait for something half of their time: so two of them for each core.
test: tools ## Run every test: unit, integration, documentation
	GRADUAL_ROLLOUT_TEST_NO_SKIP=1 RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))} $(CARGO) test --locked --workspace

.PHONY: envoy
envoy: tools ## The proof on real parts alone: requests through a real Envoy, with its figures (part of make test)
	$(CARGO) test --locked --test envoy -- --show-output

.PHONY: test-cluster
test-cluster: tools ## Run the suite for any cluster against yours: GRADUAL_ROLLOUT_TEST_KUBECONFIG=FILE make test-cluster
	@test -n "$$GRADUAL_ROLLOUT_TEST_KUBECONFIG" || { echo "GRADUAL_ROLLOUT_TEST_KUBECONFIG is not set: give it the kubeconfig of the cluster to test against, as in GRADUAL_ROLLOUT_TEST_KUBECONFIG=FILE make test-cluster" >&2; exit 64; }
	@test -f "$$GRADUAL_ROLLOUT_TEST_KUBECONFIG" -a -r "$$GRADUAL_ROLLOUT_TEST_KUBECONFIG" || { echo "GRADUAL_ROLLOUT_TEST_KUBECONFIG names $$GRADUAL_ROLLOUT_TEST_KUBECONFIG, which is no file that can be read: correct the path or its permissions" >&2; exit 64; }
	$(CARGO) test --locked --test it any_cluster:: -- --show-output
	GRADUAL_ROLLOUT_TEST_KUBECONFIG="$$(realpath "$$GRADUAL_ROLLOUT_TEST_KUBECONFIG")" $(CARGO) test --locked -p gradual-rollout-toolkit --test it any_cluster:: -- --show-output

.PHONY: lint
lint: ## Formatting and clippy, warnings are errors; nothing is half-merged
	! git grep -nE '^(<<<<<<<|>>>>>>>)( |$$)'
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: doc
doc: ## Build the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

.PHONY: generate
generate: ## Write the generated files (deploy/crd.yaml)
	scripts/generated.sh write

.PHONY: check-generated
check-generated: ## Fail when a generated file differs from what the code generates
	scripts/generated.sh check

# Of these two crates at once, so that one set of dependencies serves all that runs optimised.
OPTIMISED := $(CARGO) test --locked --profile sweep -p gradual-rollout -p gradual-rollout-migration

.PHONY: optimised
optimised: ## Build what equivalence, stories, emergency and soak run optimised, and run nothing
	$(OPTIMISED) --test equivalence --test soak --no-run

.PHONY: equivalence
equivalence: ## Hold the converter against the models of nginx and Envoy over 20,000 sets of Ingresses at random; its figures (PROPTEST_CASES=n PROPTEST_RNG_SEED=n)
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} PROPTEST_RNG_SEED=$${PROPTEST_RNG_SEED:-1} $(OPTIMISED) --test equivalence
	$(OPTIMISED) --test equivalence -- --ignored --exact --nocapture scale::five_thousand_ingresses_in_two_seconds_and_two_hundred_megabytes

.PHONY: migrate-figures
migrate-figures: ## What apply and probe take for thousands of objects and a thousand routes, held to their limits
	$(CARGO) test --locked --profile sweep -p gradual-rollout -p gradual-rollout-toolkit --test figures -- --nocapture --test-threads 1

.PHONY: sabotage
sabotage: ## Break each decision rule alone and demand a red test (RULES="3 7" for some)
	scripts/sabotage.sh $(RULES)

.PHONY: simulate
simulate: ## Hold the judge to its promises by simulation, half an hour and more (UPDATE=1 writes docs/judging.md anew)
	scripts/simulate.sh

.PHONY: sweep
sweep: tools ## Kill the daemon before and after each of its calls in every story, and swap the writes of its protocol
	scripts/sweep.sh all

.PHONY: swaps
swaps: ## Swap each pair of neighbouring writes of the protocol, and demand that a story notices (part of make sweep)
	PROFILE=$${PROFILE:-sweep} scripts/sweep.sh swaps

.PHONY: emergency
emergency: ## Put 1,000 components back at once, within 2 s
	$(OPTIMISED) --test soak -- --ignored --exact --nocapture thousand::a_thousand_components_are_back_within_two_seconds

.PHONY: soak
soak: ## A month with 200 components and faults at random, in virtual time; red above a minute of one core (SOAK_SECONDS=n)
	GRADUAL_ROLLOUT_SOAK_SECONDS=$(SOAK_SECONDS) $(OPTIMISED) --test soak -- --show-output

.PHONY: fuzz
fuzz: ## Throw bytes at all that reads what comes from outside, a minute each (FUZZ_SECONDS=n; TARGETS="settings" for some)
	scripts/fuzz.sh $(TARGETS)

.PHONY: stories
stories: ## Run every sandbox story once; each must end as it says
	scripts/stories.sh 1

.PHONY: stories-20
stories-20: ## Run every sandbox story 20 times in a row (TIMES=n for another count)
	scripts/stories.sh $(TIMES)

.PHONY: bench
bench: ## Measure decide with criterion
	$(CARGO) bench --locked --bench decide

.PHONY: figures
figures: ## Measure what the product promises and compare it with the limits
	scripts/figures.sh

.PHONY: ci
ci: ## Everything the CI runs
	bash .ci/run
