"""The object store client against a real RadosGW, by S3 and by Swift."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from pydantic import SecretStr

from quaylab.clients.object_store import Client
from quaylab.clients.probes import Unreachable
from quaylab.endpoints import StoreEndpoint
from quaylab.secrets.credentials import Credentials
from quaylab.services import ceph
from quaylab.services.object_store import RADOSGW_PORT
from quaylab.settings.loading import Settings
from tests.machine.machines import LABEL, CommandFailed, run, wait_until
from tests.unit.samples import (
    build,
    certified,
    host,
    settings,
    with_storage_keys,
    with_swift_password,
    workload,
)

CLEAR: dict[str, Any] = {"storage_tls": False}


class Gateway:
    """A cluster in a container on this machine's engine, without TLS."""

    def __init__(self, image: str, folder: Path, name: str) -> None:
        self.name = name
        self.credentials = with_swift_password(with_storage_keys(certified()))
        quay = host("quay.example.com", address="192.168.254.10")
        where = build([quay, host("ceph", ["ceph"], address="192.168.254.20")], **CLEAR)
        changes: dict[str, Any] = {"ceph_swift": True, "image_source": "packages", **CLEAR}
        self.workload = workload(
            "ceph", "ceph", where=where, credentials=self.credentials, **changes
        )
        for file in self.workload.files:
            path = folder / Path(file.path).name
            path.write_text(file.content)
            path.chmod(file.mode)
        run(
            *("docker", "run", "--detach", "--name", name, f"--label={LABEL}={os.getpid()}"),
            f"--volume={folder}:/etc/quaylab:ro",
            *(f"--env={key}={value}" for key, value in self.workload.container.environment),
            *(image, *self.workload.container.command),
        )
        self.address = run(
            *("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        ).stdout.strip()
        self._user = ceph.user(settings(**changes), self.credentials)

    def wait(self) -> None:
        wait_until(self._is_healthy, "RadosGW answers", timeout=180)
        self.run("radosgw-admin", "metadata", "put", "user:quay", input=ceph.metadata(self._user))

    def _is_healthy(self) -> bool:
        check = self.workload.container.health
        if run("docker", "exec", self.name, "true", check=False).returncode:
            raise CommandFailed(run("docker", "logs", "--tail=20", self.name).stderr)
        return run("docker", "exec", self.name, "sh", "-c", check, check=False).returncode == 0

    def run(self, *command: str, input: str | None = None) -> str:
        return run("docker", "exec", "--interactive", self.name, *command, input=input).stdout

    def client(self, credentials: Credentials | None = None, **changes: Any) -> Client:
        credentials = credentials or self.credentials
        asked = settings(storage="radosgw", storage_host=self.address, **{**CLEAR, **changes})
        return self._client(asked, credentials, "radosgw")

    def swift(self, password: str, **changes: Any) -> Client:
        keys = {
            "storage_access_key": SecretStr(ceph.SWIFT_USER),
            "storage_secret_key": SecretStr(password),
        }
        url = f"http://{self.address}:{RADOSGW_PORT}/auth/v1.0"
        asked = settings(storage="swift", swift_auth_url=url, swift_auth_version=1, **changes)
        return self._client(asked, self.credentials.model_copy(update=keys), "swift")

    def _client(self, asked: Settings, credentials: Credentials, kind: str) -> Client:
        place = (self.address, RADOSGW_PORT)
        store = StoreEndpoint((), *place, *place, None, kind, tls=False)
        return Client(
            asked, store, credentials, lambda name, port: socket.create_connection((name, port), 10)
        )


@pytest.fixture(scope="module")
def gateway(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    gateway = Gateway(images["ceph"], folder, f"{LABEL}-{os.getpid()}-gateway")
    try:
        gateway.wait()
        yield gateway
    finally:
        run("docker", "rm", "--force", "--volumes", gateway.name)


def test_bucket_is_missing_then_made_and_used(gateway: Gateway) -> None:
    client = gateway.client()
    assert client.ask() is None
    client.make_bucket()
    client.make_bucket()
    assert client.ask()
    client.round_trip()
    stats = json.loads(gateway.run("radosgw-admin", "bucket", "stats", "--bucket=quay-storage"))
    assert stats["owner"] == ceph.USER


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("storage_access_key", "storage_access_key: .* the access key is not known there"),
        ("storage_secret_key", "storage_secret_key: .* the secret key is wrong"),
    ],
)
def test_the_wrong_one_of_two_keys_is_named(gateway: Gateway, key: str, message: str) -> None:
    wrong = gateway.credentials.model_copy(update={key: SecretStr("NOTTHISONE")})
    with pytest.raises(Unreachable, match=message):
        gateway.client(wrong).ask()


def test_bucket_of_another_is_refused(gateway: Gateway) -> None:
    output = gateway.run("radosgw-admin", "user", "create", "--uid=other", "--display-name=Other")
    (keys,) = json.loads(output)["keys"]
    other = boto3.client(
        "s3",
        endpoint_url=f"http://{gateway.address}:{RADOSGW_PORT}",
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        region_name="us-east-1",
    )
    other.create_bucket(Bucket="others")
    client = gateway.client(storage_bucket="others")
    with pytest.raises(Unreachable, match=r"storage_bucket: .*belongs to another"):
        client.ask()
    with pytest.raises(Unreachable, match="storage_bucket: "):
        client.make_bucket()


def test_swift_makes_its_container_and_uses_it(gateway: Gateway) -> None:
    password = gateway.credentials.swift_password
    assert password
    client = gateway.swift(password.get_secret_value(), storage_bucket="by-swift")
    assert client.ask() is None
    client.make_bucket()
    client.round_trip()
    assert client.ask()


def test_a_wrong_swift_password_is_reported(gateway: Gateway) -> None:
    with pytest.raises(Unreachable, match=r"storage_secret_key|storage_access_key"):
        gateway.swift("not-this-one").ask()


def test_an_exceeded_quota_is_reported(gateway: Gateway) -> None:
    user = ceph.user(settings(ceph_quota_gb=1), gateway.credentials)
    user["user_quota"]["max_size"] = 1
    gateway.run("radosgw-admin", "metadata", "put", "user:quay", input=ceph.metadata(user))
    client = gateway.client()
    with pytest.raises(Unreachable, match=r"QuotaExceeded|quota"):
        client.round_trip()
