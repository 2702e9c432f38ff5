"""The packaged images on a real engine: the stand-in against the recording of a real Quay."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quaylab.clients.registry import Registry
from quaylab.versions import NEWEST
from tests.machine.machines import run, wait_until
from tests.machine.recorded_answers import check_body, check_header, check_token
from tests.machine.recording import FIRST, SECOND, Exchange, Replay, outline, recorded
from tests.machine.second_recording import REFUSED, SecondReplay, with_features
from tests.machine.site import (
    ADMIN,
    ADMIN_PASSWORD,
    PASSWORD,
    UIDS,
    URI_PASSWORD,
    Site,
    docker,
    health,
)
from tests.ports import free_port

# The image of the last version that ran on MySQL.
OLDER = "quay-mysql"


@pytest.fixture(scope="module")
def site(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """PostgreSQL and Redis, ready for stand-ins."""
    site = Site(images, tmp_path_factory.mktemp("site"))
    try:
        docker("network", "create", site.name)
        site.start_service("postgresql", ("quay", PASSWORD, "quay"))
        site.start_service("redis", (PASSWORD,))
        site.wait_for_postgresql()
        site.exec("postgresql", "psql", "-q", "quay", "-c", "CREATE EXTENSION pg_trgm")
        yield site
    finally:
        site.close()


def write_certificate(bundle: Path, host: str, address: str) -> None:
    """Write a self-signed certificate for a name and an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(timezone.utc)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (bundle / "ssl.cert").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (bundle / "ssl.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for file in ("ssl.cert", "ssl.key"):
        os.chown(bundle / file, UIDS["quay"], 0)


def start_secure(site: Site, name: str) -> tuple[Path, dict[int, int]]:
    """Start a stand-in with TLS and a database; return its bundle, and its ports by Quay's."""
    ports = {port: free_port() for port in (8443, 8080, 9091)}
    uri = site.make_database(name)
    bundle = site.bundle(ports[8443], PREFERRED_URL_SCHEME="https", DB_URI=uri, TESTING=None)
    write_certificate(bundle, "quay.example.com", "127.0.0.1")
    mounts = ("--volume", f"{bundle}:/conf/stack:ro")
    published = [f"--publish=127.0.0.1:{ours}:{theirs}" for theirs, ours in ports.items()]
    site.start(name, *mounts, *published, image="quay", command=("registry",))
    wait_until(partial(healthy_behind_tls, bundle, ports[8443]), name)
    return bundle, ports


def healthy_behind_tls(bundle: Path, port: int) -> bool:
    """Return whether a node with the bundle's certificate is healthy."""
    url = f"https://127.0.0.1:{port}/health/instance"
    try:
        return requests.get(url, verify=str(bundle / "ssl.cert"), timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def replay(site: Site) -> Iterator[Replay]:
    """A new stand-in, to which the first recording is replayed."""
    port = free_port()
    # The recorded Quay had no memcached, so it cached nothing.
    bundle = site.bundle(port, DATA_MODEL_CACHE_CONFIG={"engine": "noop"})
    seconds = site.start_quay(bundle, port)
    assert seconds < 30, "two to three seconds on an idle machine"
    yield Replay(site, port)
    site.remove("quay")


@pytest.mark.parametrize("exchange", recorded(FIRST), ids=lambda exchange: exchange.title)
def test_as_in_the_first_recording(replay: Replay, exchange: Exchange) -> None:
    """The stand-in answers the recording's requests, in order, as Quay did."""
    answer = replay.play(exchange)

    assert answer.status_code == exchange.status, answer.text
    # The recorder truncated long answers; only complete ones are compared.
    if exchange.answer.endswith(("}", '"')):
        theirs = json.loads(replay.here(exchange.answer))
        assert outline(answer.json()) == outline(theirs)
    for name, value in exchange.answer_headers.items():
        if name == "Content-Length":
            continue
        if name == "Set-Cookie":
            assert answer.headers[name].startswith("_csrf_token=")
            continue
        expected = replay.here(value).replace("<UUID>", replay.upload)
        assert answer.headers[name] == expected, name


@pytest.fixture(scope="module")
def second(site: Site) -> Iterator[SecondReplay]:
    """A new stand-in behind TLS, to which the second recording is replayed."""
    bundle, ports = start_secure(site, "recorded")
    yield SecondReplay(ports, bundle)
    site.remove("recorded")


SECOND_EXCHANGES = recorded(SECOND)
WITH_FEATURES = {exchange.title for exchange in with_features(SECOND_EXCHANGES)}


@pytest.mark.parametrize(
    "exchange",
    [each for each in SECOND_EXCHANGES if each.title not in WITH_FEATURES],
    ids=lambda exchange: exchange.title,
)
def test_as_in_the_second_recording(site: Site, second: SecondReplay, exchange: Exchange) -> None:
    """The stand-in answers as Quay did, or with 501 where it does not do what Quay does."""
    if exchange.title == "health: as the superuser, TESTING false":
        site.reconfigure("recorded", second.bundle, TESTING=False)
        wait_until(partial(healthy_behind_tls, second.bundle, second.port), "the stand-in")
    if exchange.title == "manifest: its subject is not there":
        # Tags are listed by the second in which they were pushed: this one is the newest.
        time.sleep(1)
    answer = second.play(exchange)

    if exchange.title in REFUSED:
        assert answer.status_code == 501
        return
    assert answer.status_code == (exchange.status or 200), answer.text
    if exchange.token:
        check_token(exchange.token, second.token)
    if exchange.answer or not exchange.token:
        check_body(second.here(exchange.answer), answer)
    for name, value in exchange.answer_headers.items():
        check_header(name, second.here(value).replace("<UUID>", second.upload), answer)


def test_does_not_start_with_features_that_it_lacks(site: Site) -> None:
    """Quotas and pruning, which the other exchanges of the second recording need."""
    features = {"FEATURE_QUOTA_MANAGEMENT": True, "FEATURE_AUTO_PRUNE": True}
    status, stderr = site.refusal(site.bundle(**features), "registry")

    assert len(WITH_FEATURES) == 17
    assert status == 1
    assert stderr == "refused: the stand-in has no FEATURE_QUOTA_MANAGEMENT, FEATURE_AUTO_PRUNE\n"


def test_says_that_it_is_a_stand_in(replay: Replay) -> None:
    """Its page, its answers and its log say that it is not Quay."""
    answer = replay.request("GET", "/health/instance")
    log = docker("logs", replay.site.container("quay")).split("\n")

    assert answer.headers["X-Quaylab-Standin"] == NEWEST
    assert "This is not Quay" in replay.request("GET", "/").text
    assert log[0] == f"Quaylab's stand-in for Quay {NEWEST}. This is not Quay."
    assert not any(secret in line for line in log for secret in (PASSWORD, ADMIN_PASSWORD, "sssss"))


def test_limits_heavy_requests_with_feature_rate_limits(site: Site) -> None:
    """It allows five per second; clients retry."""
    port = free_port()
    bundle = site.bundle(port, FEATURE_RATE_LIMITS=True, DB_URI=site.make_database("limits"))
    site.start_quay(bundle, port, part="limits")
    url = f"http://127.0.0.1:{port}/v2/auth"
    statuses = {requests.get(url, timeout=9).status_code for _ in range(6)}
    site.remove("limits")

    assert statuses == {401, 429}


# --- the start -------------------------------------------------------------------------------


CA_BESIDE_THE_BUNDLE = {"threadlocals": True, "autorollback": True, "ssl": {"ca": "/etc/ca.pem"}}
REDIS_ON_ANOTHER_PORT = {"host": "redis", "port": 6380, "password": PASSWORD}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SECRET_KEY": None, "DB_URI": None}, "config.yaml lacks DB_URI, SECRET_KEY"),
        ({"SERVER_HOSTNAME": "registry"}, "SERVER_HOSTNAME registry"),
        ({"SERVER_HOSTNAME": "https://quay.example.com"}, "SERVER_HOSTNAME https://quay"),
        ({"DATABASE_SECRET_KEY": "d" * 64}, "longer than 63"),
        ({"BUILDLOGS_REDIS": REDIS_ON_ANOTHER_PORT}, "must be equal"),
        ({"DB_CONNECTION_ARGS": {"sslmode": "require"}}, "threadlocals"),
        ({"DB_CONNECTION_ARGS": CA_BESIDE_THE_BUNDLE}, "must begin with conf/stack/"),
        ({"DB_URI": "sqlite:////tmp/quay.db"}, "postgresql://"),
        ({"PREFERRED_URL_SCHEME": "https"}, "ssl.cert and ssl.key are not there"),
        (
            {"DISTRIBUTED_STORAGE_CONFIG": {"default": ["CephStorage", {}]}},
            "CephStorage is unknown",
        ),
        (
            {"DISTRIBUTED_STORAGE_CONFIG": {"default": ["RadosGWStorage", {}]}},
            "RadosGWStorage lacks hostname",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_refuses_a_configuration(site: Site, changes: dict[str, Any], reason: str) -> None:
    """A configuration that Quay cannot work with is refused in one line that names the key."""
    status, stderr = site.refusal(site.bundle(**changes), "registry")

    assert status == 1
    assert reason in stderr
    assert stderr.count("\n") == 1
    assert PASSWORD not in stderr


def test_refuses_without_a_configuration(site: Site) -> None:
    folder = site.folder / "empty"
    folder.mkdir()

    assert site.refusal(folder, "registry") == (
        1,
        "refused: /conf/stack/config.yaml: No such file or directory\n",
    )


def test_refuses_to_start_without_its_services(site: Site) -> None:
    """With a wrong password for database or Redis, or a database without the extension."""
    site.exec("postgresql", "psql", "-qc", "CREATE DATABASE bare OWNER quay")
    host = site.container("postgresql")
    server = {"host": site.container("redis"), "port": 6379, "password": "wrong"}
    for changes, reason in (
        ({"DB_URI": f"postgresql://quay:wrong@{host}/quay"}, "password authentication failed"),
        ({"DB_URI": f"postgresql://quay:{URI_PASSWORD}@{host}/bare"}, "extension pg_trgm"),
        ({"BUILDLOGS_REDIS": server}, "BUILDLOGS_REDIS does not answer"),
    ):
        status, stderr = site.refusal(site.bundle(**changes), "registry")
        assert status == 1
        assert reason in stderr
        assert stderr.count("\n") == 1


def test_upgrade(site: Site) -> None:
    """A newer version migrates the schema; an older node then still runs, but can't migrate."""
    uri = site.make_database("upgraded")
    bundle = site.bundle(DB_URI=uri)

    assert "holds no schema" in site.refusal(bundle, "registry-nomigrate", image=OLDER)[1]
    assert site.refusal(bundle, "migrate", "head", image=OLDER) == (0, "")
    assert "needs 318c00c0ffee" in site.refusal(bundle, "registry-nomigrate")[1]
    for _ in range(2):
        assert site.refusal(bundle, "migrate", "head") == (0, "")
    status, stderr = site.refusal(bundle, "registry", image=OLDER)
    assert status == 255
    assert "Can't locate revision identified by '318c00c0ffee'" in stderr

    port = free_port()
    bundle = site.bundle(port, DB_URI=uri)
    site.start_quay(bundle, port, part="older", image=OLDER, command="registry-nomigrate")
    docker("stop", site.container("older"))
    state = docker("inspect", "--format", "{{.State.ExitCode}}", site.container("older"))
    assert state == "0"
    site.remove("older")


# --- TLS, clients, several nodes -------------------------------------------------------------


@pytest.fixture
def secure(site: Site) -> Iterator[tuple[Path, int]]:
    """A stand-in that terminates TLS itself: its bundle, and its port on this machine."""
    bundle, ports = start_secure(site, "tls")
    yield bundle, ports[8443]
    site.remove("tls")
    site.exec("postgresql", "psql", "-qc", "DROP DATABASE tls WITH (FORCE)")


@pytest.mark.usefixtures("secure")
def test_tls(site: Site) -> None:
    """8443 serves TLS with the mounted certificate, 8080 redirects; a wrong one is refused."""
    plain = docker("port", site.container("tls"), "8080").split(":")[1]
    answer = requests.get(f"http://127.0.0.1:{plain}/v2/", allow_redirects=False, timeout=5)
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://127.0.0.1/v2/"

    https: dict[str, Any] = {"PREFERRED_URL_SCHEME": "https"}
    other = site.bundle(SERVER_HOSTNAME="registry.example.com", **https)
    write_certificate(other, "quay.example.com", "127.0.0.1")
    assert "does not name SERVER_HOSTNAME" in site.refusal(other, "registry")[1]
    changed = site.bundle(**https)
    write_certificate(changed, "quay.example.com", "127.0.0.1")
    (changed / "ssl.key").write_bytes((other / "ssl.key").read_bytes())
    assert "do not belong together" in site.refusal(changed, "registry")[1]


def test_quaylabs_own_verification(secure: tuple[Path, int]) -> None:
    """Each deploy ends with this client's login, push and pull, with an image that Quay accepts."""
    bundle, port = secure
    trusted = (bundle / "ssl.cert").read_text()
    quay = Registry(f"127.0.0.1:{port}", trusted, ("127.0.0.1", port))
    assert quay.initialize(ADMIN, ADMIN_PASSWORD, "quayadmin@example.com")

    for _ in range(2):
        assert quay.round_trip(ADMIN, ADMIN_PASSWORD, "verification-").startswith("sha256:")
        assert quay.sign_in(ADMIN, ADMIN_PASSWORD)
        quay.delete_repositories(ADMIN, "verification-")


def healthy_end_to_end(port: int) -> bool:
    """Return whether a node and all its services are healthy."""
    return health(port, "endtoend") == 200


def test_two_nodes_and_a_real_client(site: Site, tmp_path: Path) -> None:
    """docker pushes to one node and pulls from another; each node accepts the other's tokens."""
    uri = site.make_database("nodes")
    first, second = free_port(), free_port()
    # Without a load balancer, each node has an address, and a server_hostname, of its own.
    storage = ("--volume", f"{site.name}-storage:/datastorage")
    for part, port in (("first", first), ("second", second)):
        mounts = ("--volume", f"{site.bundle(port, DB_URI=uri)}:/conf/stack:ro", *storage)
        published = ("--publish", f"127.0.0.1:{port}:8080")
        site.start(part, *mounts, *published, image="quay", command=("registry",))
        wait_until(partial(healthy_end_to_end, port), part)

    user = {"username": ADMIN, "password": ADMIN_PASSWORD, "access_token": True}
    answer = requests.post(f"http://127.0.0.1:{first}/api/v1/user/initialize", json=user, timeout=9)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    answer = requests.get(f"http://127.0.0.1:{second}/api/v1/user/", headers=bearer, timeout=9)
    assert answer.json()["super_user"] is True

    client = ("--config", str(tmp_path))
    image = site.images["redis"]
    try:
        for port in (first, second):
            registry = f"127.0.0.1:{port}"
            login = ("login", "--username", ADMIN, "--password-stdin", registry)
            docker(*client, *login, stdin=ADMIN_PASSWORD)
        pushed = f"127.0.0.1:{first}/{ADMIN}/redis:1"
        docker("tag", image, pushed)
        docker(*client, "push", "--quiet", pushed)
        pulled = pushed.replace(str(first), str(second))
        docker(*client, "pull", "--quiet", pulled)
        identity = ("image", "inspect", "--format", "{{.Id}}")
        assert docker(*identity, pulled) == docker(*identity, image)
    finally:
        for port in (first, second):
            docker("image", "rm", f"127.0.0.1:{port}/{ADMIN}/redis:1", check=False)
        for part in ("first", "second"):
            site.remove(part)
        docker("volume", "rm", f"{site.name}-storage")


# --- the databases and Redis -----------------------------------------------------------------


def test_mariadb(site: Site) -> None:
    """Quay 3.16 runs on a latin1 database of MariaDB; newer versions and other charsets don't."""
    site.start_service("mariadb", ("quay", PASSWORD, "quay"))
    # It fails because nobody may log in, and that answer shows that the server is up.
    probe = "mariadb-admin --host=127.0.0.1 --user=nobody ping 2>&1 || true"
    wait_until(lambda: "denied" in site.exec("mariadb", "sh", "-c", probe), "MariaDB")
    host = site.container("mariadb")
    port = free_port()
    bundle = site.bundle(port, DB_URI=f"mysql+pymysql://quay:{URI_PASSWORD}@{host}/quay")

    refused = site.refusal(bundle, "registry", image=OLDER)
    assert "character set utf8mb4; Quay needs latin1" in refused[1]
    alter = "ALTER DATABASE quay CHARACTER SET latin1"
    site.exec("mariadb", "mysql", "--user=root", f"--execute={alter}")
    assert "need PostgreSQL from v3.17.0 on" in site.refusal(bundle, "registry")[1]

    site.start_quay(bundle, port, part="on-mariadb", image=OLDER)
    replay = Replay(site, port)
    user = {"username": ADMIN, "password": ADMIN_PASSWORD}
    assert replay.request("POST", "/api/v1/user/initialize", json=user).ok
    replay.registry_token = replay.push_token()
    replay.push_blob(replay.layer)
    replay.push_blob(replay.config)
    for exchange in recorded(FIRST):
        if exchange.title in ("manifest", "read it", "tags", "blob"):
            assert replay.play(exchange).status_code == exchange.status
    accounts = site.exec(
        "mariadb", "mysql", "--user=root", "-Ne", "SELECT User, Host FROM mysql.global_priv"
    )
    assert {line.split("\t")[0] for line in accounts.split("\n")} == {
        "mariadb.sys",
        "quay",
        "root",
    }
    site.remove("on-mariadb")
    site.remove("mariadb")


@pytest.mark.parametrize("part", ["postgresql", "mariadb", "redis"])
def test_services_do_not_start_without_their_variables(images: dict[str, str], part: str) -> None:
    done = run("docker", "run", "--rm", images[part], check=False)

    assert done.returncode == 1
    assert re.fullmatch(r"run-\w+: \w+ is not set\n", done.stderr)


def test_postgresql_keeps_data_and_takes_a_new_password(
    images: dict[str, str], tmp_path: Path
) -> None:
    """The next start completes a killed first one; a new password is used from the next start."""
    site = Site(images, tmp_path)
    docker("network", "create", site.name)
    volume = f"{site.name}-data"
    data = ("--volume", f"{volume}:/var/lib/pgsql/data")
    half_made = ("bash", "-c", "mkdir -p data/userdata.new && echo > data/userdata.new/PG_VERSION")
    try:
        site.start("half-made", *data, image="postgresql", command=half_made)
        site.start_service("postgresql", ("quay", "first", "quay"), *data)
        site.wait_for_postgresql()
        site.exec("postgresql", "psql", "-qc", "CREATE TABLE kept ()", "quay")
        site.remove("postgresql")

        site.start_service("postgresql", ("quay", PASSWORD, "quay"), *data)
        site.wait_for_postgresql()
        assert "kept" in site.exec("postgresql", "psql", "-c", "\\dt", "quay")
        ask = ("-Atc", "SELECT rolsuper FROM pg_roles WHERE rolname = user")
        psql = ("postgresql", "psql", f"postgresql://quay:{URI_PASSWORD}@127.0.0.1/quay", *ask)
        assert site.exec(*psql) == "f"
        psql = ("postgresql", "psql", "postgresql://quay:first@127.0.0.1/quay", *ask)
        assert site.exec(*psql, check=False) == ""
    finally:
        site.close()
        docker("volume", "rm", volume, check=False)
