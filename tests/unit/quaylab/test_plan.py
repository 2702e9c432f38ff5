"""The plan: it is complete, or all problems are reported at once."""

from __future__ import annotations

import datetime as dt
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr

from quaylab import plan
from quaylab.checks import database_location
from quaylab.engines.state import FoundVolume
from quaylab.hosts.machine import Machine
from quaylab.model import LOOPBACK
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Store
from tests.unit import clustered
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.samples import CREDENTIALS, certified, host, machine, with_storage_keys

QUAY, DATABASE, REDIS = "quay.example.com", "db.example.com", "redis.example.com"
ALL = ("quay", "database", "redis")


def _make(store: Store, found: Machine | None = None, **data: Any) -> Plan:
    return plan.make([host(QUAY, **data)], {QUAY: found or machine()}, store)


def _make_three(store: Store, **data: Any) -> Plan:
    services = {QUAY: "quay", DATABASE: "database", REDIS: "redis"}
    hosts = [
        host(name, [service], ssh_hostname=f"192.168.254.{10 + number}", **data)
        for number, (name, service) in enumerate(services.items())
    ]
    return plan.make(hosts, {name: machine() for name in services}, store)


def _problems(store: Store, found: Machine | None = None, **data: Any) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        _make(store, found, **data)
    return refused.value.problems


def _names(made: Plan, name: str) -> list[str]:
    return [workload.container.name for workload in made.workloads_of(name)]


def test_one_host_has_all_services_in_the_order_they_are_started(store: Store) -> None:
    made = _make(store)
    assert _names(made, QUAY) == ["quaylab-database", "quaylab-redis", "quaylab-quay"]
    assert set(made.volumes_of(QUAY)) == {"quaylab-database", "quaylab-quay-storage"}
    assert made.address_of_registry(QUAY) == LOOPBACK


def test_a_ca_that_is_not_text_is_refused_with_the_other_problems(
    store: Store, tmp_path: Path
) -> None:
    """A CA's DER, for example."""
    (tmp_path / "ca.der").write_bytes(b"\x30\x82\xff")
    hosts = [
        host(
            QUAY,
            ["quay", "redis"],
            database_host="db.example.com",
            database_ca=tmp_path / "ca.der",
            quay_config={"TESTING": True},
        )
    ]
    with pytest.raises(Refusal) as refused:
        plan.make(hosts, {QUAY: machine()}, store)
    ca, key = refused.value.problems
    assert ca == f"database_ca: {tmp_path}/ca.der is not a PEM certificate"
    assert key.startswith("quay_config: TESTING is worked out")


def test_three_hosts_have_one_service_each(store: Store) -> None:
    made = _make_three(store)
    assert _names(made, DATABASE) == ["quaylab-database"]
    assert _names(made, REDIS) == ["quaylab-redis"]
    assert _names(made, QUAY) == ["quaylab-quay"]
    assert made.address_of_registry(DATABASE) == "192.168.254.10"


def test_a_workload_is_found_by_its_service_and_its_host(store: Store) -> None:
    made = _make_three(store)
    assert made.workload("redis", REDIS).container.name == "quaylab-redis"
    with pytest.raises(ValueError, match="unpack"):
        made.workload("redis", QUAY)


def test_ports_have_their_service_and_their_setting(store: Store) -> None:
    made = _make_three(store)
    assert [(name, port.setting) for name, port in made.ports_of(QUAY)] == [
        ("quay", "quay_https_port"),
        ("quay", "quay_http_port"),
    ]
    ((name, port),) = made.ports_of(DATABASE)
    assert (name, str(port.published)) == ("database", "192.168.254.11:5432:5432")
    assert made.ports_of("nobody.example.com") == ()


