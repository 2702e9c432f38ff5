"""PostgreSQL, MariaDB and Redis on a machine that isn't the lab's: TLS alone, by a private CA, and
administrators who are no superusers, as a provider has them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.authority import Authority
from tests.machine.machines import Machine, wait_until
from tests.machine.site import UIDS

NAME = "services.quaylab.test"
# Leads to the same machine, and stands in no certificate.
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
    """Containers of the packaged images, each named as its part."""

    machine: Machine
    images: dict[str, str]
    authority: Authority

    def start(self) -> None:
        self.machine.load_images(self.images[part] for part in PARTS)
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
        """The same for servers that run."""
        self.certify(*names, days=days)
        self.sql("SELECT pg_reload_conf()")
        self.mariadb("FLUSH SSL")

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """What PostgreSQL's superuser is told."""
        asked = " ".join(f'-c "{statement}"' for statement in statements)
        return self.machine.run(f"docker exec postgresql psql -tA {database} {asked}").stdout

    def mariadb(self, statement: str) -> str:
        """What MariaDB's root is told."""
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
    """Have a client and its containers find the servers by name, as a site's DNS would."""
    names = f"--address=/{NAME}/{servers.address} --address=/{OTHER_NAME}/{servers.address}"
    servers.run("apt-get update -q && apt-get install -qy --no-install-recommends dnsmasq-base")
    servers.run(f"dnsmasq --no-resolv --no-hosts --bind-dynamic --except-interface=lo {names}")
    # Containers ask the engine's servers; what runs on the machine itself reads its hosts file.
    client.run("cat >/etc/docker/daemon.json", input=f'{{"dns": ["{servers.address}"]}}')
    client.run(f"echo '{servers.address} {NAME} {OTHER_NAME}' >>/etc/hosts")
    client.run("systemctl restart docker")
