#!/usr/bin/env bash
# Compiles requirements*.in into hashed locks without any host name in them. Arguments go to uv (`--upgrade`).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=.venv/bin/uv
if [ ! -x "$uv" ]; then
    echo "lock: $uv is missing (pip built this environment); install uv into it to compile locks." >&2
    exit 1
fi

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"
}

compile --override requirements-override.txt requirements.in requirements-dev.in -o requirements.txt "$@"
compile requirements-studio.in -o requirements-studio.txt "$@"
sed -nE 's/^(uv==[^ ]+).*/\1/p' requirements-uv.txt | compile --no-annotate - -o requirements-uv.txt
