"""HAProxy's configuration in front of Quay.

The values without another source are measured: two real Quay nodes behind HAProxy under counted
pushes and pulls, drained, restarted, killed. docs/balancer.md tells what was found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from quaylab.services.quay_nodes import Node

# Its files, in the container and on the host. The last one is an empty list, to which HAProxy's
# memory adds an entry while new connections are held (connection_hold.py).
CERTIFICATE, AUTHORITY, CONFIGURATION = "registry.pem", "trusted.pem", "haproxy.cfg"
HELD = "held"
# In the container, for root alone; the server states are written there before a reload.
SOCKET, STATES = "/run/haproxy-admin.sock", "/run/haproxy-states"
# The balancer's own health and metrics, on its host's loopback only.
HEALTH = "/healthy"
BACKEND = "quay"
# Manifests are small. One that fits can be sent to another node if the first one fails.
BUFFER = 65536


def render(
    nodes: Iterable[Node],
    hostname: str,
    source: str,
    ports: tuple[int, int, int],
    directory: str,
    certificates: tuple[str, str],
) -> str:
    """Return haproxy.cfg.

    Args:
        hostname: the registry's name, for which the nodes' certificate is verified.
        source: the address from which the nodes see connections, so that they trust it.
        ports: those of https, of the redirect to it, and of health and metrics.
        directory: the folder of its files in the container.
        certificates: the contents of CERTIFICATE and AUTHORITY. They are part of the digest that a
            running HAProxy tells, so that a run sees which ones it has loaded.
    """
    https, http, status = ports
    target = hostname if https == 443 else f"{hostname}:{https}"
    tls = (
        f"ssl verify required ca-file {directory}/{AUTHORITY} verifyhost {hostname} "
        f"sni str({hostname})"
    )
    servers = "\n".join(
        f"    server {each.name} {each.address}:{each.port} {tls}" for each in nodes
    )
    text = f"""\
global
    description DIGEST
    log stdout format raw local0 info
    user haproxy
    group haproxy
    stats socket {SOCKET} mode 600 level admin
    server-state-file {STATES}
    # After a reload the previous process answers its last requests, but not for ever.
    hard-stop-after 1h
    tune.bufsize {BUFFER}
    # Engines set no limit, for which HAProxy would reserve memory.
    fd-hard-limit 50000
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-server-options ssl-min-ver TLSv1.2

defaults
    mode http
    log global
    option dontlognull
    load-server-state-from-file global
    timeout connect 1s
    # For the answer alone: who takes no connection has failed within `timeout connect`. Beside
    # another Quay that starts, a healthy one needed more than 5 s on two processors.
    timeout check 15s
    timeout http-request 30s
    # Idle connections end while new ones are held (connection_hold.py).
    timeout http-keep-alive 3s
    timeout queue 10s
    # As long as Quay's nginx waits for its registry.
    timeout client 2000s
    timeout server 2000s
    # A machine that is lost closes no connection: ask it, and give up after 5 s.
    option srvtcpka
    srvtcpka-idle 2s
    srvtcpka-intvl 1s
    srvtcpka-cnt 3
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout 502 503

frontend https
    option httplog
    bind :{https} ssl crt {directory}/{CERTIFICATE} alpn h2,http/1.1
    # Set, never appended to: Quay believes what this header says.
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    # While new connections are held, each answer is the last one of its connection.
    http-after-response set-header Connection close if {{ str(held) -f {directory}/{HELD} }}
    default_backend {BACKEND}

frontend http
    option httplog
    bind :{http}
    http-request redirect prefix https://{target} code 301

frontend status
    bind 127.0.0.1:{status}
    no log
    monitor-uri {HEALTH}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 404

backend {BACKEND}
    balance leastconn
    source {source}
    # What changes something is not sent again, because it may have arrived: for a part of an upload
    # Quay would answer 404 or 400. A manifest may be put twice.
    acl manifest path_reg ^/v2/.+/manifests/[^/]+$
    http-request disable-l7-retry unless {{ method GET HEAD }} || manifest {{ method PUT }}
    http-request wait-for-body time 10s if manifest {{ method PUT }}
    option httpchk
    http-check send meth GET uri /health/instance ver HTTP/1.1 hdr Host {hostname}
    http-check expect status 200
    # Keepalive asks only on connections without data under way: this is for the others.
    default-server tcp-ut 5s
    default-server check inter 1s fastinter 500ms downinter 1s fall 2 rise 2
{servers}
"""
    return text.replace("DIGEST", digest(text, *certificates), 1)


def digest(*contents: str) -> str:
    """Return the digest by which a run recognises what a running HAProxy has loaded."""
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:16]


def loaded_digest(configuration: str) -> str:
    """Return the digest that a configuration made by :func:`render` has."""
    return configuration.partition("description ")[2].split()[0]
