"""The start of TLS with PostgreSQL, to find the reason of an error."""

from __future__ import annotations

import socket
import ssl
import struct

# The request before a TLS handshake with PostgreSQL, and its answer.
POSTGRESQL_REQUEST, POSTGRESQL_AGREES = struct.pack("!ii", 8, 80877103), b"S"


def greet_postgresql(
    address: str, port: int, name: str, trusted: ssl.SSLContext, timeout: float
) -> None:
    """Make a TLS handshake with PostgreSQL, if it answers: libpq doesn't report why one fails.

    Raises:
        ssl.SSLError: the server has no TLS, or can't be trusted.
    """
    with socket.create_connection((address, port), timeout) as plain:
        plain.sendall(POSTGRESQL_REQUEST)
        answer = plain.recv(1)
        if not answer:
            return
        if answer != POSTGRESQL_AGREES:
            raise ssl.SSLError("the server has no TLS")
        with trusted.wrap_socket(plain, server_hostname=name):
            pass
