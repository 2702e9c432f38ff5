"""Tunnels to what another host can reach, through an SSH server in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_FAILED_CONNECT_FAILED, OPEN_SUCCEEDED

from quaylab.clients.tunnel import LOST_AFTER, forward, prompt_transport
from quaylab.model import LOOPBACK

SERVICE = ("db.internal", 5432)


class _Gate(paramiko.ServerInterface):
    """An SSH server that accepts everybody, and forwards to SERVICE only."""

    def get_allowed_auths(self, username: str) -> str:
        return "none"

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if destination == SERVICE:
            return OPEN_SUCCEEDED
        return OPEN_FAILED_CONNECT_FAILED


def _serve(transport: paramiko.Transport) -> None:
    """Run SERVICE: it reads everything, and returns it in upper case."""
    while channel := transport.accept(10):
        received = b"".join(iter(lambda: channel.recv(1024), b""))
        channel.sendall(received.upper())
        channel.close()


@pytest.fixture
def transport() -> Iterator[paramiko.Transport]:
    """A connection to the SSH server."""
    here, there = socket.socketpair()
    server, client = paramiko.Transport(there), paramiko.Transport(here)
    server.add_server_key(paramiko.ECDSAKey.generate())
    try:
        server.start_server(threading.Event(), _Gate())
        client.start_client(timeout=10)
        client.auth_none("operator")
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield client
    finally:
        client.close()
        server.close()


def _send(target: tuple[str, int], words: bytes) -> bytes:
    with socket.create_connection(target, timeout=10) as connection:
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1024), b""))


def test_this_machine_needs_no_tunnel() -> None:
    with forward(None, *SERVICE) as target:
        assert target == SERVICE


def test_data_goes_there_and_back(transport: paramiko.Transport) -> None:
    with forward(transport, *SERVICE) as target:
        assert _send(target, b"hello") == b"HELLO"


def test_more_than_fits_into_one_packet(transport: paramiko.Transport) -> None:
    words = b"quay" * 100_000
    with forward(transport, *SERVICE) as target:
        assert _send(target, words) == words.upper()


def test_several_connections_one_after_another(transport: paramiko.Transport) -> None:
    with forward(transport, *SERVICE) as target:
        assert [_send(target, word) for word in (b"a", b"b")] == [b"A", b"B"]


def test_it_listens_on_loopback_only(transport: paramiko.Transport) -> None:
    with forward(transport, *SERVICE) as (address, _):
        assert address == "127.0.0.1"


def test_nobody_there_is_a_closed_connection(transport: paramiko.Transport) -> None:
    with forward(transport, "db.internal", 1) as target:
        assert _send(target, b"") == b""


def test_lost_connection_is_a_closed_connection(transport: paramiko.Transport) -> None:
    with forward(transport, *SERVICE) as target:
        transport.close()
        assert _send(target, b"") == b""


def test_it_ends_with_its_block(transport: paramiko.Transport) -> None:
    with forward(transport, *SERVICE) as target:
        pass
    with pytest.raises(ConnectionRefusedError):
        _send(target, b"hello")


def _timeout(connection: socket.socket) -> tuple[bool, int]:
    """Return whether a connection has keepalive, and its timeout without an answer, in ms."""
    has_keepalive = bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    return has_keepalive, connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_connection_to_a_lost_host_ends(transport: paramiko.Transport) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        with socket.create_connection(server.getsockname()) as connection:
            prompt_transport(connection)
            assert _timeout(connection) == (True, LOST_AFTER * 1000)
        with socket.create_connection(server.getsockname()) as jump:
            # Only the connection to the jump host has a socket, not one that goes through it.
            channel = paramiko.Channel(1)
            channel.transport = paramiko.Transport(jump)
            prompt_transport(channel)
            assert _timeout(jump) == (True, LOST_AFTER * 1000)
