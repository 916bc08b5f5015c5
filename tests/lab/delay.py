"""A line with a delay, for kernels without netem: two TUN devices, and this process between them.

Usage: delay.py NAMESPACE NAMESPACE MILLISECONDS JITTER SEED. Both devices are called `slow0`; says `ready` once they are there.
"""

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
CLONE_NEWNET = 0x40000000


def device(namespace):
    """A TUN device in a namespace."""
    with open(f"/run/netns/{namespace}") as there:
        if ctypes.CDLL(None).setns(there.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"cannot enter {namespace}")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", b"slow0", IFF_TUN_NO_PI))
    return end


def carry(ends, delay, jitter, chance):
    """Passes packets from either end to the other, late."""
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    under_way, number = [], 0
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], wait)[0]:
            late = delay + chance.uniform(-jitter, jitter)
            heapq.heappush(under_way, (time.monotonic() + late, number, other[end], os.read(end, 65536)))
            number += 1
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(under_way)
            # A device that is not up yet, or no longer, takes nothing: the packet is lost as on any line.
            with contextlib.suppress(OSError):
                os.write(end, packet)


def main():
    """Makes the line and keeps it until it is ended."""
    ends = [device(namespace) for namespace in sys.argv[1:3]]
    delay, jitter, seed = sys.argv[3:6]
    print("ready", flush=True)
    carry(ends, float(delay) / 1000, float(jitter) / 1000, random.Random(seed))


main()
