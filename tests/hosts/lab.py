"""The hosts under test, and the plan that they must fulfil: the one that a run would make."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import docker
import pytest
from pyinfra.api import Host as PyinfraHost
from pyinfra.api.exceptions import FactProcessError
from pyinfra.context import ctx_host
from testinfra.host import Host

from facts import engines
from facts.machine import Machine as MachineFact
from quaylab import plan as plans
from quaylab.clients import object_store
from quaylab.clients.http import dialer
from quaylab.clients.registry import Registry
from quaylab.clients.tunnel import forward
from quaylab.engines import PODMAN, ContainerEngine
from quaylab.hosts.machine import Machine
from quaylab.problems import Refusal
from quaylab.services.base import Workload
from quaylab.settings.loading import load
from quaylab.virtual import lab as virtual
from tests.hosts import inventory as inventories
from tests.hosts.connection import connect, engine_of, transport_of


class Target:
    """One host under test. ``shell`` is testinfra's host, ``docker`` Docker's SDK for it."""

    def __init__(self, name: str, shell: Host, closing: ExitStack) -> None:
        self.name = name
        self.shell = shell
        self.machine = _report(name, shell)
        self._closing = closing

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def docker(self) -> docker.DockerClient:
        return self._closing.enter_context(engine_of(self.shell))

    @property
    def uses_podman(self) -> bool:
        return engines.engine_of(self._as_host) is PODMAN

    def use(self, engine: ContainerEngine) -> None:
        """Say which engine the host uses, as the plan has it."""
        engines.use(self._as_host, engine)

    @property
    def _as_host(self) -> PyinfraHost:
        """This host in the place of pyinfra's, which the facts ask for the engine."""
        return cast(PyinfraHost, self)

    def container(self, workload: Workload) -> dict[str, Any]:
        """Return the engine's description of a workload's container."""
        return self.described("container", workload.container.name)

    def described(self, kind: Literal["container", "image", "volume"], name: str) -> dict[str, Any]:
        """Return the engine's description of an object."""
        if self.uses_podman:
            printed = self.shell.check_output("podman %s inspect %s", kind, name)
            return dict(json.loads(printed)[0])
        kinds: dict[str, Any] = {
            "container": self.docker.containers,
            "image": self.docker.images,
            "volume": self.docker.volumes,
        }
        return dict(kinds[kind].get(name).attrs)

    def container_names(self) -> list[str]:
        """Return the names of all containers of the engine, also of those that don't run."""
        if self.uses_podman:
            listed = self.shell.check_output("podman ps --all --format '{{.Names}}'")
            return str(listed).split()
        return [str(each.name) for each in self.docker.containers.list(all=True)]

    def through(self, address: str, port: int) -> AbstractContextManager[tuple[str, int]]:
        """Return the local end of a tunnel to ``address``:``port`` as this host sees it."""
        return forward(transport_of(self.shell), address, port)

    def ask(self, fact: Any, **arguments: Any) -> Any:
        """Return a pyinfra fact, read over testinfra."""
        with ctx_host.use(self):
            command = fact.command(**arguments)
            raw = command if isinstance(command, str) else command.get_raw_value()
            return fact.process(self.shell.run(raw).stdout.splitlines())


class Lab:
    """Connections to the chosen hosts of an inventory, and their plan."""

    def __init__(
        self,
        hosts: str,
        inventory: Path,
        data: Sequence[str],
        sudo: bool,
        sudo_user: str | None,
    ) -> None:
        """Read the inventory and connect.

        Raises:
            pytest.UsageError: there is nothing to verify, or the inventory is refused.
        """
        found = inventories.read(inventory, data)
        chosen = inventories.select(found, hosts)
        self._closing = ExitStack()
        try:
            run_wide, per_host = load(found)  # refused before the first connection
            is_virtual = any("hypervisor" in host.groups for host in found)
            self.virtual = virtual.build(run_wide, per_host, found) if is_virtual else None
            self.targets = {
                host.name: Target(host.name, connect(host, sudo, sudo_user), self._closing)
                for host in chosen
            }
            machines = {name: target.machine for name, target in self.targets.items()}
            self.plan = plans.make(found, machines)
            for name, target in self.targets.items():
                target.use(self.plan.engine_of(name))
        except Refusal as refusal:
            raise pytest.UsageError(str(refusal)) from None
        if not self.plan.store.exists:
            raise pytest.UsageError(
                f"{self.plan.store.path} is not there: nothing was deployed from here with this "
                "inventory; deploy first, or fetch that file from where it was done"
            )

    def header(self) -> list[str]:
        """Return what is verified, for the first lines of the report."""
        standin = " (a stand-in, not Quay)" if self.plan.has_standin else ""
        return [
            f"registry: {self.plan.topology.url}, Quay {self.plan.version}{standin}",
            f"verified hosts: {', '.join(self.targets)}",
        ]

    def on(self, *names: str | None) -> list[Target]:
        """Return the named hosts that are under test."""
        return [self.targets[name] for name in names if name in self.targets]

    @contextmanager
    def registry(
        self, target: Target, address: str, port: int, trusted: str | None = None
    ) -> Iterator[Registry]:
        """Return a client of the registry at an address and port as a host reaches them; TLS checks
        its public name.

        Args:
            trusted: the CA; by default that of the certificate that clients see.
        """
        where = self.plan.topology
        with target.through(address, port) as forwarded, dialer(target.through) as dial:
            plan, store = self.plan, where.object_store
            store_client = (
                object_store.http_client(plan.settings, store, plan.credentials, dial)
                if store
                else None
            )
            trusted = trusted or plan.certificate.trusted
            client = Registry(where.registry, trusted, forwarded, store_client)
            try:
                yield client
            finally:
                client.close()

    def close(self) -> None:
        self._closing.close()


LAB = pytest.StashKey[Lab]()


def _report(name: str, shell: Host) -> Machine:
    """Return what a host reports of itself, by the fact that a run uses."""
    fact = MachineFact()
    result = shell.run(fact.command())
    try:
        return fact.process(result.stdout.splitlines())
    except FactProcessError as error:
        reasons = result.stderr.strip().splitlines() or [str(error)]
        refused = next((line for line in reasons if re.match("sudo: .*password", line)), None)
        if refused is None:
            raise pytest.UsageError(f"{name}: {reasons[0]}") from None
        # Not by standard input, which would also reach Docker where sudo asks for none.
        raise pytest.UsageError(
            f"{name}: {refused} (verify gives sudo no password, also none of `_sudo_password`: "
            "allow this user NOPASSWD in sudoers, or connect as root)"
        ) from None
