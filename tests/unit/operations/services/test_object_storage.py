"""The bucket is created if it is missing, and tested before Quay starts."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from operations.hosts import reach
from operations.runtime import waiting
from operations.services import object_storage
from operations.services import quay as quay_operations
from quaylab.clients.registry import RegistryError
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit import fronted
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.fake_host import FakeHost, text
from tests.unit.operations.conftest import Site
from tests.unit.quaylab.small_store import Answer, Request, SmallStore, small_store
from tests.unit.samples import with_storage_keys

LB1, LB2, _ = BALANCERS
MISSING = Answer(404, "<Error><Code>NoSuchBucket</Code></Error>")


class Bucket:
    """A store with one bucket, which may exist."""

    def __init__(self) -> None:
        self.exists = False
        self.denied = False
        self.objects: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        if self.denied:
            return Answer(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if path == "/quay-storage":
            self.exists = self.exists or request.method == "PUT"
            return Answer(200, "<ListBucketResult/>") if self.exists else MISSING
        if not self.exists:
            return MISSING
        if request.method == "PUT":
            self.objects[path] = request.body
        elif request.method == "GET":
            return Answer(200, self.objects[path])
        else:
            del self.objects[path]
        return Answer(204 if request.method == "DELETE" else 200)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def server(bucket: Bucket) -> Iterator[SmallStore]:
    with small_store(bucket) as running:
        yield running


@pytest.fixture
def lab(site: Site, server: SmallStore) -> Plan:
    site.store.save(with_storage_keys(site.lab().credentials))
    return site.lab(
        storage="radosgw", storage_host="127.0.0.1", storage_port=server.port, storage_tls=False
    )


@pytest.fixture
def host(site: Site) -> FakeHost:
    return site.host()


def test_a_missing_bucket_is_created(lab: Plan, host: FakeHost, bucket: Bucket) -> None:
    (command,) = host.operate(object_storage.bucket_present, plan=lab)
    assert not bucket.exists
    assert host.call(command)
    assert bucket.exists


def test_a_dry_run_creates_nothing(
    lab: Plan, host: FakeHost, bucket: Bucket, server: SmallStore
) -> None:
    host.executing = False
    assert len(host.operate(object_storage.bucket_present, plan=lab)) == 1
    assert host.operate(object_storage.usable, plan=lab) == []
    assert not bucket.exists
    assert {each.method for each in server.asked} == {"GET"}


def test_an_existing_bucket_is_left_alone(lab: Plan, host: FakeHost, bucket: Bucket) -> None:
    bucket.exists = True
    assert host.operate(object_storage.bucket_present, plan=lab) == []
    assert host.noops == ["quay-storage is there"]


def test_a_bucket_that_a_killed_run_created_meanwhile(
    lab: Plan, host: FakeHost, bucket: Bucket
) -> None:
    (command,) = host.operate(object_storage.bucket_present, plan=lab)
    bucket.exists = True
    assert host.call(command)


def test_a_store_that_refuses_is_reported_in_one_line(
    lab: Plan, host: FakeHost, bucket: Bucket
) -> None:
    bucket.denied = True
    (command,) = host.operate(object_storage.bucket_present, plan=lab)
    assert not host.call(command)
    (line,) = host.messages
    assert line.startswith("storage_secret_key: object store at ")


def test_objects_are_written_read_and_deleted(
    lab: Plan, host: FakeHost, bucket: Bucket, server: SmallStore
) -> None:
    bucket.exists = True
    assert host.operate(object_storage.usable, plan=lab) == []
    assert host.noops == ["objects can be written, read and deleted in quay-storage"]
    of_objects = [each for each in server.asked if each.path.startswith("/quay-storage/")]
    assert [each.method for each in of_objects] == ["PUT", "GET", "DELETE"]
    assert bucket.objects == {}


def test_a_store_that_cannot_be_used_stops_the_run(
    lab: Plan, host: FakeHost, bucket: Bucket
) -> None:
    bucket.denied = True
    (command,) = host.operate(object_storage.usable, plan=lab)
    assert "storage_secret_key: " in text(command)
    assert text(command).endswith("exit 1")


def test_quay_is_not_started_without_its_bucket(lab: Plan, host: FakeHost, bucket: Bucket) -> None:
    (command,) = host.operate(quay_operations.services_answer, plan=lab)
    assert "storage_bucket: there is no bucket quay-storage" in text(command)
    bucket.exists = True
    assert host.operate(quay_operations.services_answer, plan=lab) == []
    assert "radosgw bucket quay-storage answers in" in host.noops[-1]


def test_verification_follows_quays_redirect_to_the_store(
    site: Site, lab: Plan, host: FakeHost
) -> None:
    """Quay redirects clients to a signed address of the blob in the store."""

    def script(request: Request) -> Answer:
        name, _, query = request.path.removeprefix("/quay-storage/").partition("?")
        return Answer(200, site.quay.blobs[name]) if query == "signature=a" else Answer(403)

    user = lab.settings.quay_superuser
    password = lab.credentials.superuser_password.get_secret_value()
    with small_store(script) as server, reach.registry(host, lab) as quay:  # type: ignore[arg-type]
        site.quay.sends_to = f"http://127.0.0.1:{server.port}/quay-storage"
        quay.initialize(user, password, lab.settings.quay_superuser_email)
        assert quay.round_trip(user, password, "check")
    assert len(server.asked) == 1


@pytest.mark.parametrize("refusal", [Answer(403), None], ids=["refused", "down"])
def test_a_store_that_clients_cannot_read_from(
    site: Site, lab: Plan, host: FakeHost, refusal: Answer | None
) -> None:
    user = lab.settings.quay_superuser
    password = lab.credentials.superuser_password.get_secret_value()
    with small_store(lambda _: refusal or Answer()) as server:
        port = server.port if refusal else 1
        with reach.registry(host, lab) as quay:  # type: ignore[arg-type]
            site.quay.sends_to = f"http://127.0.0.1:{port}/quay-storage"
            quay.initialize(user, password, lab.settings.quay_superuser_email)
            message = "HTTP 403" if refusal else "Connection refused"
            with pytest.raises(RegistryError, match=f"a blob from 127.0.0.1:{port}: .*{message}"):
                quay.round_trip(user, password, "check")


def test_a_host_without_a_tunnel(lab: Plan) -> None:
    with pytest.raises(reach.Unreachable, match="only SSH and @local hosts can"):
        reach.find_bucket(FakeHost(), lab)  # type: ignore[arg-type]


def test_nobody_listens(lab: Plan, host: FakeHost, server: SmallStore) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(reach.Unreachable, match=r"^storage_host: .* no answer: "):
        reach.find_bucket(host, lab)  # type: ignore[arg-type]


# --- behind balancers ---


@pytest.fixture
def balancers(store: Store) -> Plan:
    """The plan of two balancers in front of the gateways of three hosts."""
    return fronted.made(store, virtual_address=VIRTUAL)


@pytest.mark.parametrize("answers", [True, False])
def test_on_a_first_run_the_gateways_are_waited_for(
    balancers: Plan, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    slept = [0.0]
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(waiting, "time", clock)

    def find_bucket(host: FakeHost, plan: Plan) -> None:
        if sum(slept) < 9 or not answers:
            raise reach.Unreachable("storage_host: no answer")

    monkeypatch.setattr(reach, "find_bucket", find_bucket)
    host = FakeHost()
    (command,) = host.operate(object_storage.reachable, plan=balancers)
    assert host.call(command) is answers
    assert host.messages == ([] if answers else ["storage_host: no answer"])
    assert sum(slept) == (10 if answers else balancers.settings.health_timeout + 2)


def test_a_second_run_does_not_wait(balancers: Plan) -> None:
    lab = fronted.running(balancers, LB1, "ingress", VIRTUAL)
    assert FakeHost().operate(object_storage.reachable, plan=lab) != [], "the second one is new"
    lab = fronted.running(lab, LB2, "ingress")
    host = FakeHost()
    assert host.operate(object_storage.reachable, plan=lab) == []
    assert host.noops == ["the ingress runs"]


def test_a_balancer_that_takes_no_part_may_hold_the_address(balancers: Plan) -> None:
    lab = fronted.running(balancers, LB1, "ingress")
    assert FakeHost().operate(object_storage.reachable, plan=lab) != []
    assert FakeHost().operate(object_storage.reachable, plan=fronted.without(lab, LB2)) == []
