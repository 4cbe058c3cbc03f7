#!/usr/bin/env bash
# sabotage.sh [RULE…]: breaks each decision rule alone (--cfg sabotage_N) and demands that a test notices.
#
# A rule counts as guarded when its sabotaged build compiles, runs, and at least one named test fails. A build
# that does not compile, a crash without a failed test and a time-out are not red tests: they fail this script,
# like a rule that no code sabotages.
#
# Rules broken inside src/rollout are built as the core alone (tests/sabotage.rs, seconds each); the others as the
# library's test program. The property tests run first, the rest only when they all stay green. The flag goes to
# our own crate only, so no dependency is built twice.
set -euo pipefail
cd "$(dirname "$0")/.."

rules=("$@")
[ ${#rules[@]} -gt 0 ] || mapfile -t rules < <(seq 1 15)
limit=${SABOTAGE_TIMEOUT:-300}
# A found counterexample is wanted here, not kept: no shrinking, no regression files in the checkout.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0 RUST_BACKTRACE=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

build() { # build core|lib [CFG]: prints the test program, fails when it does not compile
    local target=(--lib) flags=()
    [ "$1" = core ] && target=(--test sabotage)
    [ -n "${2:-}" ] && flags=(-- --cfg "$2")
    if ! cargo rustc --locked --quiet --profile test "${target[@]}" --message-format=json "${flags[@]}" \
        >"$log" 2>&1; then
        sed -n 's/.*"rendered":"\(\([^"\\]\|\\.\)*\)".*/\1/p; /^error/p' "$log" | head -n 5 >&2
        return 1
    fi
    sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' "$log" | tail -n 1
}

red() { # red PROGRAM [FILTER]: prints the tests that fail; the exit status is the program's
    local status=0
    timeout "$limit" "$1" ${2:+"$2"} >"$log" 2>&1 </dev/null || status=$?
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log"
    return "$status"
}

scope() { # scope RULE: where the code sabotages it: core, lib, or nothing
    local files
    files=$(grep -rlE "\bsabotage_$1\b" src --include='*.rs' || true)
    if [ -z "$files" ]; then
        echo none
    elif grep -qv '^src/rollout/' <<<"$files"; then
        echo lib
    else
        echo core
    fi
}

# Green first: a test that fails on honest code proves nothing on sabotaged code.
declare -A whole=()
for rule in "${rules[@]}"; do
    whole[$(scope "$rule")]=1
done
for what in core lib; do
    [ -n "${whole[$what]:-}" ] || continue
    program=$(build "$what") || { echo "the honest $what does not compile" >&2; exit 1; }
    if ! failed=$(red "$program"); then
        printf 'the honest %s is not green:\n%s\n' "$what" "${failed:-$(tail -n 5 "$log")}" >&2
        exit 1
    fi
    printf '%-8s %-4s green: %s\n' honest "$what" "$(sed -n 's/^test result: ok\. \([0-9]* passed\).*/\1/p' "$log")"
done

unguarded=()
for rule in "${rules[@]}"; do
    what=$(scope "$rule")
    verdict=
    if [ "$what" = none ]; then
        verdict="no code says cfg(sabotage_$rule)"
    elif ! program=$(build "$what" "sabotage_$rule"); then
        verdict="the sabotaged $what does not compile"
    else
        for filter in rules:: ""; do
            status=0
            failed=$(red "$program" "$filter") || status=$?
            [ -n "$failed" ] && break
        done
        if [ -n "$failed" ]; then
            printf 'rule %-3s %-4s red:   %s\n' "$rule" "$what" "$(head -n 1 <<<"$failed")$(
                more=$(($(wc -l <<<"$failed") - 1)); [ "$more" -eq 0 ] || echo " (and $more more)")"
            continue
        elif [ "$status" -eq 124 ]; then
            verdict="no test failed within $limit s"
        elif [ "$status" -ne 0 ]; then
            verdict="the tests died with status $status, none of them failed"
        else
            verdict="every test stayed green"
        fi
    fi
    printf 'rule %-3s %-4s NOT GUARDED: %s\n' "$rule" "$what" "$verdict"
    unguarded+=("$rule")
done
if [ ${#unguarded[@]} -gt 0 ]; then
    echo "rules that no test guards: ${unguarded[*]}" >&2
    exit 1
fi
