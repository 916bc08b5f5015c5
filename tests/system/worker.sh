#!/usr/bin/env bash
# worker/standby.js in the real runtime of Cloudflare's Workers (`workerd`, from npm) between visitors and a closed standby.
# The runtime's version is what npm gives today: a change of theirs is news.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"

for tool in node npm openssl; do
    command -v "$tool" >/dev/null || skip "no $tool"
done
node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || skip "node is older than 20"
runtime=$TARGET/system-workerd
mkdir -p "$runtime"
npm install --prefix "$runtime" --no-save --no-audit --no-fund --loglevel=error workerd ||
    skip "workerd cannot be installed (no package registry?)"
WORKERD=$runtime/node_modules/.bin/workerd
"$WORKERD" --version || skip "workerd does not run on this machine"

scratch
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$SCRATCH/tls.key" -out "$SCRATCH/tls.pem" 2>/dev/null
cp worker/standby.js "$SCRATCH/"
WORKERD=$(realpath "$WORKERD") timeout 300 node "$HERE/worker.mjs" "$SCRATCH"
