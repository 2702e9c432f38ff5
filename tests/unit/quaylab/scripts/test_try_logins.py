"""The script that logs in to database and Redis with Quay's own configuration."""

from __future__ import annotations

import shutil
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from quaylab.scripts import try_logins
from quaylab.services import quay, quay_config
from tests.authority import Authority
from tests.leaks import leaked
from tests.unit.clusters import context
from tests.unit.quaylab.small_servers import Handler, MySQL, PostgreSQL, Redis, serving
from tests.unit.samples import CREDENTIALS, SECRETS

HOST = "localhost"
PASSWORDS = {
    "database": CREDENTIALS.database_password.get_secret_value(),
    "redis": CREDENTIALS.redis_password.get_secret_value(),
}
HANDLERS: dict[str, tuple[str, type[Handler], str]] = {
    "postgresql": ("database", PostgreSQL, "1"),
    "mysql": ("database", MySQL, "latin1"),
    "redis": ("redis", Redis, "7.2.4"),
}


def _bundle(folder: Path, **changes: Any) -> None:
    """Write Quay's bundle where the container has it."""
    shutil.rmtree(folder / "conf", ignore_errors=True)
    where = context(**changes)
    config = quay_config.build(where.settings, where.topology, where.credentials)
    # The small Redis is as old as Quay's redis-py.
    config["USER_EVENTS_REDIS"]["protocol"] = 2
    for name, content in quay.bundle(where, config).items():
        path = folder / "conf/stack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _tls(authority: Authority, folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate for the host."""
    path = folder / "server.pem"
    path.write_text("".join(authority.sign(HOST)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str
) -> tuple[int, str]:
    """Run the script; return its exit status, and what it says."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["try_logins.py", service])
    with pytest.raises(SystemExit) as end:
        try_logins.main()
    return int(end.value.code or 0), capsys.readouterr().out


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("kind", HANDLERS)
def test_logins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    with_tls: bool,
) -> None:
    service, handler, answer = HANDLERS[kind]
    authority = Authority.new()
    tls = _tls(authority, tmp_path) if with_tls else None
    given: dict[str, Any] = {f"{service}_host": HOST}
    if kind == "mysql":
        given |= {"database_engine": kind, "quay_version": "v3.16.5"}
    if with_tls:
        given[f"{service}_ca"] = authority.save(tmp_path / "ca.pem")
    with serving(handler, PASSWORDS[service], answer, tls) as port:
        _bundle(tmp_path, **given, **{f"{service}_port": port})
        assert _run(tmp_path, monkeypatch, capsys, service) == (0, "")
    with serving(handler, "another", answer, tls) as port:
        _bundle(tmp_path, **given, **{f"{service}_port": port})
        code, said = _run(tmp_path, monkeypatch, capsys, service)
    assert code == 1
    assert said.startswith(f"{service}: ")
    assert any(word in said for word in ("password", "Access denied", "WRONGPASS"))
    assert leaked(SECRETS, said) == []


def test_postgresql_without_its_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(PostgreSQL, PASSWORDS["database"], None) as port:
        _bundle(tmp_path, database_host=HOST, database_port=port)
        code, said = _run(tmp_path, monkeypatch, capsys, "database")
    assert code == 1
    assert "pg_trgm is missing" in said