def test_a_host_outside_the_run_has_no_workloads(store: Store) -> None:
    hosts = [host(QUAY, ["quay"], address="10.0.0.1"), host(DATABASE, ["database", "redis"])]
    made = plan.make(hosts, {DATABASE: machine()}, store)
    assert made.workloads_of(QUAY) == ()
    assert made.topology.first_quay == QUAY


def test_workers_fit_each_hosts_own_memory(store: Store) -> None:
    def workers(made: Plan) -> str:
        return dict(made.workload("quay", QUAY).container.environment)["WORKER_COUNT"]

    small, large = (_make(store, machine(memory_mb=size)) for size in (4096, 16384))
    assert workers(small) == "3"
    assert workers(large) == "8"


def test_the_same_run_again_plans_the_same(store: Store) -> None:
    first = _make(store)
    store.save(first.credentials)
    assert _make(store) == first


def test_nothing_is_written_while_planning(store: Store) -> None:
    before = {path: path.read_bytes() for path in store.path.parent.iterdir()}
    _make(store)
    assert {path: path.read_bytes() for path in store.path.parent.iterdir()} == before


def test_credentials_file_is_named_after_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = plan.make([host(QUAY, lab_name="mine")], {QUAY: machine()})
    assert made.store.path == Path("credentials/mine.yaml")


@pytest.mark.parametrize(
    ("source", "standin"), [("registry", False), ("packages", True)], ids=["quay", "stand-in"]
)
def test_the_stand_in_is_recognized(store: Store, source: str, standin: bool) -> None:
    assert _make(store, image_source=source).has_standin is standin


def test_purge_takes_the_registrys_name(store: Store) -> None:
    assert not _make(store).purges
    assert _make(store, purge=QUAY).purges
    (problem,) = _problems(store, purge="other.example.com")
    assert problem == f"purge: 'other.example.com' is not this registry's name, {QUAY}"


def test_registries_of_the_images(store: Store) -> None:
    image = "registry.example.com:5000/redis:7"
    assert _make(store, redis_image=image).registries == ("quay.io", "registry.example.com:5000")
    assert _make(store, image_source="packages").registries == ()


@pytest.mark.parametrize(("engine", "version"), [("postgresql", "v3.18.0"), ("mysql", "v3.16.5")])
def test_version(store: Store, engine: str, version: str) -> None:
    assert _make(store, database_engine=engine).version == version


# --- problems ---


def test_all_problems_at_once(store: Store) -> None:
    problems = _problems(
        store,
        machine(uid=1000, os_id="alpine"),
        quay_version="v4.0.0",
        image_source="archive",
        server_hostname="10.0.0.1",
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "image_archive",
        "quay_version",
        "_sudo",
        QUAY,
        "server_hostname",
    ]


def test_owned_keys_of_quays_config_are_refused(store: Store) -> None:
    (problem,) = _problems(store, quay_config={"DB_URI": "x"})
    assert problem.startswith("quay_config: DB_URI ")


@pytest.mark.parametrize("source", ["registry", "packages"])
def test_an_archive_is_for_the_source_archive_only(
    store: Store, tmp_path: Path, source: str
) -> None:
    archive = tmp_path / "images.tar"
    tarfile.open(archive, "w").close()
    (problem,) = _problems(store, image_archive=archive, image_source=source)
    assert problem.startswith("image_archive: set it together with image_source=archive")
    assert _make(store, image_archive=archive, image_source="archive")


@pytest.mark.parametrize("content", [b"text", b"\x30\x82\x03\xff\xfe"], ids=["text", "DER"])
def test_company_ca_that_is_no_certificate(store: Store, tmp_path: Path, content: bytes) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes(content)
    (problem,) = _problems(store, company_ca=authority)
    assert problem == f"company_ca: {authority} is not a PEM certificate"


