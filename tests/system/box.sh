#!/usr/bin/env bash
# Boots this machine's own systemd as pid 1 in namespaces of its own, over a throw-away overlay of /. Usage: box.sh NAME SCRATCH FILES
# FILES is a directory laid over the box's root. Nothing outside SCRATCH and the box's control groups is touched.
set -euo pipefail
NAME=$1 SCRATCH=$2 FILES=$3

for hierarchy in memory pids cpu freezer systemd unified; do
    mkdir -p "/sys/fs/cgroup/$hierarchy/$NAME"
    echo $$ >"/sys/fs/cgroup/$hierarchy/$NAME/cgroup.procs"
done

# shellcheck disable=SC2016 # expanded by the inner shell
inside='
set -eu
NAME=$1 SCRATCH=$2 FILES=$3
mount -t tmpfs tmpfs "$SCRATCH"
mkdir "$SCRATCH/upper" "$SCRATCH/work" "$SCRATCH/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" "$SCRATCH/root"
cd "$SCRATCH/root"

# No unit of the machine is started in here but what it needs to be up.
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.service etc/init.d etc/rc?.d etc/fstab
: >etc/machine-id
cp -a "$FILES/." .

mount -t proc proc proc
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs tmpfs tmp
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for hierarchy in memory pids cpu freezer; do
    mkdir "sys/fs/cgroup/$hierarchy"
    mount -t cgroup -o "$hierarchy" cgroup "sys/fs/cgroup/$hierarchy"
done
mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
mount -t cgroup -o name=systemd,none cgroup sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 sys/fs/cgroup/unified

hostname "$NAME"
pivot_root . mnt
umount -l /mnt
cd /
mount --make-rshared /
exec env -i container=unshare PATH="$PATH" /lib/systemd/systemd --system --log-target=console --log-level=notice \
    systemd.unit=multi-user.target </dev/null
'
exec unshare -C -m -p -n -i -u --fork --propagation private bash -c "$inside" box "$NAME" "$SCRATCH" "$FILES"
