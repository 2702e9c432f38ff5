"""Ceph on one machine, Quay with its other services on another: from deploy to teardown."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from facts.ceph import Ceph, CephState
from quaylab.clients.registry import Registry, RegistryError
from quaylab.model import DIGEST_LABEL
from quaylab.services.ceph import SWIFT_USER
from tests.leaks import leaked
from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator, wait_until
from tests.machine.registry_client import RegistryClient
from tests.machine.watch import Watch

pytestmark = [engines.FOR_BOTH, pytest.mark.long_with_podman]

SHELL = ("exec", "--interactive", "quaylab-ceph")
BUCKET = "quay-storage"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long a step took; the documentation quotes these figures."""
    began = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - began:.1f} s")


def memory(machine: Machine, container: str) -> str:
    """Return the memory of a container's processes."""
    pages = machine.run(
        f"{machine.engine} top {container} -o pid,rss,comm | "
        "awk 'NR > 1 { sum += $2 } END { print int(sum / 1024) }'"
    ).stdout
    return f"{pages.strip()} MB resident"


def state(machine: Machine) -> CephState:
    fact = Ceph()
    said = machine.run(str(fact.command(shell=(machine.engine, *SHELL)).get_raw_value())).stdout
    found = fact.process(said.splitlines())
    assert found, "Ceph does not answer"
    return found


