"""HTTP to a server by its own name, over connections that the caller opens, such as tunnels."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from quaylab import tls

# Opens a connection to a name or address and a port, as another host would.
Dial = Callable[[str, int], socket.socket]
TIMEOUT = 15.0


@contextmanager
def dialer(
    through: Callable[[str, int], AbstractContextManager[tuple[str, int]]],
) -> Iterator[Dial]:
    """Yield a function that opens tunnels when they are needed: S3's buckets and Keystone's catalog
    have further names.

    Args:
        through: opens a tunnel to an address and port, and returns its local end.
    """
    with ExitStack() as tunnels:
        known: dict[tuple[str, int], tuple[str, int]] = {}

        def dial(address: str, port: int) -> socket.socket:
            if (address, port) not in known:
                known[address, port] = tunnels.enter_context(through(address, port))
            return socket.create_connection(known[address, port], timeout=TIMEOUT)

        yield dial


def manager(
    dial: Dial, authorities: Iterable[str] = (), proxy: str | None = None
) -> urllib3.PoolManager:
    """Return a urllib3 manager whose connections are opened by ``dial``, also those to a proxy.

    Args:
        authorities: PEM of CAs to trust in addition to the public ones.
    """
    context = tls.context(*authorities, public=True)
    timeout = urllib3.Timeout(TIMEOUT)
    pool_manager = (
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

    pool_manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pool_manager


def root_cause(error: BaseException) -> BaseException:
    """Return the first cause of an error: it is readable, while urllib3's errors name objects."""
    while cause := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error
