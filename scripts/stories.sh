#!/usr/bin/env bash
# stories.sh [TIMES]: runs every sandbox story TIMES times; each must exit 0 and say that it reached its end.
# The stories of a round run side by side, one per core (JOBS=n for another number); rounds follow each other.
# PROFILE=sweep takes a build that is as fast and in half the time there, and checks arithmetic for overflow.
set -euo pipefail
cd "$(dirname "$0")/.."

times=${1:-1}
stories=${STORIES:-migration errors latency blackout low-traffic shared-outage drift restart}
jobs=${JOBS:-$(nproc)}
profile=${PROFILE:-release}
binary=${CARGO_TARGET_DIR:-target}/$profile/gradual-rollout
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

tell() { # tell ROUND STORY: runs it, prints how it ended, leaves a mark when not as expected
    local output=$folder/$1.$2 status=0 started=$EPOCHREALTIME seconds report
    "$binary" sandbox --story "$2" -o json >"$output" 2>"$output.log" </dev/null || status=$?
    seconds=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    report=$(tail -n 1 "$output")
    if [ "$status" -eq 0 ] && [[ $report == '{'*'"reached":true'* ]]; then
        echo "round $1/$times  $2  as expected in $seconds s"
    else
        printf 'round %s/%s  %s  NOT as expected: exit status %s after %s s\n  its last line: %s\n%s\n' \
            "$1" "$times" "$2" "$status" "$seconds" "$report" "$(tail -n 20 "$output.log" | sed 's/^/  /')"
        echo "$2" >>"$folder/failed"
    fi
}

if [ "$profile" = sweep ]; then
    # With the dependencies of what else is built so: cargo takes the features of the tests beside it into account.
    make --no-print-directory optimised
else
    cargo build --locked --profile "$profile"
fi
for round in $(seq "$times"); do
    for story in $stories; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
            wait -n
        done
        tell "$round" "$story" &
    done
    wait
done
if [ -e "$folder/failed" ]; then
    echo "not as expected: $(sort "$folder/failed" | uniq -c | awk '{ printf "%s (%d of '"$times"') ", $2, $1 }')" >&2
    exit 1
fi
