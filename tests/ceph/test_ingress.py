"""Two balancers lead to the gateways of three Ceph hosts: one of each kind may be lost.

The gateways are doubles, because no OSD can start on these machines: an HAProxy on each Ceph host
ends TLS with the gateways' own certificate, and all of them pass requests on to one S3 store, as
the gateways of one cluster do. Ingress, keepalived and the way to them are a deploy's own.
"""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from facts.router import Router
from tests.ha.faults import GAP, holder
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, wait_until
from tests.machine.s3_store import KEYS, Store, s3_store

BALANCERS, GATEWAYS = ("lb1", "lb2"), ("ceph1", "ceph2", "ceph3")
BUCKET = "quay-storage"
# As cephadm's own ingress asks them, a gateway answers a HEAD of nothing with 200.
GATEWAY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend gateway
    bind :7480 ssl crt /gateway/tls.pem
    http-request return status 200 if {{ method HEAD }} {{ path / }}
    default_backend store
backend store
    server store {address}:{port} ssl verify none
"""


@dataclass(frozen=True)
class Site:
    lab: Deployment
    balancers: list[Machine]
    gateways: list[Machine]
    address: str
    ca: Path

    def client(self) -> Any:
        """Return a client as Quay's: its boto3 (1.35) tries five times, newer ones three times."""
        return boto3.client(
            "s3",
            endpoint_url=f"https://{self.address}:7443",
            region_name="us-east-1",
            aws_access_key_id=KEYS["access"],
            aws_secret_access_key=KEYS["secret"],
            verify=str(self.ca),
            config=Config(retries={"mode": "legacy"}),
        )

    def serving(self, balancer: Machine) -> list[str]:
        """Return the gateways to which a balancer leads, by the fact of `./lab status`."""
        fact = Router()
        said = balancer.run(fact.command(container="quaylab-ingress"), check=False).stdout
        found = fact.process(said.splitlines())
        return sorted(found["gateways"]) if found else []

    def await_whole(self) -> None:
        wait_until(
            lambda: all(self.serving(each) == [*GATEWAYS] for each in self.balancers),
            "both balancers lead to all gateways",
            timeout=120,
        )


