"""Have another member lead the database, by the API of the member in whose container this runs, and
print its answer: a line with the HTTP status and Patroni's words.

patronictl would ask the leader at its published address, where a container doesn't reach itself if
Podman runs it and the kernel has br_netfilter. Any member may be asked but the candidate: Patroni
asks that one at its published address.

Each script here is sent by itself. This is no part of patroni_report, which a run sends many times
and which needs neither PyYAML nor a login.
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
from http.client import HTTPSConnection

import yaml

CONFIGURATION, AUTHORITY = "/etc/quaylab/patroni.yml", "/etc/quaylab/ca.pem"
PORT = 8008
# Seconds. Patroni answers after 20 at most: then it doesn't know.
TIMEOUT = 60


def switch(action: str, leader: str | None, candidate: str | None) -> str:
    """Return the answer to a POST of /switchover or /failover."""
    with open(CONFIGURATION) as file:
        api = yaml.safe_load(file)["restapi"]["authentication"]
    login = base64.b64encode(f"{api['username']}:{api['password']}".encode()).decode()
    # The certificate is for the addresses at which others reach it.
    trusted = ssl.create_default_context(cafile=AUTHORITY)
    trusted.check_hostname = False
    connection = HTTPSConnection("localhost", PORT, timeout=TIMEOUT, context=trusted)
    body = {"leader": leader, "candidate": candidate}
    connection.request(
        "POST", f"/{action}", json.dumps(body), headers={"Authorization": f"Basic {login}"}
    )
    answer = connection.getresponse()
    return f"{answer.status} {answer.read().decode()}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["switchover", "failover"])
    parser.add_argument("--leader")
    parser.add_argument("--candidate")
    wanted = parser.parse_args()
    print(switch(wanted.action, wanted.leader, wanted.candidate))
