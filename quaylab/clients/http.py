"""HTTP under a server's own name, by way of whatever leads there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from quaylab import tls

# Opens a connection to a name or an address and a port, as some host sees them.
Dial = Callable[[str, int], socket.socket]
TIMEOUT = 15.0


@contextmanager
def dialer(
    through: Callable[[str, int], AbstractContextManager[tuple[str, int]]],
) -> Iterator[Dial]:
    """What opens a connection when it is asked for one: S3's buckets and Keystone's catalog have
    names of their own.

    Args:
        through: a local end of a way to an address and a port.
    """
    with ExitStack() as connections:
        known: dict[tuple[str, int], tuple[str, int]] = {}

        def dial(address: str, port: int) -> socket.socket:
            if (address, port) not in known:
                known[address, port] = connections.enter_context(through(address, port))
            return socket.create_connection(known[address, port], timeout=TIMEOUT)

        yield dial


def manager(
    dial: Dial, authorities: Iterable[str] = (), proxy: str | None = None
) -> urllib3.PoolManager:
    """urllib3 whose connections are opened by ``dial``, even the one to a proxy.

    Args:
        authorities: PEM of CAs to trust beside the public ones.
    """
    context = tls.context(*authorities, public=True)
    timeout = urllib3.Timeout(TIMEOUT)
    made = (
        urllib3.ProxyManager(proxy, ssl_context=context, timeout=timeout, retries=False)
        if proxy
        else urllib3.PoolManager(ssl_context=context, timeout=timeout, retries=False)
    )

    def connect(connection: HTTPConnection) -> socket.socket:
        try:
            return dial(connection.host, connection.port)
        except OSError as error:
            raise NewConnectionError(connection, str(error)) from error

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    made.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return made


def root(error: BaseException) -> BaseException:
    """The first cause, in whose words there is something to read; urllib3's tell of its objects."""
    while cause := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error
