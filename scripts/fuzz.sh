#!/usr/bin/env bash
# fuzz.sh [TARGET…]: throws bytes at everything that reads what comes from outside, a minute for each target
# (FUZZ_SECONDS=n for another time), beginning with the seeds in fuzz/seeds/.
#
# cargo-fuzz is taken from PATH, or installed into .tools/. No sanitizer is asked for, for there is no unsafe code of
# ours to watch: so the stable toolchain builds it, instrumented for coverage, with overflow and assertions checked.
# What was found on the way is kept in fuzz/corpus/, what broke something in fuzz/artifacts/; neither is committed.
set -euo pipefail
cd "$(dirname "$0")/.."

all=(resource settings promql objects commands alerts)
seconds=${FUZZ_SECONDS:-60}
longest=16384   # bytes of an input: a few times the largest seed
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
for target in "${targets[@]}"; do
    if [ ! -f "fuzz/targets/$target.rs" ]; then
        echo "there is no target $target; there are ${all[*]}" >&2
        exit 64
    fi
done

PATH=$PATH:$PWD/.tools/bin
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz into .tools/"
    if ! cargo install --quiet --locked --root .tools cargo-fuzz; then
        echo "missing: cargo-fuzz, and cargo could not install it: install it by hand, then run this again" >&2
        exit 69
    fi
fi

for target in "${targets[@]}"; do
    cargo fuzz build --sanitizer none "$target"
done

failed=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    status=0
    # The first folder is where new inputs go; the others are read.
    cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len="$longest" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        >"$log" 2>&1 </dev/null || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    took=$(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log" | tail -n 1)
    echo "$target: ${runs:-?} runs, ${covered:-?} places covered, ${took:-?} s"
    if [ "$status" -ne 0 ]; then
        failed+=("$target")
        artifact=$(sed -n 's/.*Test unit written to *//p' "$log" | tail -n 1)
        tail -n 40 "$log" >&2
        if [ -n "$artifact" ]; then
            printf '%s broke on %s\n  again:   cargo fuzz run --sanitizer none %s %s\n  smaller: cargo fuzz tmin --sanitizer none %s %s\n' \
                "$target" "$artifact" "$target" "$artifact" "$target" "$artifact" >&2
        else
            echo "$target ended with status $status and left no input: the lines above say why" >&2
        fi
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "broken: ${failed[*]}; mend it, and keep the smaller input as a seed in fuzz/seeds/" >&2
    exit 1
fi
