"""Containers of packaged images on this machine's engine: a network, databases, stand-ins."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.machine.machines import run, wait_until

# Characters that shells, SQL, configuration files and addresses each have their own rules for.
PASSWORD = r"""p"w'd\x $y"""
URI_PASSWORD = "p%22w%27d%5Cx%20%24y"
ADMIN = "quayadmin"
ADMIN_PASSWORD = "a-good-password"
UIDS = {"postgresql": 26, "mariadb": 27, "redis": 1001, "quay": 1001}
COMMANDS = {"postgresql": "run-postgresql", "mariadb": "run-mysqld", "redis": "run-redis"}
VARIABLES = {
    "postgresql": ("POSTGRESQL_USER", "POSTGRESQL_PASSWORD", "POSTGRESQL_DATABASE"),
    "mariadb": ("MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    "redis": ("REDIS_PASSWORD",),
}


def docker(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run the docker client; return its output."""
    return run("docker", *arguments, input=stdin, check=check).stdout.strip()


@dataclass
class Site:
    """A network of the test's own, with the containers on it."""

    images: dict[str, str]
    folder: Path
    name: str = field(default_factory=lambda: f"standin-{secrets.token_hex(4)}")
    containers: list[str] = field(default_factory=list)

    def container(self, part: str) -> str:
        """Return the name of a part's container, which is also its name on the network."""
        return f"{self.name}-{part}"

    def start(self, part: str, *options: str, image: str = "", command: tuple[str, ...]) -> None:
        """Start a container; close removes it, with its anonymous volumes."""
        name = self.container(part)
        self.containers.append(name)
        reference = self.images[image or part]
        options = ("--detach", "--name", name, "--network", self.name, *options)
        docker("run", *options, reference, *command)

    def start_service(self, part: str, values: tuple[str, ...], *options: str) -> None:
        """Start a database or Redis as Quaylab does: secrets are in a file of the image's uid."""
        file = self.folder / f"{part}-{secrets.token_hex(4)}"
        quoted = [value.replace("'", "'\\''") for value in values]
        pairs = zip(VARIABLES[part], quoted, strict=False)
        file.write_text("".join(f"{name}='{value}'\n" for name, value in pairs))
        file.chmod(0o400)
        os.chown(file, UIDS[part], 0)
        shell = f"set -a; . /etc/quaylab/environment; exec {COMMANDS[part]}"
        mount = ("--volume", f"{file}:/etc/quaylab/environment:ro")
        self.start(part, *mount, *options, command=("bash", "-c", shell))

    def exec(self, part: str, *command: str, check: bool = True) -> str:
        """Run a command in a part's container."""
        return docker("exec", self.container(part), *command, check=check)

    def wait_for_postgresql(self) -> None:
        """Wait until PostgreSQL answers over TCP, its last step."""
        probe = ("pg_isready", "--host", "127.0.0.1")
        wait_until(
            lambda: "accepting" in self.exec("postgresql", *probe, check=False), "PostgreSQL"
        )

    def make_database(self, name: str) -> str:
        """Create an empty database with what Quay needs; return its DB_URI."""
        self.exec("postgresql", "psql", "-qc", f"CREATE DATABASE {name} OWNER quay")
        self.exec("postgresql", "psql", "-q", name, "-c", "CREATE EXTENSION pg_trgm")
        return f"postgresql://quay:{URI_PASSWORD}@{self.container('postgresql')}:5432/{name}"

    def bundle(self, port: int = 8080, **changes: Any) -> Path:
        """Write a configuration bundle, without the keys that are None; return its folder."""
        server = {"host": self.container("redis"), "port": 6379, "password": PASSWORD}
        location = ["LocalStorage", {"storage_path": "/datastorage/registry"}]
        values = {
            "AUTHENTICATION_TYPE": "Database",
            "BUILDLOGS_REDIS": server,
            "DATABASE_SECRET_KEY": "d" * 48,
            "DB_URI": f"postgresql://quay:{URI_PASSWORD}@{self.container('postgresql')}/quay",
            "DEFAULT_TAG_EXPIRATION": "2w",
            "DISTRIBUTED_STORAGE_CONFIG": {"default": location},
            "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": ["default"],
            "DISTRIBUTED_STORAGE_PREFERENCE": ["default"],
            "FEATURE_USER_INITIALIZE": True,
            "PREFERRED_URL_SCHEME": "http",
            "SECRET_KEY": "s" * 48,
            "SERVER_HOSTNAME": f"127.0.0.1:{port}",
            "SETUP_COMPLETE": True,
            "SUPER_USERS": [ADMIN],
            "TAG_EXPIRATION_OPTIONS": ["0s", "2w"],
            "TESTING": False,
            "USER_EVENTS_REDIS": server,
            **changes,
        }
        folder = self.folder / f"bundle-{secrets.token_hex(4)}"
        folder.mkdir()
        present = {key: value for key, value in values.items() if value is not None}
        (folder / "config.yaml").write_text(yaml.safe_dump(present))
        return folder

    def reconfigure(self, part: str, bundle: Path, **changes: Any) -> None:
        """Change a node's bundle, and restart the node."""
        file = bundle / "config.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
        docker("restart", self.container(part))

    def start_quay(
        self,
        bundle: Path,
        port: int,
        *,
        part: str = "quay",
        image: str = "quay",
        command: str = "registry",
    ) -> float:
        """Start a node and wait until it is healthy; return how long that took, in seconds."""
        mounts = ("--volume", f"{bundle}:/conf/stack:ro")
        options = (*mounts, "--publish", f"127.0.0.1:{port}:8080")
        self.start(part, *options, image=image, command=(command,))
        begin = time.monotonic()
        wait_until(lambda: health(port) == 200, f"the stand-in {part}")
        return time.monotonic() - begin

    def refusal(self, bundle: Path, *command: str, image: str = "quay") -> tuple[int, str]:
        """Return exit status and standard error of a container that must not start."""
        mount = ("--volume", f"{bundle}:/conf/stack:ro")
        options = ("--rm", "--network", self.name, *mount)
        done = run("docker", "run", *options, self.images[image], *command, check=False)
        return done.returncode, done.stderr

    def remove(self, part: str) -> None:
        """Remove a part's container before the end."""
        docker("rm", "--force", "--volumes", self.container(part))
        self.containers.remove(self.container(part))

    def close(self) -> None:
        """Remove all containers and the network."""
        for name in self.containers:
            docker("rm", "--force", "--volumes", name, check=False)
        docker("network", "rm", self.name, check=False)


def health(port: int, path: str = "instance") -> int:
    """Return the HTTP status of a health page; 0 without an answer."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/{path}", timeout=20).status_code
    except requests.RequestException:
        return 0
