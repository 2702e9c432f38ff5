"""Reaching a service as another host reaches it: a forward through that host's SSH connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from quaylab.topology import LOOPBACK

BLOCK = 65536


@contextmanager
def forward(
    transport: paramiko.Transport | None, address: str, port: int
) -> Iterator[tuple[str, int]]:
    """A local address and port that lead to ``address``:``port`` as the far host sees it.

    With no transport the far host is this machine, and the way is direct.
    """
    if transport is None:
        yield address, port
        return
    with socket.create_server((LOOPBACK, 0)) as listener:
        accepting = threading.Thread(
            target=_accept, args=(listener, transport, (address, port)), daemon=True
        )
        accepting.start()
        try:
            yield LOOPBACK, listener.getsockname()[1]
        finally:
            # Wakes accept(), which close() alone does not on Linux.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(timeout=5)


def _accept(
    listener: socket.socket, transport: paramiko.Transport, target: tuple[str, int]
) -> None:
    while True:
        try:
            client, origin = listener.accept()
        except OSError:
            return
        try:
            channel = transport.open_channel("direct-tcpip", target, origin, timeout=10)
        except (paramiko.SSHException, EOFError):
            # Nobody listens there: the client sees it as a closed connection.
            client.close()
            continue
        for source, sink in ((client, channel), (channel, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(BLOCK):
            sink.sendall(data)
    with suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_WR)
