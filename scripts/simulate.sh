#!/usr/bin/env bash
# simulate.sh [FILTER]: the judge by simulation, in full. Prints its seed, today's date; GRADUAL_ROLLOUT_SEED repeats
# a run, UPDATE=1 writes docs/judging.md and its plots anew.
#
# Only the core is compiled, and optimised: the flag goes to this one crate, so no dependency is built twice.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(cargo rustc --profile test --test simulate --locked --quiet --message-format=json -- -C opt-level=3 |
    sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
# The core's own tests are in there too, and run elsewhere. One at a time: each uses all cores.
exec "$program" --nocapture --test-threads=1 --skip rollout:: "$@"