@pytest.mark.parametrize(
    "content",
    [b"secret garbage", b'{"credHelpers": {}}', b"[]", b"\xff\xfe"],
    ids=["no JSON", "no logins", "another shape", "binary"],
)
def test_pull_secret_without_logins(store: Store, tmp_path: Path, content: bytes) -> None:
    secret = tmp_path / "config.json"
    secret.write_bytes(content)
    (problem,) = _problems(store, pull_secret=secret)
    assert problem.startswith(f"pull_secret: {secret} ")
    assert "garbage" not in problem


def test_damaged_credentials_are_reported_with_the_other_problems(store: Store) -> None:
    store.path.write_text("damaged")
    problems = _problems(store, server_hostname="10.0.0.1")
    assert {problem.split(":")[0] for problem in problems} == {"server_hostname", str(store.path)}


def test_credentials_with_parts_of_two_runs_are_refused(store: Store) -> None:
    made = certified(QUAY)
    store.save(made.model_copy(update={"certificate_key": certified(QUAY).certificate_key}))
    (problem,) = _problems(store)
    assert problem.startswith(
        f"{store.path}: certificate and certificate_key don't belong together; restore it from"
    )


def test_a_file_truncated_before_its_ca_does_not_lead_to_a_new_ca(store: Store) -> None:
    store.save(certified(QUAY))
    text = store.path.read_text()
    store.path.write_text(text[: text.index("ca_certificate")])
    (problem,) = _problems(store)
    assert problem.startswith(f"{store.path}: is cut off: it has no ca_certificate")


def test_with_an_administrator_the_roles_password_is_generated(tmp_path: Path) -> None:
    empty = Store("lab", tmp_path / "credentials")
    data = {"database_host": "db.example.com", "database_admin": "postgres"}
    made = plan.make([host(QUAY, ["quay", "redis"], **data)], {QUAY: machine()}, empty)
    assert len(made.credentials.database_password.get_secret_value()) == 32
    assert made.administrator is None, "not known before the database was asked"


def test_settings_of_services_elsewhere_that_cannot_go_together(store: Store) -> None:
    (problem,) = _problems(store, database_admin="postgres")
    assert problem.startswith("database_admin: ")


def test_passwords_of_services_elsewhere_are_asked_for(tmp_path: Path) -> None:
    fresh = Store("lab", tmp_path)
    hosts = [host(QUAY, ["quay"], database_host="db.example.com", redis_host="r.example.com")]
    with pytest.raises(Refusal) as refused:
        plan.make(hosts, {QUAY: machine()}, fresh)
    keys = [problem.partition(":")[0] for problem in refused.value.problems]
    assert keys == ["QUAYLAB_DATABASE_PASSWORD", "QUAYLAB_REDIS_PASSWORD"]
    made = plan.make(hosts, {QUAY: machine()}, fresh, ask=lambda prompt: f"typed {prompt}"[:5] * 2)
    assert made.credentials.redis_password.get_secret_value() == "typedtyped"


def test_rotation_generates_new_passwords(store: Store) -> None:
    made = plan.make([host(QUAY)], {QUAY: machine()}, store, rotate=True)
    assert made.credentials.redis_password != CREDENTIALS.redis_password
    assert made.credentials.secret_key == CREDENTIALS.secret_key


def test_rotation_needs_what_to_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUAYLAB_REDIS_PASSWORD", "given-by-me")
    with pytest.raises(Refusal) as refused:
        plan.make([host(QUAY)], {QUAY: machine()}, Store("lab", tmp_path), rotate=True)
    given, missing = refused.value.problems
    assert given.startswith("QUAYLAB_REDIS_PASSWORD: is set")
    assert "deploy first" in missing


# --- the user's certificate ---


@pytest.fixture
def users(tmp_path: Path) -> dict[str, Any]:
    """A certificate for QUAY and its key, as files."""
    made = certified(QUAY)
    assert made.certificate and made.certificate_key
    files = {"tls_certificate": tmp_path / "quay.crt", "tls_key": tmp_path / "quay.key"}
    files["tls_certificate"].write_text(made.certificate)
    files["tls_key"].write_text(made.certificate_key.get_secret_value())
    return files


