#!/usr/bin/env bash
# The providers' official clients against the sandbox. Their versions are what a package index gives today: a change of theirs is news.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"

command -v python3 >/dev/null || skip "no python3"
venv=$TARGET/system-venv
if ! [ -x "$venv/bin/pip" ]; then
    python3 -m venv "$venv" >/dev/null 2>&1 || skip "python3 cannot make a virtual environment (python3-venv is missing)"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$HERE/requirements.txt" ||
    skip "the clients cannot be installed (no package index?)"

scratch
start_sandbox
# google-auth looks for it when it is loaded.
GCE_METADATA_HOST=$(sed -n 's|^metadata_url = "http://\(.*\)"$|\1|p' "$CONFIG")
export GCE_METADATA_HOST
"$venv/bin/python" "$HERE/clients.py"

# What the sandbox stands in for beyond the daemon's calls, on a world in which nothing has happened yet.
start_sandbox
"$venv/bin/python" "$HERE/official_clients.py" "${CONTROL#http://}" "$SANDBOX_DIR"
