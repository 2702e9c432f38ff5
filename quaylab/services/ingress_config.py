"""HAProxy's configuration for the ingress on each balancer: it leads to the gateways of Ceph."""

from __future__ import annotations

from collections.abc import Mapping

from quaylab.endpoints import netloc
from quaylab.services import member_certificate, tcp_proxy

TITLE = "The ingress to Ceph's gateways: see quaylab/services/ingress_config.py."
# Inside the container.
PORT = 7443
# While it waits for open connections, new ones are refused: that is what clients would notice.
PATIENCE = "100ms"


def render(gateways: Mapping[str, str], port: int, verified_name: str | None) -> str:
    """Return haproxy.cfg, which holds no secret.

    Args:
        gateways: the address of each gateway by its name.
        port: the port at which they listen.
        verified_name: the name that their certificate is verified for; None: they have no TLS.
    """
    tls = ""
    if verified_name:
        tls = (
            f" check-ssl verify required ca-file {member_certificate.AUTHORITY_PATH} "
            f"verifyhost {verified_name}"
        )
    servers = "".join(
        f"    server {name} {netloc(address, port)}\n" for name, address in gateways.items()
    )
    return f"""\
{tcp_proxy.head(TITLE, PATIENCE)}
# TLS goes through to the gateways: clients' requests are signed for the address that they know. The
# check alone ends here.
listen gateways
    bind *:{PORT}
    balance leastconn
    option httpchk HEAD /
    # For the answer alone: a busy gateway isn't dead.
    timeout check 5s
    default-server check{tls} inter 1s fastinter 500ms fall 2 rise 2 \
on-marked-down shutdown-sessions
{servers}"""