def test_users_certificate_is_served_and_no_ca_is_made(store: Store, users: dict[str, Any]) -> None:
    made = _make(store, **users)
    assert made.certificate.certificate == users["tls_certificate"].read_text()
    assert made.certificate.ca is None
    assert made.credentials.ca_certificate is None


def test_users_certificate_is_checked(store: Store, users: dict[str, Any]) -> None:
    (problem,) = _problems(store, **users, server_hostname="other.example.com")
    assert problem.startswith("tls_certificate: is for quay.example.com, not for")


def test_a_bad_certificate_keeps_nobody_from_removal_or_recovery(
    store: Store, users: dict[str, Any]
) -> None:
    hosts = [host(QUAY, server_hostname="other.example.com", **users)]
    assert plan.make(hosts, {QUAY: machine()}, store, deploys=False).certificate.ca is None


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")]
)
def test_certificate_and_key_go_together(
    store: Store, users: dict[str, Any], given: str, missing: str
) -> None:
    (problem,) = _problems(store, **{given: users[given]})
    assert problem == f"{missing}: not set; a certificate and its key go together"


def test_labs_certificate_is_for_the_registrys_name(store: Store) -> None:
    served = _make(store, server_hostname="registry.example.com").certificate
    leaf = x509.load_pem_x509_certificate(served.certificate.encode())
    (name,) = leaf.subject
    assert name.value == "registry.example.com"
    assert leaf.not_valid_after_utc > dt.datetime.now(dt.timezone.utc) + certificates.RENEW_BEFORE
    assert leaf.public_bytes(Encoding.PEM).decode() == served.certificate


ADOPTED: dict[str, None] = {
    "ca_key": None,
    "database_certificate": None,
    "database_certificate_key": None,
}


def test_adopted_members_and_quay_get_a_new_ca_in_one_run(store: Store) -> None:
    """tasks/adopt.py finds no key of the CA, and no certificate of the database's members."""
    adopted = clustered.credentials().model_copy(update=ADOPTED)
    first = clustered.made(store, given=adopted)
    assert first.credentials.ca_certificate != adopted.ca_certificate
    assert first.certificate == certificates.server_certificate(first.credentials)
    assert first.node_certificate == first.certificate
    store.save(first.credentials)
    assert plan.make(clustered.inventory(), first.machines, store) == first


def _ago(days: int) -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=days)


def test_a_new_ca_signs_the_certificates_of_all_services(
    store: Store, users: dict[str, Any]
) -> None:
    """Whichever of them makes it: Ceph's turn comes before the database's."""
    one, two, three = (
        host(name, parts, **users, server_hostname=QUAY, address=clustered.ADDRESSES[name])
        for name, parts in (
            (ONE, ("quay", "redis", "ceph", "database")),
            (TWO, ("database",)),
            (THREE, ("database",)),
        )
    )
    machines = {each.name: clustered.report(each.name) for each in (one, two, three)}
    stored = certificates.with_server_certificate(with_storage_keys(CREDENTIALS), QUAY, _ago(3350))
    stored = certificates.with_ceph_certificate(stored, QUAY, [clustered.ADDRESSES[ONE]], _ago(100))
    store.save(stored)
    made = plan.make([one, two, three], machines, store).credentials
    assert made.ca_certificate and made.ceph_certificate and made.database_certificate
    assert made.ca_certificate != stored.ca_certificate
    for each in (made.ceph_certificate, made.database_certificate):
        assert certificates.is_signed_by(each, made.ca_certificate)


