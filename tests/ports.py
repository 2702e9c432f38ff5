"""Ports for the tests' own servers on this machine."""

from __future__ import annotations

import secrets
import socket

# Below those that the kernel gives to outgoing connections: such a port may be in use again by the
# time that a server is to have it.
PORTS = range(20000, 32768)


def free_port() -> int:
    """Return a port that nothing listens on and no outgoing connection gets."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
