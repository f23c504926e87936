#!/usr/bin/env bash
# Builds the environments: .venv (NextLabel, its tests) and, for `all`, .venv-studio (Label Studio, a separate program).
#
#   scripts/setup.sh backend | all
#
# Both come from hashed locks, so what is installed never depends on where it was downloaded from. A stamp is written
# only at the end: an environment without the right one was not finished, or is out of date, and is built anew.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
lock=$root/.venv-lock # a folder, since making one is atomic everywhere
stamp=.nextlabel-stamp

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "setup: $*"
    exit 1
}

# -- which Python ------------------------------------------------------------------------------------------------------

suits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" || fail "PYTHON is '$PYTHON', which is not a Python 3.11 or newer with venv; name another or unset it."
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if suits "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    command -v python3 >/dev/null || fail "There is no python3 here; install Python 3.11 or newer."
    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        fail "$(python3 --version) lacks its venv module; install it (on Debian: apt install python3-venv) and run this again."
    fi
    fail "$(python3 --version 2>&1) is too old; install Python 3.11 or newer, or name one in PYTHON."
}

# -- stamps ------------------------------------------------------------------------------------------------------------

# An environment cannot be moved, so its place counts as much as its contents.
wanted() { { printf '%s\n' "$root"; cat "$@"; } | cksum; }
fresh() { # ENVIRONMENT NAME FILES...
    local environment=$1 name=$2
    shift 2
    [ -x "$environment/bin/python" ] && [ "$(cat "$environment/$stamp-$name" 2>/dev/null)" = "$(wanted "$@")" ]
}
mark() { # ENVIRONMENT NAME FILES...
    local environment=$1 name=$2
    shift 2
    wanted "$@" >"$environment/$stamp-$name"
}

# -- installing --------------------------------------------------------------------------------------------------------

offline() { # LOG: whether it tells of an index that could not be reached
    grep -qiE 'name resolution|could not resolve|dns error|network is unreachable|no route to host|connection refused|failed to establish a new connection|error sending request|connect(ion)?( attempt)? ?timed? ?out|proxyerror' "$1"
}

no_network() {
    fail "The package index cannot be reached. Connect to the network (or set the proxy or index that pip uses) and run" \
        "the same command again."
}

# uv does not read pip's configuration: an index that is set there is passed on. Hashes make the order of indexes harmless.
use_pips_index() {
    local settings value
    settings=$(.venv/bin/python -m pip config list 2>/dev/null || true)
    value=$(sed -nE "s/^(global|install|:env:)\.index-url='(.*)'$/\2/p" <<<"$settings" | tail -n 1)
    if [ -n "$value" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$value}"; fi
    value=$(sed -nE "s/^(global|install|:env:)\.extra-index-url='(.*)'$/\2/p" <<<"$settings" | tail -n 1)
    if [ -n "$value" ]; then export UV_INDEX="${UV_INDEX:-$value}" UV_INDEX_STRATEGY=unsafe-best-match; fi
}

# pip shows its progress by itself; its words are read only after a failure.
with_pip() { # ENVIRONMENT ARGUMENTS...
    local environment=$1 log=$1/setup.log
    shift
    .venv/bin/python -m pip --python "$environment/bin/python" --disable-pip-version-check install "$@" && return
    say "setup: Trying once more; what was downloaded is kept."
    if .venv/bin/python -m pip --python "$environment/bin/python" --disable-pip-version-check --retries 1 install "$@" \
        >"$log" 2>&1; then return; fi
    if offline "$log"; then no_network; fi
    tail -n 12 "$log" >&2
    fail "pip could not install $*; its last words are above."
}

with_uv() { # ENVIRONMENT ARGUMENTS...
    local environment=$1 log=$1/setup.log
    shift
    .venv/bin/uv pip install --python "$environment/bin/python" "$@" && return
    say "setup: Trying once more; what was downloaded is kept."
    if .venv/bin/uv pip install --python "$environment/bin/python" "$@" >"$log" 2>&1; then return; fi
    if offline "$log"; then no_network; fi
    tail -n 12 "$log" >&2
    say "setup: uv failed (above); pip installs the same locked files, more slowly."
    return 1
}

get() { # ENVIRONMENT ARGUMENTS...
    if [ -x .venv/bin/uv ] && with_uv "$@"; then return; fi
    with_pip "$@"
}

install_uv() {
    local log=.venv/setup.log
    if .venv/bin/python -m pip --disable-pip-version-check --retries 2 install --quiet --no-deps --require-hashes \
        -r requirements-uv.txt >"$log" 2>&1; then
        use_pips_index
        return
    fi
    if offline "$log"; then no_network; fi
    tail -n 3 "$log" >&2
    say "setup: uv cannot be installed here (above); pip installs the same locked files, more slowly."
}

# -- the two environments ----------------------------------------------------------------------------------------------

backend_files=(requirements.txt requirements-uv.txt)
project_files=(requirements.txt requirements-uv.txt pyproject.toml)
studio_files=(requirements-studio.txt)

backend() {
    if ! fresh .venv lock "${backend_files[@]}"; then
        local python
        python=$(find_python)
        say "setup: Building .venv with $("$python" --version) (NextLabel; about 3 GB with torch, a few minutes)"
        rm -rf .venv
        "$python" -m venv .venv || fail "'$python -m venv .venv' failed; the reason is above."
        install_uv
        get .venv --no-deps --require-hashes -r requirements.txt
        mark .venv lock "${backend_files[@]}"
    fi
    if ! fresh .venv project "${project_files[@]}"; then
        say "setup: Installing NextLabel itself, from this checkout"
        get .venv --no-deps --no-build-isolation --editable .
        mark .venv project "${project_files[@]}"
    fi
}

studio() {
    if fresh .venv-studio lock "${studio_files[@]}"; then return; fi
    say "setup: Building .venv-studio (Label Studio, about 0.8 GB)"
    rm -rf .venv-studio
    .venv/bin/python -m venv --without-pip .venv-studio || fail "'.venv/bin/python -m venv .venv-studio' failed; see above."
    if [ -x .venv/bin/uv ]; then use_pips_index; fi
    get .venv-studio --no-deps --require-hashes -r requirements-studio.txt
    mark .venv-studio lock "${studio_files[@]}"
}

everything_fresh() {
    fresh .venv lock "${backend_files[@]}" && fresh .venv project "${project_files[@]}" &&
        { [ "$1" = backend ] || fresh .venv-studio lock "${studio_files[@]}"; }
}

# Two at once would build into the same folder. The lock of a killed run names a process that is gone.
take_lock() {
    local owner
    until mkdir "$lock" 2>/dev/null; do
        owner=$(cat "$lock/pid" 2>/dev/null || true)
        if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null && [[ "$(ps -o args= -p "$owner" 2>/dev/null || echo setup.sh)" == *setup.sh* ]]; then
            fail "Another setup (process $owner) is building the environments; run this again when it is done."
        fi
        rm -rf "$lock"
    done
    echo $$ >"$lock/pid"
    trap 'rm -rf "$lock"' EXIT
    trap 'say "setup: Stopped; the same command goes on from here."; exit 130' INT TERM
}

main() {
    case "${1:-}" in backend | all) ;; *) fail "'${1:-}' is no target; say 'backend' or 'all'." ;; esac
    if everything_fresh "$1"; then return; fi
    take_lock
    SECONDS=0
    backend
    if [ "$1" = all ]; then studio; fi
    say "setup: Ready after $SECONDS s"
}

main "$@"
