"""HAProxy's configuration for the router on each of Quay's hosts: it leads Quay to the member that
serves at the moment."""

from __future__ import annotations

from collections.abc import Mapping

from quaylab.endpoints import netloc
from quaylab.services import member_certificate, patroni_config, tcp_proxy
from quaylab.services import redis as redis_service

DATABASE_PORT, REDIS_PORT = patroni_config.DATABASE_PORT, redis_service.PORT
TITLE = "The router from Quay to PostgreSQL and Redis: see quaylab/services/router_config.py."


def render(
    database: Mapping[str, str],
    redis: Mapping[str, str],
    *,
    verified_name: str,
    ports: patroni_config.Ports | None = None,
    redis_port: int = REDIS_PORT,
) -> str:
    """Return haproxy.cfg, which holds no secret.

    Args:
        database: the address of each database member by its name; none: no port for it.
        redis: the same of Redis. The first one serves, the next ones if those before are down; all
            routers have the same order.
        verified_name: the name that the database members' certificate is verified for.
        ports: where the members' hosts publish PostgreSQL and Patroni's API.
    """
    parts = [tcp_proxy.head(TITLE)]
    if database:
        parts.append(_database(database, verified_name, ports or patroni_config.Ports()))
    if redis:
        parts.append(_redis(redis, redis_port))
    return "\n".join(parts)


def _database(members: Mapping[str, str], verified_name: str, ports: patroni_config.Ports) -> str:
    # TLS goes through to PostgreSQL; the check alone ends here.
    servers = "".join(
        f"    server {name} {netloc(address, ports.database)}\n"
        for name, address in members.items()
    )
    return f"""\
# Patroni answers /primary with 200 on the leader only. Connections to a former leader are cut.
listen database
    bind *:{DATABASE_PORT}
    option httpchk OPTIONS /primary
    http-check expect status 200
    # A leader that lacks processor time answers late, and to cut Quay's connections would do harm.
    # Of a lost machine Patroni itself is sure only after 19 s.
    timeout connect 2s
    timeout check 8s
    default-server check check-ssl verify required ca-file {member_certificate.AUTHORITY_PATH} \
verifyhost {verified_name} port {ports.api} \
inter 2s fastinter 500ms downinter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""


def _redis(members: Mapping[str, str], port: int) -> str:
    servers = "".join(
        f"    server {name} {netloc(address, port)} "
        f"{'backup' if index else 'on-marked-up shutdown-backup-sessions'}\n"
        for index, (name, address) in enumerate(members.items())
    )
    return f"""\
# One serves; the others know nothing of its data, which may be lost. If the first comes back, the
# connections to a backup are cut: else Quay's hosts would talk to different ones.
listen redis
    bind *:{REDIS_PORT}
    option tcp-check
    # Without a login, so that no password is in this file: a refusal is a sign of life as well.
    tcp-check send PING\\r\\n
    tcp-check expect rstring ^(\\+PONG|-NOAUTH)
    default-server check inter 1s fastinter 500ms fall 2 rise 1 \
on-marked-down shutdown-sessions
{servers}"""
