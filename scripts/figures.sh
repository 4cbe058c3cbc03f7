#!/usr/bin/env bash
# figures.sh: measures what the product promises on this machine and compares it with the limits. Exits 1 when a
# figure is over its limit or could not be measured. Needs Linux (/proc), nothing besides.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${CARGO_TARGET_DIR:-target}/release/gradual-rollout
folder=$(mktemp -d)
children=()
cleanup() {
    set +e # a child may have ended by itself, and one that is killed says so
    for child in "${children[@]}"; do
        kill "$child" 2>/dev/null && wait "$child" 2>/dev/null
    done
    rm -rf "$folder"
}
trap cleanup EXIT
over=0

figure() { # figure NAME VALUE LIMIT UNIT: one line; an empty VALUE means that it could not be measured
    local mark
    if [ -z "$2" ]; then
        mark="NOT MEASURED"
    elif awk -v value="$2" -v limit="$3" 'BEGIN { exit !(value <= limit) }'; then
        mark=ok
    else
        mark="OVER THE LIMIT"
    fi
    [ "$mark" = ok ] || over=1
    printf '%-38s %10s %-3s  (at most %s)  %s\n' "$1" "${2:--}" "$4" "$3" "$mark"
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" -v unit="$2" 'BEGIN { printf "%.1f", (b - a) * unit }'; }

cargo build --locked --release
figure "release binary" "$(awk -v bytes="$(stat -c %s "$binary")" 'BEGIN { printf "%.1f", bytes / 1e6 }')" 20 MB

# criterion prints `NAME  time: [low estimate high]`, each with its unit; the worst estimate counts.
cargo bench --locked --bench decide -- --noplot >"$folder/bench" 2>&1 || cat "$folder/bench" >&2
worst() { # worst GROUP: the slowest of a group of benchmarks, in microseconds
    awk -v group="$1/" '
    /^[a-z]+\// { ours = index($0, group) == 1 }
    ours && /time: *\[/ {
        sub(/.*time: *\[/, ""); split($0, part, " ")
        scale = part[4] == "ns" ? 1e-3 : part[4] == "ms" ? 1e3 : part[4] == "s" ? 1e6 : 1
        if (part[3] * scale > worst) worst = part[3] * scale
    }
    END { if (worst) printf "%.2f", worst }' "$folder/bench"
}
figure "decide, per component and tick" "$(worst decide)" 5 µs
figure "evidence, per line and tick" "$(worst evidence)" 1 µs

# The default story: wall time, and the peak of resident memory as the kernel keeps it.
began=$EPOCHREALTIME
"$binary" sandbox -o json >"$folder/story" </dev/null &
story=$!
children+=("$story")
peak=
while [ -r "/proc/$story/status" ]; do
    now=$(awk '/^VmHWM:/ { print $2 }' "/proc/$story/status" 2>/dev/null || true)
    [ -z "$now" ] && break # it has ended; only its exit status is left
    peak=$now
    sleep 0.05
done
status=0
wait "$story" || status=$?
wall=$(since "$began" 1)
if [ "$status" -ne 0 ]; then
    echo "the default story ended with status $status: $(tail -n 1 "$folder/story")" >&2
    wall='' peak=''
fi
figure "default story, wall time" "$wall" 40 s
figure "default story, peak memory" "${peak:+$(awk -v kib="$peak" 'BEGIN { printf "%.1f", kib * 1024 / 1e6 }')}" 60 MB

# Start to ready: a daemon of its own against a kept sandbox, asked over plain TCP. The sandbox says where its
# kubeconfig is; the daemon is the only one in the namespace it is given.
ready() {
    "$binary" sandbox --story drift --keep >"$folder/kept" 2>&1 </dev/null &
    children+=($!)
    local kubeconfig='' try
    for try in $(seq 600); do
        kubeconfig=$(grep -oE 'KUBECONFIG=[^ ]+' "$folder/kept" | head -n 1 | cut -d= -f2) && [ -n "$kubeconfig" ] && break
        sleep 0.1
    done
    [ -r "$kubeconfig" ] || return 0
    local port=18080 began
    # A port nobody listens on.
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    printf 'listen = "127.0.0.1:%s"\nnamespace = "figures"\n' "$port" >"$folder/settings.toml"
    began=$EPOCHREALTIME
    KUBECONFIG=$kubeconfig "$binary" run --config "$folder/settings.toml" >"$folder/daemon" 2>&1 </dev/null &
    children+=($!)
    for try in $(seq 1000); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 &&
            grep -q '^HTTP/1.[01] 200' <&3) 2>/dev/null; then
            since "$began" 1000
            return 0
        fi
        sleep 0.005
    done
}
ready >"$folder/ready"
milliseconds=$(cat "$folder/ready")
if [ -z "$milliseconds" ]; then
    tail -n 5 "$folder/kept" "$folder/daemon" >&2 2>/dev/null || true
fi
figure "daemon, start to ready" "$milliseconds" 300 ms

exit "$over"
