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
    assert "runuser -u puller -- sh -c " in text(command)
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


@pytest.mark.parametrize("is_link", [False, True])
def test_the_users_own_rights_are_enough(
    secret: Path, shell: Shell, tmp_path: Path, is_link: bool
) -> None:
    """All in the user's home is done as the user, who may put links to root's files there."""
    home, foreign = tmp_path / "home", tmp_path / "foreign"
    home.mkdir()
    foreign.write_text(json.dumps({"auths": {"registry.example.com": {"auth": "cm9vdA=="}}}))
    if is_link:
        (home / ".docker").mkdir()
        (home / ".docker" / "config.json").symlink_to(foreign)
        (home / ".docker" / "config.json.new").symlink_to(foreign)
    # The user can't read what is not theirs, and changes nothing outside of their home.
    shell.stub("runuser", 'shift 3; case "$*" in *" && cat "*) exit 1 ;; esac; exec "$@"')
    shell.stub("getent", f"echo {ENTRY.replace('/home/puller', str(home))}")
    host = FakeHost()
    host.shell_output = (True, [ENTRY.replace("/home/puller", str(home))])
    (command,) = host.operate(pull_secret.merged, secret=secret, user="puller")
    (read,) = host.ran
    assert shell.run(read).returncode == 1
    done = shell.run(text(command), stdin(command))
    assert done.returncode == 0, done.stderr
    assert shell.calls[-1].startswith("runuser -u puller -- sh -c ")
    path = home / ".docker" / "config.json"
    assert not path.is_symlink()
    assert json.loads(path.read_text()) == LOGINS
    assert path.stat().st_mode & 0o777 == 0o600
    assert "cm9vdA==" in foreign.read_text()
    # Outside of runuser there is nothing but the question for the user's entry.
    assert read.index("runuser") < read.index("stat") < read.index("cat")


@pytest.mark.parametrize(
    ("lines", "ok", "message"),
    [
        ([], False, "pull_secret_user: puller is not a user of quay.example.com"),
        ([ENTRY], False, "pull_secret_user: puller can't read its own .docker/config.json"),
        ([ENTRY, "1000:1000:600", "{"], True, "/home/puller/.docker/config.json is not JSON"),
        ([ENTRY, "1000:1000:600", "[]"], True, "/home/puller/.docker/config.json is not JSON"),
        ([ENTRY, "1000:1000:600", '{"auths": 1}'], True, "/home/puller/.docker/config.json is no"),
    ],
    ids=["no user", "not readable", "no JSON", "a list", "no logins"],
)
def test_refused(secret: Path, shell: Shell, lines: list[str], ok: bool, message: str) -> None:
    ((command,), _) = _merge(secret, *lines, ok=ok)
    done = shell.run(text(command))
    assert done.returncode == 1
    assert done.stderr.startswith(message)