@pytest.fixture(scope="module")
def site(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ingress")
    machines = machine_factory.together((*BALANCERS, *GATEWAYS))
    balancers, gateways = machines[:2], machines[2:]
    address = f"{machines[0].address.rpartition('.')[0]}.250"
    archive = folder / "images.tar"
    tarfile.open(archive, "w").close()
    data = balancers[:1]
    lab = Deployment.of(
        operator,
        folder,
        {
            "balancer": balancers,
            "quay": balancers,
            "ceph": gateways,
            "database": data,
            "redis": data,
        },
        # Debian's packages don't work with cephadm, so a run wouldn't take them.
        image_source="archive",
        image_archive=str(archive),
        balancer_image=images["haproxy"],
        minimum_memory_mb=512,
        virtual_address=address,
    )
    with s3_store(machines[0], folder) as store:
        # The first task of any run makes the gateways' certificate.
        lab.run("tasks/engine.py").check()
        for machine in gateways:
            _serve(machine, lab, store, images["haproxy"])
        lab.run("tasks/ingress.py").check()
        ca = folder / "lab.pem"
        ca.write_text(lab.ca)
        site = Site(lab, balancers, gateways, address, ca)
        site.await_whole()
        site.client().create_bucket(Bucket=BUCKET)
        yield site
    lab.forget()
    for machine in machines:
        machine.destroy()


def _serve(machine: Machine, lab: Deployment, store: Store, image: str) -> None:
    """Run the double of a gateway, which comes back with its machine."""
    certificate = f"{lab.credentials.ceph_certificate}{lab.secrets['ceph_certificate_key']}"
    files = {
        "tls.pem": certificate,
        "haproxy.cfg": GATEWAY.format(address=store.address, port=store.port),
    }
    for name, content in files.items():
        machine.run(f"mkdir -p /gateway && cat >/gateway/{name}", input=content)
    machine.run(
        "docker run --detach --name=gateway --network=host --restart=always --user=root "
        f"--volume=/gateway:/gateway:ro {image} haproxy -db -f /gateway/haproxy.cfg"
    )


@dataclass
class Seen:
    """What a client saw that writes and reads objects all the time."""

    written: dict[str, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    # The longest time in seconds that one object took.
    gap: float = 0

    def __str__(self) -> str:
        return f"{len(self.written)} objects, longest {self.gap:.1f} s, failed: {self.failures}"


@contextmanager
def load(site: Site) -> Iterator[Seen]:
    """Write objects and read each one back during the block; what failed is tried once more."""
    seen, done = Seen(), threading.Event()

    def work(number: int) -> None:
        client, count = site.client(), 0
        while not done.is_set():
            count += 1
            name, content = f"{number}-{count}", f"{time.monotonic_ns()}".encode() * 500
            began = time.monotonic()
            if _failure(client, name, content) and (failure := _failure(client, name, content)):
                seen.failures.append(failure)
            else:
                seen.written[name] = content
            seen.gap = max(seen.gap, time.monotonic() - began)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()
        print(f"\n{seen}")


def _failure(client: Any, name: str, content: bytes) -> str | None:
    """Write an object and read it; return what failed, or None."""
    try:
        client.put_object(Bucket=BUCKET, Key=name, Body=content)
        assert client.get_object(Bucket=BUCKET, Key=name)["Body"].read() == content
    except (BotoCoreError, ClientError, OSError, AssertionError) as error:
        return f"{name}: {type(error).__name__}: {error}"
    return None


def _lost(site: Site, seen: Seen) -> list[str]:
    """Return the objects that can't be read with the content with which they were written."""
    client = site.client()
    return [
        name
        for name, content in seen.written.items()
        if client.get_object(Bucket=BUCKET, Key=name)["Body"].read() != content
    ]


def test_a_second_run_changes_nothing(site: Site) -> None:
    assert site.lab.run("tasks/ingress.py").changed() == []


def test_clients_fetch_a_blob_from_the_address_for_which_it_was_signed(site: Site) -> None:
    """With the lab's CA alone; a gateway's certificate is for the balancers' address as well."""
    client = site.client()
    client.put_object(Bucket=BUCKET, Key="blob", Body=b"its content")
    url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "blob"})
    assert url.startswith(f"https://{site.address}:7443/")
    assert requests.get(url, verify=str(site.ca), timeout=10).content == b"its content"


def _killed(site: Site) -> Callable[[], None]:
    site.gateways[0].run("docker kill gateway")
    return lambda: _start(site.gateways[0])


def _start(machine: Machine) -> None:
    machine.run("docker start gateway")


def _hung(site: Site) -> Callable[[], None]:
    site.gateways[1].run("docker pause gateway")
    return lambda: _resume(site.gateways[1])


def _resume(machine: Machine) -> None:
    machine.run("docker unpause gateway")


def _without_power(site: Site) -> Callable[[], None]:
    site.gateways[2].kill()
    return site.gateways[2].start


def _balancer_without_power(site: Site) -> Callable[[], None]:
    lost = holder(site.balancers, site.address)
    lost.kill()
    return lost.start


@pytest.mark.parametrize(
    ("fault", "gap"),
    [
        (_killed, GAP),
        # Two answers of 5 s are missing before it is left out.
        (_hung, 2 * GAP),
        (_without_power, GAP),
        (_balancer_without_power, GAP),
    ],
)
def test_blobs_are_served_without(
    site: Site, fault: Callable[[Site], Callable[[], None]], gap: int
) -> None:
    """Nothing fails for a client that tries a failed request once more, and nothing is lost: Quay's
    own retries, of random length, may end before the address has moved."""
    with load(site) as seen:
        time.sleep(3)
        mend = fault(site)
        time.sleep(15)
    mend()
    site.await_whole()
    assert seen.failures == []
    assert seen.gap <= gap
    assert _lost(site, seen) == []


def test_a_replaced_ingress_is_not_missed(site: Site) -> None:
    """Another limit of its log replaces it, one balancer after the other, and the address moves to
    the other one before."""
    with load(site) as seen:
        changed = site.lab.run("tasks/ingress.py", "--data", "container_log_files=4").changed()
    replaced = [host for name, host in changed if name.endswith("Run the ingress")]
    assert sorted(replaced) == [*BALANCERS]
    assert seen.failures == []
    assert seen.gap <= GAP
    assert _lost(site, seen) == []
    site.await_whole()
