"""The pull secret: it is merged into a user's logins, and replaces none of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from operations.engines import pull_secret
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.shell import Shell

ENTRY = "puller:x:1000:1000:Puller:/home/puller:/bin/bash"
LOGINS = {"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LOGINS, "credsStore": "mine-alone"}))
    return path


def _merge(secret: Path, *lines: str, ok: bool = True) -> tuple[list[Any], FakeHost]:
    host = FakeHost()
    host.shell_output = (ok, list(lines))
    return host.operate(pull_secret.merged, secret=secret, user="puller"), host


def _written(command: object) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.b64decode(stdin(command)))
    return content


def test_a_user_without_logins_gets_them(secret: Path) -> None:
    ((command,), _) = _merge(secret, ENTRY)
    assert _written(command) == LOGINS
    for part in ("/home/puller/.docker/config.json", "chown 1000:1000", "chmod 0600"):
        assert part in text(command)
    assert "aHVudGVyMg" not in text(command)


def test_the_users_own_logins_stay(secret: Path) -> None:
    mine = {"auths": {"registry.example.com": {"auth": "bWluZQ=="}}, "detachKeys": "ctrl-q"}
    ((command,), _) = _merge(secret, ENTRY, "1000:1000:600", json.dumps(mine))
    assert _written(command) == {
        "auths": {**mine["auths"], **LOGINS["auths"]},  # type: ignore[dict-item]
        "detachKeys": "ctrl-q",
    }


def test_existing_logins_are_left_alone(secret: Path) -> None:
    lines = json.dumps(LOGINS, indent=2).splitlines()
    (commands, host) = _merge(secret, ENTRY, "1000:1000:600", *lines)
    assert commands == []
    assert host.noops == ["/home/puller/.docker/config.json has the logins"]


@pytest.mark.parametrize("state", ["1000:1000:644", "0:0:600"], ids=["mode", "owner"])
def test_owner_and_mode_are_repaired(secret: Path, state: str) -> None:
    (commands, _) = _merge(secret, ENTRY, state, json.dumps(LOGINS))
    assert len(commands) == 1


@pytest.mark.parametrize(
    ("lines", "ok", "message"),
    [
        ([], False, "pull_secret_user: puller is not a user of quay.example.com"),
        ([ENTRY, "1000:1000:600", "{"], True, "/home/puller/.docker/config.json is not JSON"),
        ([ENTRY, "1000:1000:600", "[]"], True, "/home/puller/.docker/config.json is not JSON"),
        ([ENTRY, "1000:1000:600", '{"auths": 1}'], True, "/home/puller/.docker/config.json is no"),
    ],
    ids=["no user", "no JSON", "a list", "no logins"],
)
def test_refused(secret: Path, shell: Shell, lines: list[str], ok: bool, message: str) -> None:
    ((command,), _) = _merge(secret, *lines, ok=ok)
    done = shell.run(text(command))
    assert done.returncode == 1
    assert done.stderr.startswith(message)
