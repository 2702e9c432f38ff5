"""`./lab demo` on a new machine: no engine, no Python environment, no container registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from tests.machine import engines
from tests.machine.machines import Machine, MachineFactory, wait_until
from tests.machine.observed import redis
from tests.machine.registry_client import RegistryClient

PROJECT = "/root/quaylab"
REGISTRY = "quay.quaylab.lan"
ADMIN = "quayadmin"
DEMO = "inventories/demo/inventory.py"
pytestmark = engines.FOR_BOTH


@dataclass(frozen=True)
class Demo:
    """A machine with the project on it, for a registry by this engine."""

    machine: Machine
    engine: str

    @property
    def start(self) -> str:
        """The arguments of ``./lab`` that make the demo. Podman is no default on Debian."""
        return "demo --data container_engine=podman" if self.engine == "podman" else "demo"

    def lab(self, arguments: str) -> str:
        """Run ``./lab``; return its output."""
        return self.machine.run(f"cd {PROJECT} && ./lab {arguments} 2>&1", timeout=900).stdout

    def status(self) -> tuple[int, list[str]]:
        """Return the exit status of ``./lab status``, and its lines about drift."""
        status = self.machine.run(f"cd {PROJECT} && ./lab status demo", check=False)
        lines = status.stdout.splitlines()
        assert status.returncode or "days left" in status.stdout
        return status.returncode, [line for line in lines if "drifted" in line]

    def changes(self, *arguments: str) -> list[str]:
        """Deploy; return the operations that changed something."""
        command = f".venv/bin/pyinfra -y --json {DEMO} deploy.py {' '.join(arguments)}"
        output = json.loads(self.machine.run(f"cd {PROJECT} && {command}").stdout)
        return [each["name"] for each in output["results"]["operations"] if each["success"]]

    @property
    def password(self) -> str:
        text = self.machine.run(f"cat {PROJECT}/credentials/demo.yaml").stdout
        return str(yaml.safe_load(text)["superuser_password"])

    @property
    def ca(self) -> str:
        return self.machine.run(f"cat {PROJECT}/credentials/demo-ca.pem").stdout


@pytest.fixture(scope="module")
def demo(machine_factory: MachineFactory, engine: str) -> Iterator[Demo]:
    demo = Demo(machine_factory("demo", "bare"), engine)
    demo.machine.put_project(PROJECT)
    yield demo
    demo.machine.destroy()


@pytest.fixture(scope="module")
def client(demo: Demo, machine_factory: MachineFactory) -> Iterator[RegistryClient]:
    machine = machine_factory("reader", "stocked")
    client = RegistryClient(machine, REGISTRY)
    client.know(demo.machine.address)
    yield client
    machine.destroy()


def test_demo_ends_with_a_registry(demo: Demo) -> None:
    output = demo.lab(demo.start)
    assert "Quay stand-in: not Quay" in output
    assert f"https://{REGISTRY}" in output
    assert "credentials/demo.yaml" in output
    assert demo.password not in output
    assert "TESTING" not in demo.machine.run(f"{demo.engine} logs quaylab-quay 2>&1").stdout
    assert demo.changes() == []


def test_the_connection_that_quays_workers_share_is_closed(demo: Demo) -> None:
    """Quay opens it before its workers start, and nobody has asked for anything over it."""
    clients = demo.machine.run(redis(demo.engine, "CLIENT LIST")).stdout
    # Of the one who asks now.
    assert "cmd=client|list" in clients
    assert "cmd=client|setinfo" not in clients


def test_another_machine_uses_it(
    demo: Demo, client: RegistryClient, images: dict[str, str]
) -> None:
    client.trust(demo.ca)
    assert client.login(ADMIN, demo.password).returncode == 0
    client.push(images["redis"], f"{ADMIN}/redis:demo")
    pushed = client.pull(f"{ADMIN}/redis:demo")

    client.distrust()
    refused = client.login(ADMIN, demo.password)
    assert refused.returncode != 0
    assert "certificate signed by unknown authority" in refused.stderr
    client.trust(demo.ca)

    demo.machine.reboot()
    wait_until(
        lambda: client.login(ADMIN, demo.password).returncode == 0,
        "the registry is back after a reboot, with no run",
        timeout=120,
    )
    assert client.pull(f"{ADMIN}/redis:demo") == pushed


def test_hosts_tests_pass_on_the_machine_itself(demo: Demo) -> None:
    assert " passed" in demo.lab("verify demo")


def test_status_distinguishes_healthy_drifted_and_broken(demo: Demo) -> None:
    # After the reboot Podman's containers are new ones, which this verifies.
    demo.lab("demo")
    assert demo.status() == (0, ["nothing drifted"])

    demo.machine.run("chmod 644 /etc/quaylab/redis/environment")
    assert demo.status() == (1, ["drifted  redis.py | Write Redis' environment: @local"])

    demo.machine.run(engines.stop(demo.engine, "quaylab-redis"))
    code, drifted = demo.status()
    assert code == 2
    assert "drifted  redis.py | Run Redis: @local" in drifted

    demo.lab("demo")
    assert demo.status() == (0, ["nothing drifted"])


def test_down_keeps_the_data(demo: Demo, client: RegistryClient, images: dict[str, str]) -> None:
    demo.lab("down demo")
    assert demo.machine.run(f"{demo.engine} ps --all --quiet").stdout == ""
    demo.lab("demo")
    assert client.login(ADMIN, demo.password).returncode == 0
    assert client.pull(f"{ADMIN}/redis:demo")


@pytest.mark.long_with_podman
def test_purge_and_a_demo_with_mysql(
    demo: Demo, client: RegistryClient, images: dict[str, str]
) -> None:
    demo.lab(f"down demo --data purge={REGISTRY}")
    for left in (
        f"{demo.engine} volume ls -q",
        f"{demo.engine} ps -aq",
        "ls /etc/quaylab",
        "ls /etc/containers/systemd/*.container",
        "grep quay /etc/hosts",
    ):
        assert demo.machine.run(left, check=False).stdout == "", left
    assert demo.machine.run(f"ls {PROJECT}/credentials/*.yaml", check=False).stdout == ""

    mysql = ("--data", "database_engine=mysql")
    output = demo.lab(f"{demo.start} {' '.join(mysql)}")
    assert "v3.16.5" in output
    assert "PostgreSQL only" in output
    assert demo.changes(*mysql) == []
    client.trust(demo.ca)
    assert client.login(ADMIN, demo.password).returncode == 0
    client.push(images["redis"], f"{ADMIN}/redis:mysql")
    assert client.pull(f"{ADMIN}/redis:mysql")
    assert " passed" in demo.lab(f"verify demo {' '.join(mysql)}")
