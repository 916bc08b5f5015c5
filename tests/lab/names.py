"""The watcher's name server: a few names, and what can become of them."""

import socket
import struct
import threading

NAMES = {"home.example": "10.77.1.2", "one-reference.example": "10.77.3.2", "two-reference.example": "10.77.3.2"}
NO_SUCH_NAME = 3
TYPE_A = 1


class NameServer:
    """Answers for `NAMES` over UDP; forgets names or falls silent when told."""

    def __init__(self, net, place):
        self.forgotten = set()
        self.silent = False
        self.socket = net.socket(place, socket.SOCK_DGRAM)
        self.socket.bind(("10.77.3.2", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Answers until the socket is closed."""
        while True:
            try:
                query, sender = self.socket.recvfrom(512)
            except OSError:
                return
            if not self.silent:
                self.socket.sendto(self.answer(query), sender)

    def answer(self, query):
        """The answer to one question."""
        name, end = question(query)
        kind = struct.unpack_from("!H", query, end)[0]
        known = name in NAMES and name not in self.forgotten
        records = b""
        if known and kind == TYPE_A:
            records = struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 0, 4) + socket.inet_aton(NAMES[name])
        flags = 0x8180 | (0 if known else NO_SUCH_NAME)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0)
        return head + query[12 : end + 4] + records


def question(query):
    """The name asked for, and where its type stands."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1
