"""An S3 store on the CI machine, over TLS with a private CA: moto."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.moto_api._internal import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.machine.machines import Machine
from tests.unit.quaylab.small_store import certificate

KEYS = {"access": "AKIAIOSFODNN7EXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
# What gives a run the keys.
ENVIRONMENT = {f"QUAYLAB_STORAGE_{key.upper()}_KEY": value for key, value in KEYS.items()}


@dataclass(frozen=True)
class Store:
    """moto, as the machines reach it."""

    address: str
    port: int
    ca: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a registry with its blobs here."""
        return {
            "storage": "s3",
            "storage_host": self.address,
            "storage_port": self.port,
            "storage_ca": str(self.ca),
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"https://{self.address}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEYS["access"],
            aws_secret_access_key=KEYS["secret"],
            verify=str(self.ca),
        )

    def objects(self) -> dict[str, int]:
        """Return the size of each object in the bucket, by key."""
        found = self.client("s3").list_objects_v2(Bucket="quay-storage").get("Contents", [])
        return {each["Key"]: each["Size"] for each in found}


@contextmanager
def s3_store(machine: Machine, folder: Path) -> Iterator[Store]:
    """Run an empty object store that listens on the machines' network only."""
    # moto keeps its content for the whole process, which may have run tests with another store.
    moto_api_backend.reset()
    address = machine.run("ip -4 route show default").stdout.split()[2]
    file = certificate(folder, address)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, 0, application, threaded=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    # In the connection's own thread: a client that is cut off would keep all others waiting.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.ssl_context = context
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    # The machines get the certificate without its key.
    public = file.with_name("ca.pem")
    public.write_text(file.read_text().partition("-----BEGIN EC")[0].partition("-----BEGIN PR")[0])
    try:
        yield Store(address, server.server_port, public)
    finally:
        server.shutdown()
