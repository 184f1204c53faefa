# `make` lists what there is.
.DEFAULT_GOAL := help

CARGO ?= cargo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## Build (release) and run the demo: a gateway, its services, and curl lines to paste
	$(CARGO) run --release --locked -- demo $(ARGS)

test: tools ## Run every test
	scripts/tools test
	$(CARGO) test --locked

check: tools ## Check format, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

bless: tools ## Write the golden files anew; review the diff like code
	BLESS=1 $(CARGO) test --locked --lib config

bench: tools ## Measure against a bare TLS relay, and nginx where it is installed
	$(CARGO) bench --locked --bench macro -- $(ARGS)

micro: tools ## Micro benchmarks: routes, path, admit, trust, tokens, policy
	$(CARGO) bench --locked --bench route --bench admit --bench trust --bench authenticate --bench policy -- $(ARGS)

tools:
	@scripts/tools build

.PHONY: help demo test check bless bench micro tools
