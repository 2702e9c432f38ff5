"""Logging in to a VM, here a small SSH server: only if its host key is the known one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from quaylab.clients.first_boot import RESULT, NotYet, SshTarget, first_boot
from tests.unit.virtual import VM, lab

DONE = '{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}'
FAILED = '{"v1": {"errors": ["(\'scripts_user\', RuntimeError())"]}}'
HOST_KEY, OTHER_KEY = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()


class Guest(paramiko.ServerInterface):
    """A server where cloud-user may log in with `redhat` and read one file."""

    def __init__(self, result: str) -> None:
        self.result = result

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("cloud-user", "redhat")
        return AUTH_SUCCESSFUL if right else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if command.decode() != f"cat {RESULT}":
            return False

        def answer() -> None:
            channel.sendall(self.result.encode())
            channel.send_exit_status(0)
            channel.close()

        threading.Timer(0.05, answer).start()
        return True


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[str], int]]:
    """A function that starts a guest with a text in its file, and returns its port."""
    opened: list[socket.socket | paramiko.Transport] = []

    def start(result: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(HOST_KEY)
            opened.append(transport)
            with suppress(paramiko.SSHException, EOFError):  # the client has left
                transport.start_server(server=Guest(result))

        threading.Thread(target=accept, daemon=True).start()
        opened.append(listener)
        return int(listener.getsockname()[1])

    yield start
    for each in opened:
        each.close()


def _target(port: int, key: paramiko.PKey = HOST_KEY) -> SshTarget:
    return SshTarget("127.0.0.1", port, f"{key.get_name()} {key.get_base64()}", None)


@pytest.mark.parametrize(
    ("result", "errors"),
    [(DONE, []), (FAILED, ["('scripts_user', RuntimeError())"])],
    ids=["good", "failed"],
)
def test_a_first_boot_that_is_over(
    serve: Callable[[str], int], result: str, errors: list[str]
) -> None:
    assert first_boot(lab().machines[VM], _target(serve(result))) == errors


def test_a_first_boot_that_is_not_over(serve: Callable[[str], int]) -> None:
    with pytest.raises(NotYet, match="cloud-init"):
        first_boot(lab().machines[VM], _target(serve("")))


def test_another_host_key_is_refused(serve: Callable[[str], int]) -> None:
    with pytest.raises(NotYet, match="does not match"):
        first_boot(lab().machines[VM], _target(serve(DONE), OTHER_KEY))


def test_another_password(serve: Callable[[str], int]) -> None:
    machine = lab(cloud_user_passwd="other").machines[VM]
    with pytest.raises(NotYet, match="Authentication failed"):
        first_boot(machine, _target(serve(DONE)))


def test_nobody_there() -> None:
    with pytest.raises(NotYet, match="SSH"):
        first_boot(lab().machines[VM], _target(1))
