"""HAProxy that passes connections on as they are: what router and ingress have in common."""

from __future__ import annotations

from collections.abc import Sequence

from quaylab.model import Container, ManagedFile, container_name, digests
from quaylab.paths import ETC
from quaylab.services import balancer
from quaylab.services.base import Context, Port, Workload
from quaylab.services.environment import configuration_mount

FILE = "haproxy.cfg"
CONFIGURATION = f"{ETC}/{FILE}"
# That of HAProxy's user in docker.io/library/haproxy. The packaged image's user has another number,
# and no name is needed here.
UID = 99
HEALTH_PORT = 8404
# HAProxy's own health, which says nothing about the servers behind it.
HEALTH = f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{HEALTH_PORT}'"
# Prints the state of each server behind it as CSV.
STATISTICS = (
    f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{HEALTH_PORT} && "
    r'printf "GET /stats;csv HTTP/1.0\r\n\r\n" >&3 && cat <&3'
    "'"
)


def head(title: str, patience: str = "5s") -> str:
    """Return the first part of haproxy.cfg.

    Args:
        title: what the whole file is, in a line.
        patience: how long open connections last when it stops.
    """
    return f"""\
# {title}
global
    log stdout format raw local0 notice
    maxconn 4000
    # Quay's connections never end by themselves, and a reload or a stop would wait for them.
    hard-stop-after {patience}

defaults
    log global
    mode tcp
    option dontlognull
    # A member that is gone costs half a second, and the next try takes another one.
    timeout connect 500ms
    timeout check 1s
    retries 3
    option redispatch 1
    # Quay's pools keep idle connections; the kernel finds out whether the other side still exists.
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka

# Health, and figures of each member for the host itself: /stats;csv
frontend health
    mode http
    timeout client 5s
    bind 127.0.0.1:{HEALTH_PORT}
    monitor-uri /health
    stats enable
    stats uri /stats
"""


def configuration(service: str, text: str) -> ManagedFile:
    """Return a service's haproxy.cfg, which holds no secret."""
    return ManagedFile(f"{ETC}/{service}/{FILE}", text, uid=UID, mode=0o400)


def workload(
    context: Context,
    service: str,
    files: Sequence[ManagedFile],
    ports: Sequence[Port],
    interruption: str,
) -> Workload:
    """Return the container, which a changed file replaces."""
    settings, wanted = context.settings, balancer.image(context.settings)
    container = Container(
        name=container_name(service),
        image=wanted.reference,
        version=wanted.tag,
        owner=context.credentials.fingerprint,
        command=("haproxy", "-db", "-f", CONFIGURATION),
        health=HEALTH,
        ports=tuple(port.published for port in ports),
        mounts=(configuration_mount(service),),
        files=digests(*files),
        log_size=settings.container_log_size,
        log_files=settings.container_log_files,
        user=str(UID),
    )
    return Workload(service, wanted, tuple(files), None, container, interruption=interruption)