@pytest.mark.parametrize(
    ("ca_days_ago", "missing"),
    [(377, {"ca_key": None}), (3450, {})],
    ids=["adopted without the CA's key", "in the CA's last year"],
)
def test_what_does_not_deploy_connects_with_the_stored_certificate(
    store: Store, ca_days_ago: int, missing: dict[str, None]
) -> None:
    """It is the one that is served, also when it is due and one of a new CA will follow it."""
    with_ca = certificates.with_server_certificate(CREDENTIALS, QUAY, _ago(ca_days_ago))
    stored = certificates.with_server_certificate(with_ca, QUAY, _ago(377))
    store.save(stored.model_copy(update=missing))
    looking = plan.make([host(QUAY)], {QUAY: machine()}, store, deploys=False)
    assert looking.certificate == certificates.server_certificate(stored)
    assert looking.credentials.ca_certificate == stored.ca_certificate
    assert _make(store).certificate.ca != stored.ca_certificate


# --- data on the hosts ---


def _with_volumes(made: Plan, **changed: str) -> Machine:
    """Return a host with the volumes of a plan, with some labels changed."""
    changed = {f"io.quaylab.{label}": value for label, value in changed.items()}
    return machine(
        volumes=tuple(
            FoundVolume(name, {**volume.labels, **changed})
            for name, volume in made.volumes_of(QUAY).items()
        )
    )


def test_own_data_is_accepted(store: Store) -> None:
    plan.refuse_unfit(_make(store, _with_volumes(_make(store))))


@pytest.mark.parametrize(
    ("before", "now", "setting"),
    [
        ({}, {"database_engine": "mysql"}, "database_engine"),
        ({"database_data": "/srv/db"}, {}, "database_data"),
        ({}, {"quay_storage_path": "/srv/blobs"}, "quay_storage_path"),
        ({"image_source": "packages"}, {}, "image_source"),
        ({}, {"postgresql_image": "quay.io/sclorg/postgresql-16-c9s:c9s"}, "postgresql_image"),
    ],
    ids=["engine", "directory", "blobs", "stand-in", "major version"],
)
def test_data_of_another_run_is_refused(
    store: Store, before: dict[str, Any], now: dict[str, Any], setting: str
) -> None:
    found = _with_volumes(_make(store, **before))
    made = _make(store, found, **now)
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(made)
    assert any(problem.startswith(f"{setting}: ") for problem in refused.value.problems)


def _elsewhere(store: Store, **data: Any) -> Plan:
    """Return the plan of a run whose database runs elsewhere, unless it is in the data."""
    given = CREDENTIALS.model_copy(update={"database_password": SecretStr("elsewhere")})
    store.save(given)
    groups = data.pop("groups", ["quay", "redis"])
    noted = machine(database=data.pop("noted"), schema="v3.18.0")
    return plan.make([host(QUAY, groups, **data)], {QUAY: noted}, store)


RDS = {"database_host": "rds.example.net"}


@pytest.mark.parametrize(
    ("noted", "now", "setting"),
    [
        ("own quay quay", RDS, "database_host"),
        ("rds.example.net:5432 quay quay", {"groups": ALL}, "database_host"),
        ("rds.example.net:5432 quay quay", {**RDS, "database_port": 5433}, "database_host"),
        ("own quay quay", {"groups": ALL, "database_name": "registry"}, "database_name"),
        ("own quay quay", {"groups": ALL, "database_user": "registry"}, "database_user"),
        ("damaged", RDS, "database_host"),
    ],
    ids=["to another", "to our own", "port", "name", "role", "damaged"],
)
def test_another_database_than_the_one_with_the_schema_is_refused(
    store: Store, noted: str, now: dict[str, Any], setting: str
) -> None:
    (problem,) = [each for each in _refused(_elsewhere(store, noted=noted, **now)) if noted in each]
    assert problem.startswith(f"{setting}: Quay's database is {noted!r}")
    assert f"/var/lib/quaylab/database on {QUAY}" in problem


