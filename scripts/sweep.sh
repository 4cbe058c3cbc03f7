#!/usr/bin/env bash
# sweep.sh [all|swaps]: kills the daemon before and after each of its calls, in every story, and again at random; then
# swaps each pair of neighbouring writes of the protocol and demands that a story notices.
#
# `swaps` does the second alone, each story told once, in a minute or two and what the build takes; all of it takes half an
# hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
profile=(--profile "${PROFILE:-sweep}")
pairs="FinalizerRaise DeclareWrite InnerEdge EdgeInner LowerTell AnswerTidy LeaveRelease RecordDelete MapPods MakeDeclare"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

program() { # program: prints the test program that was built
    sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' "$folder/built" | tail -n 1
}

build() { # build [FLAGS…]
    cargo test --locked --quiet "${profile[@]}" --test sweep --no-run --message-format=json >"$folder/built"
}

if [ "$what" = all ]; then
    build
    SWEEP=all "$(program)" --show-output --test-threads 1 --include-ignored
fi

# The library beneath must be sabotaged too. Cargo tells builds apart by the wrapper's path: the same one each time, or
# everything would be compiled anew.
wrapper=$(realpath "${CARGO_TARGET_DIR:-target}")/sabotage_order
# Bash hands on CARGO_BIN_EXE_gradual-rollout, which the tests are compiled with; dash drops names with a hyphen.
printf '#!/usr/bin/env bash\nexec "$@" --cfg sabotage_order\n' >"$wrapper"
chmod +x "$wrapper"
RUSTC_WORKSPACE_WRAPPER=$wrapper build
broken=$(program)
missed=()
for pair in none $pairs; do
    status=0
    GRADUAL_ROLLOUT_SWAP=$pair SWEEP=once timeout 600 "$broken" whenever_the_daemon >"$folder/log" 2>&1 || status=$?
    red=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$folder/log")
    if [ "$pair" = none ]; then
        [ "$status" -eq 0 ] || { echo "nothing is swapped, and a story fails:" >&2; tail -n 20 "$folder/log" >&2; exit 1; }
        echo "nothing swapped: every story ends as it should"
    elif [ -n "$red" ]; then
        why=$(grep -m 1 -oE 'Z (rule [0-9]+|order|§[0-9]+): .*' "$folder/log" | cut -c 3- || true)
        echo "$pair swapped, red: $(head -n 1 <<<"$red") ($(wc -l <<<"$red") in all): ${why:-it does not come to its end}"
    else
        echo "$pair swapped: NOT NOTICED (exit status $status)"
        missed+=("$pair")
    fi
done
if [ ${#missed[@]} -gt 0 ]; then
    echo "swaps that no story notices: ${missed[*]}" >&2
    exit 1
fi
