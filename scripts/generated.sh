#!/usr/bin/env bash
# generated.sh write|check: the files in deploy/ that the binary itself generates.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:?write or check}
file=deploy/crd.yaml
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
cargo run --locked --quiet -- generate crd >"$fresh"
case $mode in
    write)
        cp "$fresh" "$file"
        echo "wrote $file"
        ;;
    check)
        if ! diff -u "$file" "$fresh"; then
            echo "$file is not what the code generates: run \`make generate\` and commit the result" >&2
            exit 1
        fi
        echo "$file is what the code generates"
        ;;
    *)
        echo "write or check, not $mode" >&2
        exit 64
        ;;
esac
