"""Have another member lead, by the API of the member beside the script."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab.scripts import patroni_switch
from tests.authority import Authority

LOGIN = {"username": "quaylab", "password": "se:cret"}
REFUSAL = "switchover is not possible: no good candidates have been found"


class _Api(BaseHTTPRequestHandler):
    """Patroni's API as far as it is asked here."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        requests.append((self.path, login, body))
        self.send_response(200 if body["candidate"] != "behind" else 412)
        self.end_headers()
        self.wfile.write(REFUSAL.encode() if body["candidate"] == "behind" else b"Successfully")

    def log_message(self, *_: Any) -> None:
        pass


requests: list[tuple[str, str, dict[str, str | None]]] = []


@pytest.fixture(autouse=True)
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A member's API, with a certificate for the address at which others reach it."""
    authority = Authority.new()
    certificate, key = authority.sign("192.168.254.51")
    for name, text in {"ca": authority.pem, "certificate": certificate, "key": key}.items():
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    (tmp_path / "patroni.yml").write_text(yaml.safe_dump({"restapi": {"authentication": LOGIN}}))
    requests.clear()
    with HTTPServer(("127.0.0.1", 0), _Api) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setattr(patroni_switch, "PORT", server.server_port)
        monkeypatch.setattr(patroni_switch, "AUTHORITY", str(tmp_path / "ca"))
        monkeypatch.setattr(patroni_switch, "CONFIGURATION", str(tmp_path / "patroni.yml"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_it_asks_with_the_members_own_login() -> None:
    assert patroni_switch.switch("switchover", "one", None) == "200 Successfully"
    (request,) = requests
    assert request == ("/switchover", "quaylab:se:cret", {"leader": "one", "candidate": None})


def test_a_refusal_is_told_in_patronis_words() -> None:
    assert patroni_switch.switch("failover", None, "behind") == f"412 {REFUSAL}"
