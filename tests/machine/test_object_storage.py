"""Quay on an S3 store that runs elsewhere, over TLS with a private CA: moto, on the CI machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.leaks import leaked
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import Machine, MachineFactory, Operator
from tests.machine.registry_client import RegistryClient
from tests.machine.s3_store import KEYS, Store, s3_store


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("objects", "stocked")
    yield machine
    machine.destroy()


@pytest.fixture(scope="module")
def store(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_store(machine, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def lab(
    machine: Machine,
    store: Store,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    groups = {part: [machine] for part in ("database", "redis", "quay")}
    folder = tmp_path_factory.mktemp("objects")
    lab = Deployment.of(operator, folder, groups, **store.settings)
    yield lab
    lab.forget()


def _run(lab: Deployment, *arguments: str, **keys: str) -> Any:
    given = {f"QUAYLAB_STORAGE_{key.upper()}_KEY": value for key, value in keys.items()}
    return lab.operator.pyinfra(lab.inventory, "deploy.py", *arguments, env=given)


@pytest.mark.parametrize(
    ("arguments", "keys", "message"),
    [
        ((), {}, "QUAYLAB_STORAGE_ACCESS_KEY: not set"),
        (
            ("--data", "storage_ca=null"),
            KEYS,
            "its certificate is signed by a CA that storage_ca doesn't hold",
        ),
        (("--data", "storage_port=9"), KEYS, "storage_host: object store at "),
    ],
    ids=["no keys", "no CA", "nobody listens"],
)
def test_a_problem_is_reported_before_a_host_is_changed(
    lab: Deployment,
    machine: Machine,
    arguments: tuple[str, ...],
    keys: dict[str, str],
    message: str,
) -> None:
    refused = _run(lab, *arguments, **keys)
    assert refused.returncode != 0
    assert "Traceback" not in refused.output
    assert message in refused.output
    assert machine.run("docker ps -aq").stdout == ""
    for folder in ("/etc/quaylab", "/var/lib/quaylab"):
        machine.run(f'test ! -e {folder} || test -z "$(ls -A {folder})"')


@pytest.fixture(scope="module")
def deployed(lab: Deployment, store: Store) -> Deployment:
    planned = _run(lab, "--dry", **KEYS).planned()
    assert ("tasks/object_storage.py | Create the bucket", "objects") in planned
    assert store.client("s3").list_buckets()["Buckets"] == [], "a dry run makes nothing"
    result = _run(lab, "-vvv", "--diff", **KEYS).check()
    assert leaked(lab.secrets, result.output) == []
    return lab


def test_blobs_are_in_the_bucket_and_not_in_a_volume(
    deployed: Deployment, machine: Machine, store: Store, images: dict[str, str]
) -> None:
    before = store.objects()
    client = RegistryClient(machine, HOSTNAME)
    # Clients fetch blobs from the store itself, so they must trust its CA.
    trusted = f"/etc/docker/certs.d/{HOSTNAME}/store.crt"
    machine.run(f"cat >{trusted}", input=store.ca.read_text())
    assert client.login(ADMIN, deployed.password).returncode == 0
    client.push(images["redis"], f"{ADMIN}/redis:1")
    pushed = {key: size for key, size in store.objects().items() if key not in before}
    assert any(size > 1_000_000 for size in pushed.values())
    assert all(key.startswith("datastorage/registry/") for key in pushed)
    machine.run("docker image prune --force")
    assert client.pull(f"{ADMIN}/redis:1")
    machine.run(f"docker image rm {HOSTNAME}/{ADMIN}/redis:1")
    volumes = machine.run("docker volume ls --quiet --filter name=^quaylab-").stdout.split()
    assert volumes == ["quaylab-database"]


def _blob(deployed: Deployment) -> tuple[int, str]:
    """Request a blob without following a redirect to another host; return the last status and the
    location."""
    pool = urllib3.HTTPSConnectionPool(
        deployed.machines["quay"].address,
        ca_certs=str(deployed.store.ca_path),
        server_hostname=HOSTNAME,
        assert_hostname=HOSTNAME,
        headers={"Host": HOSTNAME},
    )
    scope = {"service": HOSTNAME, "scope": f"repository:{ADMIN}/redis:pull"}
    login = urllib3.make_headers(basic_auth=f"{ADMIN}:{deployed.password}")
    token = pool.request("GET", "/v2/auth", fields=scope, headers={"Host": HOSTNAME, **login})
    headers = {
        "Host": HOSTNAME,
        "Authorization": f"Bearer {token.json()['token']}",
        "Accept": "application/vnd.docker.distribution.manifest.v2+json",
    }
    manifest = pool.request("GET", f"/v2/{ADMIN}/redis/manifests/1", headers=headers)
    digest = manifest.json()["config"]["digest"]
    path = f"/v2/{ADMIN}/redis/blobs/{digest}"
    answer = pool.request("GET", path, headers=headers, redirect=False)
    place = answer.headers.get("Location", "")
    if place.startswith(f"https://{HOSTNAME}/"):
        path = place.removeprefix(f"https://{HOSTNAME}")
        answer = pool.request("GET", path, headers={"Host": HOSTNAME})
        forged = path.replace("/https/", "/http/")
        assert pool.request("GET", forged, headers={"Host": HOSTNAME}).status == 401
    if answer.status == 200:
        assert f"sha256:{hashlib.sha256(answer.data).hexdigest()}" == digest
    return answer.status, place


def test_second_run_changes_nothing(deployed: Deployment) -> None:
    assert deployed.run().changed() == []
    assert deployed.run("deploy.py", "--dry").planned() == []


def test_hosts_pass_their_own_tests(deployed: Deployment, store: Store) -> None:
    deployed.verify()
    assert not [key for key in store.objects() if "probe" in key]


def test_blobs_are_not_lost_to_another_store(deployed: Deployment) -> None:
    where = ("--data", "storage_host=null", "--data", "storage_port=null")
    for arguments, key in (
        (("--data", "storage=local", "--data", "storage_ca=null", *where), "storage"),
        (("--data", "storage_location=other"), "storage_location"),
        (("--data", "storage_bucket=another"), "storage"),
    ):
        refused = deployed.run("deploy.py", *arguments)
        assert refused.returncode != 0
        assert f"{key}: Quay's blobs are in 'default s3 " in refused.output


def test_quay_proxies_blobs_for_clients_that_do_not_reach_the_store(
    deployed: Deployment, store: Store
) -> None:
    status, place = _blob(deployed)
    assert status == 302
    assert place.startswith(f"https://{store.address}:{store.port}/quay-storage/")
    deployed.run("deploy.py", "--data", "storage_proxy=true").check()
    status, place = _blob(deployed)
    assert status == 200
    assert place.startswith(f"https://{HOSTNAME}/_storage_proxy/")
    assert f"/https/{store.address}:{store.port}/quay-storage/" in place
