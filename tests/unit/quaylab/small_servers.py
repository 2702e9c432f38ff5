"""Database and Redis servers with just enough of their protocols for one client."""

from __future__ import annotations

import hashlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Server(socketserver.ThreadingTCPServer):
    """A server with a valid password, and the answer to a client's query."""

    daemon_threads = True

    def __init__(
        self,
        handler: type[Handler],
        password: str,
        answer: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.password = password
        self.answer = answer
        self.tls = tls

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(socketserver.StreamRequestHandler):
    """A connection."""

    server: Server

    @property
    def password(self) -> str:
        return self.server.password

    def secure(self) -> bool:
        """Continue with TLS; return False if the client doesn't trust it."""
        assert self.server.tls
        try:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        except OSError:
            return False
        self.setup()
        return True


@contextmanager
def serving(
    handler: type[Handler],
    password: str = "",
    answer: str | None = "",
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Run a server in a thread; yield its port."""
    with Server(handler, password, answer, tls) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server.port
        finally:
            server.shutdown()


class Silent(Handler):
    """A server that accepts connections and never answers, as behind a misconfigured firewall."""

    def handle(self) -> None:
        while self.rfile.read(1):
            pass


class Redis(Handler):
    """Redis, as old as 3.2; ``answer`` is its version."""

    role = "master"

    def handle(self) -> None:
        if self.server.tls and not self.secure():
            return
        trusted = False
        while words := self._command():
            name = words[0].upper()
            if name == "AUTH":
                trusted = words[-1] == self.password
                self.wfile.write(
                    b"+OK\r\n" if trusted else b"-WRONGPASS invalid username-password pair\r\n"
                )
            elif name in ("HELLO", "CLIENT"):
                self.wfile.write(f"-ERR unknown command '{name}'\r\n".encode())
            elif not trusted:
                self.wfile.write(b"-NOAUTH Authentication required.\r\n")
            elif name == "INFO":
                sections = {
                    "server": f"redis_version:{self.server.answer}",
                    "replication": f"role:{self.role}",
                }
                text = f"# {words[1]}\r\n{sections[words[1]]}\r\n"
                self.wfile.write(f"${len(text)}\r\n{text}\r\n".encode())
            else:
                self.wfile.write(b"+PONG\r\n" if name == "PING" else b"+OK\r\n")

    def _command(self) -> list[str]:
        count = int(self.rfile.readline()[1:] or 0)
        words = []
        for _ in range(count):
            size = int(self.rfile.readline()[1:])
            words.append(self.rfile.read(size + 2)[:size].decode())
        return words


class RedisReplica(Redis):
    """A read-only one."""

    role = "slave"


class PostgreSQL(Handler):
    """PostgreSQL 15.4; ``answer`` is the row that a SELECT finds, None for no row."""

    takes_writes = True

    def handle(self) -> None:
        while (wanted := self._start()) in (0, 80877103, 80877104):
            if not wanted:  # the client has disconnected
                return
            if wanted == 80877103 and self.server.tls:
                self.wfile.write(b"S")
                if not self.secure():
                    return
            else:
                self.wfile.write(b"N")  # no TLS, no GSSAPI
        self._send(b"R", struct.pack("!i", 3))  # asks for the password
        kind, password = self._receive()
        if not kind:
            return  # the client doesn't trust the certificate
        if password.rstrip(b"\0").decode() != self.password:
            self._send(b"E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0")
            return
        self._send(b"R", struct.pack("!i", 0))
        for parameter in (b"server_version\x0015.4 (Debian 15.4-1)\0", b"client_encoding\0UTF8\0"):
            self._send(b"S", parameter)
        self._ready()
        while (received := self._receive())[0] == b"Q":
            if b"SELECT" in received[1]:
                self._send(b"T", struct.pack("!h2sihihih", 1, b"c", 0, 0, 23, 4, -1, 0))
                if self.server.answer is not None:
                    refused = b"read_only" in received[1] and not self.takes_writes
                    value = b"0" if refused else self.server.answer.encode()
                    self._send(b"D", struct.pack("!hi", 1, len(value)) + value)
            self._send(b"C", b"SELECT 1\0")
            self._ready()

    def _start(self) -> int:
        """Return the kind of a start-up message."""
        if len(head := self.rfile.read(8)) < 8:
            return 0
        size, kind = struct.unpack("!ii", head)
        self.rfile.read(size - 8)
        return int(kind)

    def _ready(self) -> None:
        self._send(b"Z", b"I")

    def _receive(self) -> tuple[bytes, bytes]:
        kind = self.rfile.read(1)
        if not kind:
            return b"", b""
        (size,) = struct.unpack("!i", self.rfile.read(4))
        return kind, self.rfile.read(size - 4)

    def _send(self, kind: bytes, payload: bytes) -> None:
        self.wfile.write(kind + struct.pack("!i", len(payload) + 4) + payload)


class PostgreSQLStandby(PostgreSQL):
    """A read-only one."""

    takes_writes = False


class MySQL(Handler):
    """MySQL 8.0.36; ``answer`` is the database's character set."""

    read_only = "0"
    salt = b"12345678abcdefghijkl"

    def handle(self) -> None:
        self._sequence = 0
        capabilities = 0x000F_FFFF  # all of the original ones
        if not self.server.tls:
            capabilities &= ~0x800
        low, high = capabilities & 0xFFFF, capabilities >> 16
        self._send(
            b"\x0a8.0.36\0"
            + struct.pack("<I8sxHBHHB10x", 1, self.salt[:8], low, 8, 2, high, 21)
            + self.salt[8:]
            + b"\0mysql_native_password\0"
        )
        if self.server.tls:
            # Read the request for TLS without the buffer, because the handshake follows at once.
            head = self.request.recv(4, socket.MSG_WAITALL)
            self.request.recv(head[0], socket.MSG_WAITALL)
            if not self.secure():
                return
        if self._scramble() not in self._receive():
            self._send(
                b"\xff"
                + struct.pack("<H", 1045)
                + b"#28000Access denied for user 'quay'@'127.0.0.1' (using password: YES)"
            )
            return
        self._send(b"\0\0\0\2\0\0\0")
        while (command := self._receive())[:1] == b"\x03":
            if b"SELECT" in command:
                self._rows(self.server.answer or "", "8.0.36", self.read_only)
            elif b"Ssl_cipher" in command:
                self._rows("Ssl_cipher", self.request.cipher()[0] if self.server.tls else "")
            else:
                self._send(b"\0\0\0\2\0\0\0")

    def _scramble(self) -> bytes:
        first = _sha1(self.password.encode())
        mask = _sha1(self.salt + _sha1(first))
        return bytes(a ^ b for a, b in zip(first, mask, strict=True))

    def _rows(self, *values: str) -> None:
        self._send(bytes([len(values)]))
        for _ in values:
            names = b"\3def\0\0\0\1c\1c"
            self._send(names + b"\x0c" + struct.pack("<HIBHBxx", 8, 255, 253, 0, 0))
        self._send(b"\xfe\0\0\2\0")
        self._send(b"".join(bytes([len(value)]) + value.encode() for value in values))
        self._send(b"\xfe\0\0\2\0")

    def _receive(self) -> bytes:
        header = self.rfile.read(4)
        if not header:
            return b""
        self._sequence = header[3] + 1
        return self.rfile.read(int.from_bytes(header[:3], "little"))

    def _send(self, payload: bytes) -> None:
        self.wfile.write(len(payload).to_bytes(3, "little") + bytes([self._sequence]) + payload)
        self._sequence += 1


class MySQLReplica(MySQL):
    """A read-only one."""

    read_only = "1"


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()
