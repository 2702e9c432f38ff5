"""Tunnels through SSH: reaching a service from another host's point of view."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko

from quaylab.model import LOOPBACK

BLOCK = 65536
LOST_AFTER = 30  # seconds without an answer, also on an idle connection
CONNECTION = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
    CONNECTION += [
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER * 1000),
    ]
Stream = socket.socket | paramiko.Channel


def prompt_transport(sock: Stream, *arguments: Any, **options: Any) -> paramiko.Transport:
    """Return an SSH transport that sends each packet at once, and ends when the host is lost.

    With Nagle's algorithm, paramiko's default, a remote command takes about 50 ms instead of 10.
    Without keep-alives a run would wait for a lost host forever.
    """
    end = sock
    while isinstance(end, paramiko.Channel):  # by way of a jump host
        end = end.get_transport().sock
    if isinstance(end, socket.socket):
        for level, option, value in CONNECTION:
            end.setsockopt(level, option, value)
    return paramiko.Transport(sock, *arguments, **options)


@contextmanager
def forward(
    transport: paramiko.Transport | None, address: str, port: int
) -> Iterator[tuple[str, int]]:
    """Yield a local address and port that lead to ``address``:``port`` as the remote host sees it.

    Without a transport the remote host is this machine, and the connection is direct.
    """
    if transport is None:
        yield address, port
        return

    def reach() -> Stream:
        return transport.open_channel("direct-tcpip", (address, port), (LOOPBACK, 0), timeout=10)

    with socket.create_server((LOOPBACK, 0)) as listener, serve(listener, reach):
        yield LOOPBACK, listener.getsockname()[1]


@contextmanager
def serve(listener: socket.socket, reach: Callable[[], Stream]) -> Iterator[None]:
    """Connect every client of ``listener`` with a new stream from ``reach``."""
    accepting = threading.Thread(target=_accept, args=(listener, reach), daemon=True)
    accepting.start()
    try:
        yield
    finally:
        # Wakes accept(), which close() alone does not on Linux.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(timeout=5)


def _accept(listener: socket.socket, reach: Callable[[], Stream]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            far = reach()
        except (paramiko.SSHException, EOFError, OSError):
            # Nobody listens there: the client gets a closed connection.
            client.close()
            continue
        for source, sink in ((client, far), (far, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: Stream, sink: Stream) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(BLOCK):
            sink.sendall(data)
    with suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_WR)
