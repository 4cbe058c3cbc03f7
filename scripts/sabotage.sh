#!/usr/bin/env bash
# sabotage.sh [RULE…]: breaks each decision rule alone and demands that a test notices. A build with --cfg sabotage breaks
# the rule that GRADUAL_ROLLOUT_SABOTAGE names, so one build serves all rules.
#
# A rule counts as guarded when the program runs with it broken, and at least one named test fails. A build that does
# not compile, a crash without a failed test and a time-out are not red tests: they fail this script, like a rule that
# no code sabotages.
#
# A rule is tried on test programs from the cheapest up, until one has a red test:
#   core  src/rollout alone (tests/sabotage.rs), seconds to build; skipped when the rule is broken elsewhere
#   lib   the library's unit tests, stories included
#   it    the integration tests that carry the rule's number (all of them take longer than the limit)
# In the first two the tests that carry the rule's number run first, then the property tests (modules called `rules`),
# then all. The flag reaches our own crate only, so no dependency is built twice.
set -euo pipefail
cd "$(dirname "$0")/.."

rules=("$@")
[ ${#rules[@]} -gt 0 ] || mapfile -t rules < <(seq 1 15)
limit=${SABOTAGE_TIMEOUT:-300}
# A found counterexample is wanted here, not kept: no shrinking, no regression files in the checkout.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0 RUST_BACKTRACE=0
folder=$(mktemp -d)
log=$folder/log
trap 'rm -rf "$folder"' EXIT

build() { # build core|lib|it: prints the test program, fails when it does not compile
    local command flags=(-- --cfg sabotage)
    if [ -e "$folder/program.$1" ]; then
        cat "$folder/program.$1"
        return
    fi
    case $1 in
        core) command=(rustc --profile test --test sabotage) ;;
        lib)  command=(rustc --profile test --lib) ;;
        it)   command=(test --no-run --test it) ;;
    esac
    if [ "$1" = it ]; then
        # The library beneath must be sabotaged too. Cargo tells builds apart by the wrapper's path.
        local wrapper=$folder/wrapper
        printf '#!/usr/bin/env bash\nexec "$@" --cfg sabotage\n' >"$wrapper"
        chmod +x "$wrapper"
        export RUSTC_WORKSPACE_WRAPPER=$wrapper
        flags=()
    fi
    # The subshell of the caller keeps the wrapper to itself.
    if ! cargo "${command[@]}" --locked --quiet --message-format=json "${flags[@]}" >"$log" 2>&1; then
        { grep -oE '"rendered":"error([^"\\]|\\.)*' "$log" || tail -n 5 "$log"; } | head -n 3 | cut -c 1-600 >&2
        return 1
    fi
    sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' "$log" | tail -n 1 | tee "$folder/program.$1"
}

red() { # red RULE PROGRAM [FILTER]: prints the tests that fail with the rule broken; the exit status is the program's
    local status=0
    GRADUAL_ROLLOUT_SABOTAGE=$1 timeout "$limit" "$2" ${3:+"$3"} >"$log" 2>&1 </dev/null || status=$?
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log"
    return "$status"
}

honest() { # honest WHAT [FILTER]: green while nothing is broken; a test that fails on honest code proves nothing
    [ ! -e "$folder/honest.$1${2:-}" ] || return 0
    local program failed status=0
    program=$(build "$1") || { echo "the $1 that can be sabotaged does not compile" >&2; exit 1; }
    failed=$(red none "$program" "${2:-}") || status=$?
    if [ "$status" -eq 124 ]; then
        echo "the honest $1 takes longer than $limit s: SABOTAGE_TIMEOUT=n gives it more" >&2
        exit 1
    elif [ "$status" -ne 0 ]; then
        printf 'the honest %s is not green:\n%s\n' "$1" "${failed:-$(tail -n 5 "$log")}" >&2
        exit 1
    fi
    touch "$folder/honest.$1${2:-}"
    printf 'honest   %-4s green: %s\n' "$1" "$(sed -n 's/^test result: ok\. \([0-9]* passed\).*/\1/p' "$log")"
}

unguarded=()
for rule in "${rules[@]}"; do
    verdict= where=
    files=$(grep -rlE "\bsabotage::broken\($rule\)" src --include='*.rs' || true)
    if [ -z "$files" ]; then
        verdict="no code says sabotage::broken($rule)"
        programs=
    elif grep -qv '^src/rollout/' <<<"$files"; then
        programs="lib it"
    else
        programs="core lib it"
    fi
    for what in $programs; do
        filters=("rule_${rule}_" rules:: "")
        [ "$what" != it ] || filters=("rule_${rule}_")
        if [ "$what" = it ]; then honest it "rule_${rule}_"; else honest "$what"; fi
        program=$(build "$what")
        for filter in "${filters[@]}"; do
            status=0
            failed=$(red "$rule" "$program" "$filter") || status=$?
            [ -z "$failed" ] || break
        done
        if [ -n "$failed" ]; then
            where=$what
            break
        elif [ "$status" -eq 124 ]; then
            verdict="no test of $what failed within $limit s"
            break
        elif [ "$status" -ne 0 ]; then
            verdict="the tests of $what died with status $status, none of them failed"
            break
        fi
        verdict="every test stayed green"
    done
    if [ -n "$where" ]; then
        # The rule's own test first, where tests carry the rule's number.
        shown=$(grep -E "(^|[^0-9])rule_${rule}_" <<<"$failed" | head -n 1 || true)
        shown=${shown:-$(head -n 1 <<<"$failed")}
        others=$(($(wc -l <<<"$failed") - 1))
        [ "$others" -gt 0 ] && others=" (and $others more)" || others=
        printf 'rule %-3s %-4s red:   %s%s\n' "$rule" "$where" "$shown" "$others"
    else
        printf 'rule %-3s NOT GUARDED: %s\n' "$rule" "$verdict"
        unguarded+=("$rule")
    fi
done
if [ ${#unguarded[@]} -gt 0 ]; then
    echo "rules that no test guards: ${unguarded[*]}" >&2
    exit 1
fi
