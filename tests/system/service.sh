#!/usr/bin/env bash
# The hardened unit under a real systemd: ready, status in words, a failover, kill -9, a hanging process, a clean stop.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"

[ "$(id -u)" = 0 ] || skip "needs root, for a systemd in namespaces of its own"
for tool in unshare nsenter pgrep systemctl systemd-analyze curl; do
    command -v "$tool" >/dev/null || skip "no $tool"
done
[ -x /lib/systemd/systemd ] || skip "no systemd on this machine"
for hierarchy in memory pids cpu freezer systemd unified; do
    [ -w "/sys/fs/cgroup/$hierarchy/cgroup.procs" ] || skip "the control group hierarchy $hierarchy is not there or not ours"
done
unshare -C -m -p -n -i -u --fork true 2>/dev/null || skip "namespaces are not allowed here"

scratch
NAME=pilotlight-box-$$
FILES=$SCRATCH/files
SECRETS=/var/lib/sandbox
CONTROL=http://127.0.0.1:9900

inside() {
    nsenter -t "$LEADER" -m -u -i -n -p -- "$@"
}

# What systemd knows of the service.
property() {
    inside systemctl show pilotlight.service --property "$1" --value
}

say() {
    printf 'ok      %s\n' "$1"
}

status_says() {
    property StatusText | grep -q "$1"
}

is_active() {
    [ "$(property ActiveState)" = active ]
}

# Active again with another process than $1.
is_active_anew() {
    is_active && [ "$(property MainPID)" != "$1" ]
}

restarted() {
    local before
    before=$(property MainPID)
    inside kill "-$1" "$before"
    wait_for 30 "the service did not come back: $(property Result)" is_active_anew "$before"
}

lay_files() {
    local units=$FILES/etc/systemd/system
    mkdir -p "$units/pilotlight.service.d" "$FILES/usr/bin" "$FILES/etc/pilotlight" "$SCRATCH/box"
    cp "$PILOTLIGHT" "$FILES/usr/bin/pilotlight"
    cp "$HERE/../../systemd/pilotlight.service" "$units/"
    cat >"$units/pilotlight-sandbox.service" <<UNIT
[Service]
ExecStart=/usr/bin/pilotlight sandbox --listen ${CONTROL#http://} --dir $SECRETS
UNIT
    # A shorter patience with a loop that hangs, so that this test need not wait a minute.
    cat >"$units/pilotlight.service.d/test.conf" <<UNIT
[Service]
WatchdogSec=4
LoadCredential=admin_token:$SECRETS/admin-token
LoadCredential=cloudflare_token:$SECRETS/cloudflare-token
LoadCredential=google_key:$SECRETS/google-key.json
LoadCredential=webhook_url:$SECRETS/webhook-url
UNIT
}

# The sandbox's config as it would be installed: secrets as credentials, state and socket where the unit puts them.
install_config() {
    inside sed -e 's|^state_dir = .*|state_dir = "/var/lib/pilotlight"|' \
        -e 's|^listen = .*|listen = "unix:/run/pilotlight/admin.sock"|' \
        -e "s|\"$SECRETS/admin-token\"|\"admin_token\"|" \
        -e "s|\"$SECRETS/cloudflare-token\"|\"cloudflare_token\"|" \
        -e "s|\"$SECRETS/google-key.json\"|\"google_key\"|" \
        -e "s|\"$SECRETS/webhook-url\"|\"webhook_url\"|" \
        -e "s|\"$SECRETS/ca.pem\"|\"/etc/pilotlight/ca.pem\"|" \
        "$SECRETS/pilotlight.toml" >"$SCRATCH/pilotlight.toml"
    # shellcheck disable=SC2016
    inside sh -c 'cat >/etc/pilotlight/pilotlight.toml && chmod 644 /etc/pilotlight/pilotlight.toml' <"$SCRATCH/pilotlight.toml"
    inside install -m 644 "$SECRETS/ca.pem" /etc/pilotlight/ca.pem
}

boot() {
    "$HERE/box.sh" "$NAME" "$SCRATCH/box" "$FILES" >"$SCRATCH/box.log" 2>&1 &
    local box=$!
    STARTED+=("$box")
    # Ends pid 1 of the box and with it everything in there; unshare itself does not listen to SIGTERM.
    trap 'kill -KILL $(pgrep -P '"$box"') 2>/dev/null || true; clean_up; remove_groups' EXIT
    wait_for 10 "the box does not start: $(cat "$SCRATCH/box.log")" pgrep -P "$box" -x systemd
    LEADER=$(pgrep -P "$box")
    wait_for 20 "systemd in the box does not come up" inside systemctl is-active multi-user.target
}

remove_groups() {
    local hierarchy
    for hierarchy in memory pids cpu freezer systemd unified; do
        find "/sys/fs/cgroup/$hierarchy/$NAME" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

lay_files
boot
inside systemctl start pilotlight-sandbox.service
wait_for 10 "the sandbox does not start in the box" inside curl -sf "$CONTROL/state"
install_config

inside systemctl start pilotlight.service || fail "it does not start: $(inside journalctl -u pilotlight -n 20 --no-pager 2>/dev/null)"
is_active || fail "it is not active"
say "systemctl start returns when it is ready"
wait_for 20 "no status in words: $(property StatusText)" status_says "home serves visitors"
say "status: $(property StatusText)"
say "$(inside systemd-analyze security --no-pager pilotlight.service | tail -n 1 | sed 's/^[^A-Za-z]*//')"

sleep 8 # longer than a hanging loop is given; all the while the watchdog is fed
is_active && [ "$(property NRestarts)" = 0 ] || fail "a healthy daemon was restarted"
say "the watchdog is fed"

inside curl -sf -X POST "$CONTROL/home/refusing" >/dev/null
wait_for 40 "no failover: $(property StatusText)" status_says "the standby serves visitors"
say "status in an outage: $(property StatusText)"

restarted KILL
wait_for 20 "after kill -9: $(property StatusText)" status_says "the standby serves visitors"
say "kill -9 in the outage: back, and visitors stay at the standby"

restarted STOP
say "a process that hangs is ended by the watchdog and started anew"

inside curl -sf -X POST "$CONTROL/home/serving" >/dev/null
wait_for 60 "not home again: $(property StatusText)" status_says "home serves visitors"
say "home again: $(property StatusText)"

inside systemctl stop pilotlight.service
[ "$(property Result)" = success ] || fail "stopping ended with $(property Result)"
say "stops cleanly"
