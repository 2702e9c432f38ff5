"""PostgreSQL, MariaDB and Redis on a machine outside the lab, as a provider runs them: TLS only, a
private CA, and administrators who are not superusers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.authority import Authority
from tests.machine.machines import Machine, wait_until
from tests.machine.site import UIDS

NAME = "services.quaylab.test"
# Resolves to the same machine, and is in no certificate.
OTHER_NAME = "other.quaylab.test"
ADMIN, ADMIN_PASSWORD, REDIS_PASSWORD = "provider", "provider-password", "redis-password"
TLS = "/srv/tls"
PARTS = ("postgresql", "mariadb", "redis")
MARIADB = f"""\
[mariadbd]
ssl_cert = {TLS}/server.crt
ssl_key = {TLS}/server.key
require_secure_transport = ON
"""


@dataclass(frozen=True)
class Servers:
    """Containers of the packaged images, each named after its service."""

    machine: Machine
    images: dict[str, str]
    authority: Authority

    def start(self) -> None:
        self.certify(NAME)
        self._run("redis", "6379", _redis())
        self._run(
            "postgresql", "5432", "run-postgresql",
            "-e POSTGRESQL_USER=first -e POSTGRESQL_PASSWORD=x -e POSTGRESQL_DATABASE=first",
        )  # fmt: skip
        self.machine.run(f"cat >{TLS}/tls.cnf", input=MARIADB)
        self._run(
            "mariadb", "3306", "run-mysqld",
            "-e MYSQL_USER=first -e MYSQL_PASSWORD=x -e MYSQL_DATABASE=first "
            f"-v {TLS}/tls.cnf:/etc/mysql/mariadb.conf.d/95-tls.cnf:ro",
        )  # fmt: skip
        wait_until(lambda: self._is_up("postgresql", "pg_isready -h 127.0.0.1"), "PostgreSQL")
        self.sql(
            f"ALTER SYSTEM SET ssl_cert_file = '{TLS}/server.crt'",
            f"ALTER SYSTEM SET ssl_key_file = '{TLS}/server.key'",
            "ALTER SYSTEM SET ssl = on",
            f"CREATE ROLE {ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_PASSWORD}'",
        )
        self.machine.run(
            "docker exec postgresql sh -c 'sed -i s/^host/hostssl/ $PGDATA/pg_hba.conf'"
        )
        self.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self._is_up("mariadb", "mariadb-admin --skip-ssl ping"), "MariaDB")
        self.mariadb(f"CREATE USER {ADMIN}@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'")
        self.mariadb(f"GRANT ALL ON *.* TO {ADMIN}@'%' WITH GRANT OPTION")

    def certify(self, *names: str, days: int = 30) -> None:
        """Give each server a certificate for names."""
        certificate, key = self.authority.sign(*names, days=days)
        for part in PARTS:
            self.machine.run(f"mkdir -p {TLS}/{part}")
            self.machine.run(f"cat >{TLS}/{part}/server.crt", input=certificate)
            self.machine.run(
                f"umask 077; cat >{TLS}/{part}/server.key; chown -R {UIDS[part]} {TLS}/{part}",
                input=key,
            )

    def recertify(self, *names: str, days: int = 30) -> None:
        """Give the running servers a new certificate for names."""
        self.certify(*names, days=days)
        self.sql("SELECT pg_reload_conf()")
        self.mariadb("FLUSH SSL")

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as PostgreSQL's superuser; return the output."""
        asked = " ".join(f'-c "{statement}"' for statement in statements)
        return self.machine.run(f"docker exec postgresql psql -tA {database} {asked}").stdout

    def mariadb(self, statement: str) -> str:
        """Run a statement as MariaDB's root; return the output."""
        return self.machine.run(
            f'docker exec mariadb mariadb --skip-ssl -uroot -Ne "{statement}"'
        ).stdout

    def _run(self, part: str, port: str, command: str, options: str = "") -> None:
        self.machine.run(
            f"docker run --detach --name {part} --publish {port}:{port} {options} "
            f"--volume {TLS}/{part}:{TLS}:ro {self.images[part]} {command}"
        )

    def _is_up(self, part: str, question: str) -> bool:
        return self.machine.run(f"docker exec {part} {question}", check=False).returncode == 0


def _redis() -> str:
    return (
        f"redis-server --port 0 --tls-port 6379 --tls-cert-file {TLS}/server.crt --tls-key-file "
        f"{TLS}/server.key --tls-auth-clients no --requirepass {REDIS_PASSWORD} --bind '*'"
    )


def resolve(servers: Machine, client: Machine) -> None:
    """Make a client and its containers resolve the servers' names, as DNS would."""
    names = f"--address=/{NAME}/{servers.address} --address=/{OTHER_NAME}/{servers.address}"
    servers.run("apt-get update -q && apt-get install -qy --no-install-recommends dnsmasq-base")
    servers.run(f"dnsmasq --no-resolv --no-hosts --bind-dynamic --except-interface=lo {names}")
    # Containers ask the engine's DNS servers; programs on the machine itself read /etc/hosts.
    client.run("cat >/etc/docker/daemon.json", input=f'{{"dns": ["{servers.address}"]}}')
    client.run(f"echo '{servers.address} {NAME} {OTHER_NAME}' >>/etc/hosts")
    client.run("systemctl restart docker")
