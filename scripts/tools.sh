#!/usr/bin/env bash
# Finds the programs the tests talk to, a Prometheus with its promtool and a stock kubectl, and fetches what is
# missing.
#
# What is on PATH is taken as it is. What is not comes as a Debian package, downloaded by apt with its signature
# checked and unpacked into .tools/: no root, nothing installed, no service started. Elsewhere than on Debian,
# install them by hand; nothing is fetched when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/.tools
suite=trixie          # carries a kubectl new enough; its binaries run on any glibc from 2.34 on
oldest_kubectl=27     # 1.27 is the first that validates by OpenAPI v3, the only one the sandbox serves

works() { # works NAME FILE: is FILE a program of that name that the tests can use?
    case $1 in
        prometheus | promtool) "$2" --version >/dev/null 2>&1 ;;
        kubectl)
            local minor
            minor=$("$2" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
            [ -n "$minor" ] && [ "$minor" -ge "$oldest_kubectl" ] ;;
    esac
}

found() { # found NAME: prints the program the tests will use, fails when there is none
    local file
    for file in "$(command -v "$1" || true)" "$tools/usr/bin/$1"; do
        if [ -x "$file" ] && works "$1" "$file"; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

missing=()
for name in prometheus promtool kubectl; do
    if file=$(found "$name"); then
        echo "$name: $file"
    else
        missing+=("$name")
    fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

for need in apt-get dpkg-deb; do
    if ! command -v "$need" >/dev/null; then
        echo "missing: ${missing[*]} (kubectl 1.$oldest_kubectl or newer), and no $need to fetch them with:" \
            "install them and put them on PATH, then run this again" >&2
        exit 69
    fi
done

# A private apt beside the machine's: its own lists and cache, the machine's own mirror and keys. The mirror is
# where the machine's own release comes from, in either format of sources; apt itself knows it only after an update.
release=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}" || true)
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v release="$release" '
    function ours(from) { for (; from <= NF; from++) if ($from == release) return 1; return 0 }
    $1 == "deb"     { sub(/\[[^]]*\]/, ""); if ($3 == release && / main( |$)/) found[++n] = $2 }
    $1 == "Types:"  { uri = ""; hit = 0 }
    $1 == "URIs:"   { uri = $2 }
    $1 == "Suites:" { hit = ours(2) }
    uri != "" && hit { found[++n] = uri; uri = "" }
    END             { if (n) print found[1] }') || true
if [ -z "$mirror" ]; then
    echo "missing: ${missing[*]}, and no Debian mirror in apt's sources: install them and put them on PATH," \
        "then run this again" >&2
    exit 69
fi
echo "fetching ${missing[*]} from $mirror ($suite) into $tools"
mkdir -p "$tools"
private=$(mktemp -d "$tools/apt.XXXXXX")
trap 'rm -rf "$private"' EXIT
mkdir -p "$private/lists/partial" "$private/cache/archives/partial"
: >"$private/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$private/sources.list"
# Read after the machine's own settings: proxies stay, hooks that clean the machine's cache do not run.
cat >"$private/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
Dir::Etc::sourcelist "$private/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$private/lists";
Dir::State::status "$private/status";
Dir::Cache "$private/cache";
APT::Sandbox::User "";
Acquire::Retries "3";
Acquire::Languages "none";
END
apt-get -q -c "$private/apt.conf" update
(cd "$private" && apt-get -q -c "$private/apt.conf" download "${missing[@]}")
for package in "$private"/*.deb; do
    dpkg-deb -x "$package" "$tools"
done

for name in "${missing[@]}"; do
    if ! file=$(found "$name"); then
        echo "$name was fetched into $tools but does not run here: install it and put it on PATH" >&2
        exit 69
    fi
    echo "$name: $file"
done