@pytest.mark.parametrize(
    ("noted", "now"),
    [
        (None, RDS),
        ("rds.example.net:5432 quay quay", RDS),
        ("[2001:db8::1]:5432 quay quay", {"database_host": "2001:db8::1"}),
    ],
    ids=["from before this note", "elsewhere", "an IPv6 address"],
)
def test_the_same_database_is_accepted(
    store: Store, noted: str | None, now: dict[str, Any]
) -> None:
    plan.refuse_unfit(_elsewhere(store, noted=noted, **now))


def test_our_own_database_stays_the_same_when_it_grows_to_several_hosts(store: Store) -> None:
    one, several = _make(store), clustered.made(store)
    noted = database_location.note(one.settings, one.topology).content
    assert noted == "own quay quay\n"
    assert one.topology.database.address != several.topology.database.address
    assert database_location.note(several.settings, several.topology).content == noted


def test_data_of_other_credentials_is_refused(store: Store) -> None:
    made = _make(store, _with_volumes(_make(store), credentials="fedcba9876543210"))
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(made)
    assert all(problem.startswith("lab_name: ") for problem in refused.value.problems)


# --- the database on several hosts ---


def _refused(made: Plan) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(made)
    return refused.value.problems


def test_three_hosts_with_everything_fit(store: Store) -> None:
    """Router and member publish the same port, at different addresses."""
    made = clustered.made(store)
    plan.refuse_unfit(made)
    for name in HOSTS[:3]:
        assert _names(made, name) == [
            "quaylab-etcd",
            "quaylab-database",
            "quaylab-redis",
            "quaylab-router",
            "quaylab-balancer",
            "quaylab-quay",
        ]
        assert set(made.volumes_of(name)) == {"quaylab-etcd", "quaylab-database"}


def test_the_same_run_of_a_cluster_plans_the_same(store: Store) -> None:
    first = clustered.made(store)
    store.save(first.credentials)
    hosts = clustered.inventory()
    assert plan.make(hosts, first.machines, store) == first


def test_members_get_their_passwords_and_certificate_in_the_first_run(store: Store) -> None:
    made = clustered.made(store, given=with_storage_keys(CREDENTIALS)).credentials
    assert made.database_certificate and made.database_certificate_key
    passwords = {made.replication_password, made.rewind_password, made.patroni_password}
    assert len({each.get_secret_value() for each in passwords if each}) == 3


def test_one_host_gets_none_of_them(store: Store) -> None:
    made = _make(store).credentials
    assert (made.database_certificate, made.replication_password) == (None, None)


def test_rotation_changes_the_members_passwords_and_not_their_certificate(store: Store) -> None:
    before = clustered.made(store)
    hosts = clustered.inventory()
    after = plan.make(hosts, before.machines, store, rotate=True).credentials
    for key in ("database_password", "replication_password", "rewind_password", "patroni_password"):
        assert getattr(after, key) != getattr(before.credentials, key)
    assert after.database_certificate == before.credentials.database_certificate


def test_a_ports_number_is_refused_if_another_service_has_it(store: Store) -> None:
    problems = _refused(clustered.made(store, clustered.inventory(patroni_port=2379)))
    assert {each.partition(":")[0] for each in problems} == {"etcd_port"}
    assert len(problems) == 3


def test_a_new_cluster_without_one_of_its_hosts_is_refused(store: Store) -> None:
    hosts = clustered.inventory()
    machines = {name: clustered.report(name) for name in (ONE, TWO)}
    (problem,) = _refused(clustered.made(store, hosts, machines))
    assert problem.startswith(f"database: {THREE} takes no part in this run")


def test_images_that_are_built_on_a_host_belong_to_no_registry(store: Store) -> None:
    assert clustered.made(store).registries == ("docker.io", "quay.io")


def test_images_that_are_built_in_pull_from_their_own_registry(store: Store) -> None:
    hosts = clustered.inventory(etcd_image="registry.example.com:5000/etcd:v3.5.1")
    assert clustered.made(store, hosts).registries == (
        "docker.io",
        "quay.io",
        "registry.example.com:5000",
    )
