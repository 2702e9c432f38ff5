"""The registry of the double's cluster: the small Quay of the unit tests, with the certificate that
the cluster's Secret has."""

from __future__ import annotations

import base64
import ssl
import tempfile
import threading
from pathlib import Path

from tests.openshift.api import Api
from tests.unit.quaylab.small_quay import SmallQuay

# Quaylab's own, and the operator's.
DEPLOYMENTS, BUNDLE = ("quaylab-quay", "quaylab-quay-app"), "quaylab-quay-bundle"


class Quay:
    """It answers from when its deployment's pods are ready, with the users that it had before."""

    def __init__(self, api: Api, port: int) -> None:
        self.api, self.port = api, port
        self.address = "127.0.0.1"
        self.server: SmallQuay | None = None
        self.users: dict[str, str] = {}

    def follow(self, deployment: str) -> None:
        """Start, or start again with the present bundle, once its deployment is ready."""
        if deployment not in DEPLOYMENTS:
            return
        self.close()
        (replicas,) = (
            each["spec"]["replicas"]
            for (plural, _, name), each in self.api.storage.objects.items()
            if (plural, name) == ("deployments", deployment)
        )
        if not replicas:
            return
        (data,) = (
            each["data"]
            for (plural, _, name), each in self.api.storage.objects.items()
            if (plural, name) == ("secrets", BUNDLE)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pem")
            pems = [base64.b64decode(data[key]) for key in ("ssl.cert", "ssl.key")]
            file.write_bytes(b"".join(pems))
            context.load_cert_chain(file)
        self.server = SmallQuay(self.port, self.address)
        self.server.users = self.users
        # In the connection's own thread: a client that is cut off would keep all others waiting.
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def close(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
