"""The stand-in with a cluster's bundle, in a container laid out as the pod, and with the user that
OpenShift's restricted constraint gives it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quaylab.clients.registry import Registry, RegistryError
from quaylab.model import container_name
from quaylab.openshift import quay
from quaylab.openshift.objects import Object
from quaylab.openshift.pods import Pods
from tests.machine.machines import wait_until
from tests.machine.site import Site, docker
from tests.ports import free_port
from tests.unit import clusters, samples

# From a namespace's range; no image has such a user.
UID, GROUP = 1000770000, 1000770000
SETTINGS: dict[str, Any] = {"openshift_exposure": "loadbalancer"}


@pytest.fixture(scope="module")
def site(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """PostgreSQL and Redis, with the names of their Services."""
    site = Site(images, tmp_path_factory.mktemp("site"))
    credentials = samples.CREDENTIALS
    alias = "--network-alias"
    try:
        docker("network", "create", site.name)
        password = credentials.database_password.get_secret_value()
        database = ("quay", password, "quay")
        site.start_service("postgresql", database, alias, container_name("database"))
        redis = (credentials.redis_password.get_secret_value(),)
        site.start_service("redis", redis, alias, container_name("redis"))
        site.wait_for_postgresql()
        yield site
    finally:
        site.close()


def _pod(port: int) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Return the pod of Quay's deployment, and the data of its bundle's Secret."""
    found = clusters.describe(**SETTINGS, quay_https_port=port)
    (secret,) = [each for each in found.foundation if each.name == quay.BUNDLE]
    return found.quay[0].content["spec"]["template"]["spec"], secret.content["data"]


def _mounted(folder: Path, pod: Mapping[str, Any], data: Mapping[str, str]) -> list[str]:
    """Lay the pod's volumes out as the kubelet does; return the options that mount them."""
    (volume,) = [each["secret"] for each in pod["volumes"] if "secret" in each]
    bundle, blobs, token = folder / "bundle", folder / "blobs", folder / "token" / "token"
    for item in volume["items"]:
        path = bundle / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data[item["key"]]))
        os.chown(path, 0, GROUP)
        path.chmod(volume["defaultMode"])
    token.parent.mkdir()
    token.write_text("the pod's name")
    blobs.mkdir()
    os.chown(blobs, 0, GROUP)
    blobs.chmod(0o2770)
    sources = {"bundle": bundle, "blobs": blobs, "token": token.parent}
    return [
        f"--volume={sources[mount['name']]}:{mount['mountPath']}"
        + (":ro" if mount.get("readOnly") else "")
        for mount in pod["containers"][0]["volumeMounts"]
    ]


def _is_healthy(registry: Registry) -> bool:
    try:
        return registry.health("instance").ok
    except RegistryError:
        return False


def test_the_stand_in_runs_as_the_pod_runs(site: Site, tmp_path: Path) -> None:
    port = free_port()
    pod, data = _pod(port)
    (container,) = pod["containers"]
    options = [
        f"--user={UID}:0",
        f"--group-add={GROUP}",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        # As every pod has it: by this variable Quay knows that it is in a cluster.
        "--env=KUBERNETES_SERVICE_HOST=192.0.2.1",
        *(f"--env={each['name']}={each['value']}" for each in container["env"]),
        *_mounted(tmp_path, pod, data),
    ]
    # As the migration's job does it before: as Quay's role, which is no superuser.
    extension = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
    site.exec("postgresql", "psql", "-U", "quay", "-q", "quay", "-c", extension)
    image = site.images["quay"]
    docker("run", "--rm", "--network", site.name, *options, image, "migrate", "head")
    (https,) = container["ports"]
    published = f"--publish=127.0.0.1:{port}:{https['containerPort']}"
    site.start("quay", published, *options, command=tuple(container["args"]))

    hostname = clusters.GIVEN["server_hostname"]
    credentials = clusters.context(**SETTINGS, quay_https_port=port).credentials
    assert credentials.ca_certificate
    registry = Registry(f"{hostname}:{port}", credentials.ca_certificate, ("127.0.0.1", port), None)
    try:
        wait_until(lambda: _is_healthy(registry), "the stand-in")
        password = credentials.superuser_password.get_secret_value()
        assert registry.initialize("quayadmin", password, "quayadmin@example.com")
        registry.round_trip("quayadmin", password, "pod-")
        assert registry.health().ok
    finally:
        registry.close()
    assert site.exec("quay", "id", "-u") == str(UID)


def _job(site: Site, folder: Path, job: Object) -> None:
    """Run a job's container on the database, with the claim of the dumps."""
    (container,) = job.content["spec"]["template"]["spec"]["containers"]
    values = {
        "PGHOST": container_name("database"),
        "PGUSER": "quay",
        "PGPASSWORD": samples.CREDENTIALS.database_password.get_secret_value(),
        "PGDATABASE": "quay",
    }
    assert [each["name"] for each in container["env"]] == list(values)
    docker(
        "run", "--rm", "--network", site.name, f"--user={UID}:0", f"--group-add={GROUP}",
        "--cap-drop=ALL", f"--volume={folder}:/dumps",
        *(f"--env={name}={value}" for name, value in values.items()),
        site.images["postgresql"], *container["command"],
    )  # fmt: skip


def test_a_dump_brings_the_database_back(site: Site, tmp_path: Path) -> None:
    """As Quay's role, which is no superuser; what is newer than the dump is gone."""
    os.chown(tmp_path, 0, GROUP)
    tmp_path.chmod(0o2770)
    pods = Pods(clusters.SCOPE, is_openshift=True, has_logins=False)
    context = clusters.context(**SETTINGS, quay_https_port=8443)

    def sql(text: str) -> str:
        return site.exec("postgresql", "psql", "-U", "quay", "-qtA", "quay", "-c", text)

    sql("CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE TABLE kept AS SELECT 1 AS number")
    _job(site, tmp_path, quay.dump(context, pods, "v3.17.4"))
    assert [each.name for each in tmp_path.iterdir()] == ["v3.17.4-to-v3.18.0"]
    sql("UPDATE kept SET number = 2; CREATE TABLE newer AS SELECT 1; DROP EXTENSION pg_trgm")
    _job(site, tmp_path, quay.restoration(context, pods, "v3.17.4-to-v3.18.0"))
    assert sql("SELECT number FROM kept") == "1"
    assert sql("SELECT to_regclass('newer')") == ""
    assert sql("SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'") == "pg_trgm"