@pytest.fixture(scope="module")
def lab(
    machine_factory: MachineFactory,
    operator: Operator,
    engine: ImageName,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    needed = {"objects": ["ceph"], "quay": ["postgresql", "redis", "quay"]}
    with timed("two machines"):
        objects, quay = machine_factory.together(
            needed,
            lambda name: engines.machine(machine_factory, name, engine, images, needed[name]),
        )
    groups = {"ceph": [objects], "quay": [quay], "database": [quay], "redis": [quay]}
    folder = tmp_path_factory.mktemp("ceph")
    lab = Deployment.of(
        operator,
        folder,
        groups,
        ceph_quota_gb=5,
        ceph_swift=True,
        storage_proxy=True,
        **engines.settings(engine),
    )
    yield lab
    lab.forget()
    for machine in (objects, quay):
        machine.destroy()


@pytest.fixture(scope="module")
def deployed(lab: Deployment) -> Deployment:
    """The lab after its first run, which was watched for leaked secrets."""
    watch = Watch(lab.machines["ceph"])
    watch.start()
    with timed("first run"):
        result = lab.run("deploy.py", "-vvv", "--diff").check()
    watch.stop()
    # The access key is in addresses that Quay signs, and so in the gateway's log; it opens nothing.
    private = {name: value for name, value in lab.secrets.items() if name != "storage_access_key"}
    watch.assert_no_secret(private)
    watch.assert_narrow()
    assert leaked(lab.secrets, result.output) == []
    print(f"\nCeph: {memory(lab.machines['ceph'], 'quaylab-ceph')}")
    return lab


@pytest.fixture(scope="module")
def client(deployed: Deployment, images: dict[str, str]) -> RegistryClient:
    """A registry client on Ceph's machine, which knows the registry, with a small image to push."""
    machine = deployed.machines["ceph"]
    client = RegistryClient(machine, HOSTNAME)
    layer, text = io.BytesIO(), b"something to push\n"
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("pushed")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    machine.run(f"{machine.engine} import - small", input=layer.getvalue())
    assert client.login(ADMIN, deployed.password).returncode == 0
    return client


def _s3(lab: Deployment, tmp_path: Any, **keys: str) -> Any:
    """Return a boto3 client of the gateway that trusts the lab's CA."""
    import boto3

    ca = tmp_path / "ca.pem"
    ca.write_text(lab.ca)
    return boto3.client(
        "s3",
        endpoint_url=f"https://{lab.machines['ceph'].address}:7480",
        aws_access_key_id=keys.get("access", lab.secrets["storage_access_key"]),
        aws_secret_access_key=keys.get("secret", lab.secrets["storage_secret_key"]),
        region_name="us-east-1",
        verify=str(ca),
    )


def endtoend(lab: Deployment) -> bool:
    """Return whether the registry's own check of all its services succeeds."""
    quay = Registry(HOSTNAME, lab.ca, (lab.machines["quay"].address, 443))
    try:
        return quay.health().ok
    except RegistryError:
        return False
    finally:
        quay.close()


def test_cluster_is_healthy_and_reported(deployed: Deployment) -> None:
    found = state(deployed.machines["ceph"])
    assert found.health == "HEALTH_OK", found.checks
    assert found.version == "18.2.7"
    assert found.daemons == {"mon": 1, "mgr": 1, "osd": 1, "rgw": 1}
    assert found.buckets == {BUCKET: "quay"}
    assert set(found.users) == {"quay"}


def test_second_run_changes_nothing(deployed: Deployment) -> None:
    with timed("second run"):
        again = deployed.run()
    assert again.changed() == []
    assert deployed.run("deploy.py", "--dry").planned() == []


def test_user_has_the_quota(deployed: Deployment) -> None:
    ceph = deployed.machines["ceph"]
    command = f"{ceph.engine} {' '.join(SHELL)} radosgw-admin user info --uid=quay"
    output = ceph.run(command).stdout
    quota = json.loads(output)["user_quota"]
    assert quota["enabled"]
    assert quota["max_size"] == 5 * 1024**3


def test_pushed_blobs_are_in_the_bucket(
    deployed: Deployment, client: RegistryClient, tmp_path: Any
) -> None:
    s3 = _s3(deployed, tmp_path)
    before = s3.list_objects_v2(Bucket=BUCKET)["KeyCount"]
    with timed("push and pull"):
        client.push("small", f"{ADMIN}/small:1")
        assert client.pull(f"{ADMIN}/small:1")
    stored = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(stored) >= before + 2, "layer and configuration"
    quay = deployed.machines["quay"]
    on_quay = quay.run(f"{quay.engine} volume ls --quiet").stdout.split()
    assert "quaylab-quay-storage" not in on_quay


def test_hosts_pass_their_own_tests(deployed: Deployment) -> None:
    with timed("verify"):
        deployed.verify()


def test_swift_knows_the_user_as_well(deployed: Deployment, tmp_path: Any) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(deployed.ca)
    url = f"https://{deployed.machines['ceph'].address}:7480/auth/v1.0"
    headers = {"X-Auth-User": SWIFT_USER, "X-Auth-Key": deployed.secrets["swift_password"]}
    token = requests.get(url, headers=headers, timeout=30, verify=str(ca))
    assert token.ok, token.text
    listed = requests.get(
        f"{token.headers['X-Storage-Url']}/{BUCKET}",
        headers={"X-Auth-Token": token.headers["X-Auth-Token"]},
        timeout=30,
        verify=str(ca),
    )
    assert listed.ok
    wrong = requests.get(url, headers={**headers, "X-Auth-Key": "x"}, timeout=30, verify=str(ca))
    assert wrong.status_code == 401


def test_registry_reports_a_stopped_gateway_and_recovers_by_itself(
    deployed: Deployment, client: RegistryClient
) -> None:
    ceph = deployed.machines["ceph"]
    assert endtoend(deployed)
    ceph.run(engines.stop(ceph.engine, "quaylab-ceph"))
    with timed("endtoend while Ceph is down"):
        assert not endtoend(deployed)
    ceph.run(engines.start(ceph.engine, "quaylab-ceph"))
    with timed("recovery"):
        wait_until(lambda: endtoend(deployed), "Quay is well again", timeout=120)
    assert client.pull(f"{ADMIN}/small:1")


def test_a_daemon_that_dies_comes_back(deployed: Deployment) -> None:
    ceph = deployed.machines["ceph"]
    ceph.run("pkill -KILL ceph-osd")
    with timed("a killed OSD's return"):
        wait_until(lambda: endtoend(deployed), "Quay is well again", timeout=120)


def test_everything_is_back_after_a_reboot(deployed: Deployment, client: RegistryClient) -> None:
    ceph = deployed.machines["ceph"]
    with timed("reboot"):
        ceph.reboot()
        wait_until(lambda: endtoend(deployed), "Quay is well again", timeout=180)
    # Podman keeps a login until a reboot.
    assert client.login(ADMIN, deployed.password).returncode == 0
    assert client.pull(f"{ADMIN}/small:1")
    assert deployed.run().changed() == []


def test_removed_container_comes_back_with_its_objects(
    deployed: Deployment, client: RegistryClient
) -> None:
    ceph = deployed.machines["ceph"]
    ceph.run(engines.remove(ceph.engine, "quaylab-ceph"))
    changed = deployed.run().changed()
    assert [name.rpartition(" | ")[2] for name, _ in changed] == ["Run Ceph"]
    assert client.pull(f"{ADMIN}/small:1")


def test_rotation_changes_the_keys(
    deployed: Deployment, client: RegistryClient, tmp_path: Any
) -> None:
    from botocore.exceptions import ClientError

    before = deployed.secrets["storage_secret_key"]
    deployed.run("tasks/rotate.py", "-vvv").check()
    assert deployed.secrets["storage_secret_key"] != before
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        _s3(deployed, tmp_path, secret=before).list_objects_v2(Bucket=BUCKET)
    assert client.login(ADMIN, deployed.password).returncode == 0
    assert client.pull(f"{ADMIN}/small:1")
    assert deployed.run().changed() == []


def test_a_larger_osd_keeps_its_objects_and_does_not_shrink_again(
    deployed: Deployment, client: RegistryClient
) -> None:
    ceph = deployed.machines["ceph"]

    def size() -> int:
        said = ceph.run(f"{ceph.engine} {' '.join(SHELL)} ceph df --format=json").stdout
        return int(json.loads(said)["stats"]["total_bytes"])

    assert size() == 20 * 1024**3
    larger = ("deploy.py", "--data", "ceph_osd_size_gb=21")
    with timed("growth of an OSD"):
        changed = deployed.run(*larger).changed()
    names = [name.rpartition(" | ")[2] for name, _ in changed]
    assert names == ["Write Ceph's configuration", "Run Ceph"]
    wait_until(lambda: size() == 21 * 1024**3, "the OSD tells its new size", timeout=60)
    assert client.pull(f"{ADMIN}/small:1")
    wait_until(lambda: state(ceph).health == "HEALTH_OK", "Ceph is well", timeout=60)
    assert deployed.run(*larger).changed() == []
    refused = deployed.run()
    assert refused.returncode != 0
    assert "ceph_osd_size_gb: 20, but the OSDs on" in refused.output


def test_teardown_keeps_the_data_and_purge_removes_it(deployed: Deployment) -> None:
    ceph = deployed.machines["ceph"]
    ours = f"{ceph.engine} ps --all --quiet --filter label={DIGEST_LABEL}"
    assert ceph.run(ours).stdout
    deployed.run("tasks/teardown.py").check()
    assert ceph.run(ours).stdout == ""
    volumes = f"{ceph.engine} volume ls --quiet"
    assert "quaylab-ceph" in ceph.run(volumes).stdout
    deployed.run("tasks/teardown.py", "--data", f"purge={HOSTNAME}").check()
    assert "quaylab-ceph" not in ceph.run(volumes).stdout
