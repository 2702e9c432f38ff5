"""The container engine of each host, as a run has chosen it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from pyinfra.api import Host
from pyinfra.context import ctx_host

from quaylab.engines import DOCKER, ContainerEngine

_chosen: WeakKeyDictionary[Host, ContainerEngine] = WeakKeyDictionary()


def use(host: Host, engine: ContainerEngine) -> None:
    """Say which engine the facts and operations of a host are to use."""
    _chosen[host] = engine


def engine_of(host: Host) -> ContainerEngine:
    """Return a host's engine: Docker, unless a run has chosen another one."""
    return _chosen.get(host, DOCKER)


def host_engine() -> ContainerEngine:
    """Return the current host's engine."""
    host: Host | None = ctx_host.get()  # type: ignore[no-untyped-call]
    return engine_of(host) if host else DOCKER


@contextmanager
def using(engine: ContainerEngine) -> Iterator[None]:
    """Have the current host's facts and operations use another engine for a while."""
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    before = engine_of(host)
    use(host, engine)
    try:
        yield
    finally:
        use(host, before)
