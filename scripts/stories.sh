#!/usr/bin/env bash
# stories.sh [TIMES]: runs every sandbox story TIMES times; each must exit 0 and say that it reached its end.
set -euo pipefail
cd "$(dirname "$0")/.."

times=${1:-1}
stories=${STORIES:-migration errors latency blackout low-traffic shared-outage drift restart}
binary=${CARGO_TARGET_DIR:-target}/release/gradual-rollout
output=$(mktemp)
trap 'rm -f "$output"' EXIT

cargo build --locked --release
failed=()
for round in $(seq "$times"); do
    for story in $stories; do
        started=$EPOCHREALTIME
        status=0
        "$binary" sandbox --story "$story" -o json >"$output" </dev/null || status=$?
        seconds=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
        report=$(tail -n 1 "$output")
        if [ "$status" -eq 0 ] && [[ $report == '{'*'"reached":true'* ]]; then
            echo "round $round/$times  $story  as expected in $seconds s"
        else
            echo "round $round/$times  $story  NOT as expected: exit status $status after $seconds s"
            echo "  last line: $report"
            failed+=("$story")
        fi
    done
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "not as expected: ${failed[*]}" >&2
    exit 1
fi
