"""What Patroni tells of its member, the cluster and its settings, as one line of JSON; run in a
member's container. None of it is secret."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPSConnection
from typing import Any

PORT = 8008
TIMEOUT = 5


def ask(path: str) -> Any:
    # The certificate is for the addresses at which others reach it.
    trusted = ssl.create_default_context(cafile="/etc/quaylab/ca.pem")
    trusted.check_hostname = False
    connection = HTTPSConnection("localhost", PORT, timeout=TIMEOUT, context=trusted)
    connection.request("GET", path)
    return json.load(connection.getresponse())


if __name__ == "__main__":
    print(json.dumps({path: ask(f"/{path}") for path in ("patroni", "cluster", "config")}))
