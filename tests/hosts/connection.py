"""testinfra and Docker's SDK over the same connection that pyinfra makes to a host."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import paramiko
import pytest
from docker.transport import UnixHTTPAdapter
from pyinfra.api import Config, Inventory, State
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from testinfra.backend.local import LocalBackend
from testinfra.backend.paramiko import ParamikoBackend
from testinfra.host import Host

from operations.runtime.ssh import BEGIN, MARK
from quaylab.clients.tunnel import Stream, serve
from quaylab.settings.loading import HostInput


class PyinfraBackend(ParamikoBackend):  # type: ignore[misc]  # testinfra has no types
    """testinfra's SSH, connected by pyinfra: with its keys, its ssh_config and its known hosts."""

    NAME = "pyinfra"

    def __init__(self, connector: SSHConnector, **privilege: Any) -> None:
        super().__init__(connector.host.name, **privilege)
        self.connector = connector

    @cached_property
    def client(self) -> paramiko.SSHClient:
        self.connector.connect()
        client = self.connector.client
        transport = client.get_transport() if client else None
        assert client and transport  # else connect() has raised
        if isinstance(transport.sock, socket.socket):
            # With Nagle's algorithm each command takes 50 ms instead of 10.
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _exec_command(self, command: bytes) -> tuple[int, bytes, bytes]:
        """Run a command; return its output without what a login script prints before it."""
        code, output, errors = super()._exec_command(BEGIN.encode() + command)
        before, mark, after = output.partition(f"{MARK}\n".encode())
        return code, after if mark else before, errors


def connect(host: HostInput, sudo: bool, sudo_user: str | None) -> Host:
    """Return testinfra's host, with the privilege that its data or the command line gives."""
    privilege = {
        "sudo": sudo or bool(host.data.get("_sudo")),
        "sudo_user": sudo_user or host.data.get("_sudo_user"),
    }
    # pyinfra has no types on these
    inventory = Inventory(([(host.name, dict(host.data))], {}))  # type: ignore[no-untyped-call]
    State(inventory, Config())  # type: ignore[no-untyped-call]
    connector = inventory.get_host(host.name).connector
    if isinstance(connector, LocalConnector):
        backend = LocalBackend(**privilege)
    elif isinstance(connector, SSHConnector):
        backend = PyinfraBackend(connector, **privilege)
        try:
            _ = backend.client
        except ConnectError as error:
            raise pytest.UsageError(f"{host.name}: {error}") from None
    else:
        raise pytest.UsageError(f"{host.name}: only SSH and @local hosts can be verified")
    shell = Host(backend)
    backend.set_host(shell)
    return shell


def transport_of(shell: Host) -> paramiko.Transport | None:
    """Return the SSH transport to a host; None for this machine."""
    if not isinstance(shell.backend, PyinfraBackend):
        return None
    transport: paramiko.Transport | None = shell.backend.client.get_transport()
    return transport


class OneConnection(UnixHTTPAdapter):
    """One connection for all requests: the SDK keeps one for each path, but each is an SSH session,
    and sshd allows ten."""

    def get_connection(self, url: bytes | str, proxies: Any = None) -> Any:
        return super().get_connection(self.socket_path, proxies)


@contextmanager
def engine_of(shell: Host) -> Iterator[docker.DockerClient]:
    """Return Docker's SDK for a host's engine, through a socket that only this user can open.

    The SDK's own ssh:// knows neither sudo nor the inventory's keys. Like it and the docker
    command, this connects to the engine by `docker system dial-stdio` on the host.
    """
    command: str = shell.backend.get_command("docker system dial-stdio")
    transport = transport_of(shell)
    processes: list[subprocess.Popen[bytes]] = []

    def dial() -> Stream:
        if transport:
            channel = transport.open_session()
            channel.exec_command(BEGIN + command)
            read = b""
            while not read.endswith(f"{MARK}\n".encode()) and (more := channel.recv(1)):
                read += more
            return channel
        near, far = socket.socketpair()
        with far:
            end = far.fileno()
            processes.append(subprocess.Popen(["/bin/sh", "-c", command], stdin=end, stdout=end))
        return near

    with TemporaryDirectory() as private, socket.socket(socket.AF_UNIX) as listener:
        path = Path(private, "docker.sock")
        listener.bind(str(path))
        listener.listen()
        with serve(listener, dial):
            client = docker.DockerClient(base_url=f"unix://{path}", version="auto")
            client.api.get_adapter("http+docker://").close()  # it has asked for the version
            client.api.mount("http+docker://", OneConnection(f"http+unix://{path}"))
            try:
                yield client
            finally:
                client.close()
    for process in processes:
        process.wait(timeout=10)
