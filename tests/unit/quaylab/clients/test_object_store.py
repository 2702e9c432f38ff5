"""The client of object stores, with moto's S3, and with small servers for other answers."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from quaylab.clients.object_store import CONTENT, Client
from quaylab.clients.probes import Unreachable
from tests.authority import Authority
from tests.unit.quaylab.small_store import Answer, Request, certificate, small_store
from tests.unit.samples import CREDENTIALS, build, host, settings

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = {"storage_access_key": SecretStr(ACCESS), "storage_secret_key": SecretStr(SECRET)}
HERE = "127.0.0.1"


def _client(
    port: int, at: str = HERE, access: str = ACCESS, secret: str = SECRET, **changes: Any
) -> Client:
    """Return a client for some settings; all its connections go to a port of this machine."""
    keys = {
        "storage_access_key": SecretStr(access),
        "storage_secret_key": SecretStr(secret),
    }
    given = {"storage": "s3", **changes}
    if given["storage"] in ("s3", "radosgw") and "storage_region" not in given:
        given = {"storage_host": at, "storage_port": port, "storage_tls": False, **given}
    store = build([host("quay.example.com")], **given).object_store
    assert store
    credentials = CREDENTIALS.model_copy(update=keys)

    def dial(address: str, where: int) -> socket.socket:
        check_url.append((address, where))
        return socket.create_connection((HERE, port), timeout=5)

    check_url.clear()
    return Client(settings(**given), store, credentials, dial)


check_url: list[tuple[str, int]] = []


def _refusal(client: Client, *, make: bool = False) -> str:
    with pytest.raises(Unreachable) as refused:
        client.make_bucket() if make else client.ask()
    refusal = str(refused.value)
    assert "\n" not in refusal
    assert SECRET not in refusal
    return refusal


# --- S3, by moto --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=HERE, port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def clean(moto: int) -> Iterator[int]:
    yield moto
    urllib3.request("POST", f"http://{HERE}:{moto}/moto-api/reset-auth", body=b"1000000")
    urllib3.request("POST", f"http://{HERE}:{moto}/moto-api/reset")


def _objects(port: int, bucket: str = "quay-storage") -> list[str]:
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{HERE}:{port}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
    )
    return [each["Key"] for each in s3.list_objects(Bucket=bucket).get("Contents", [])]


@pytest.mark.parametrize("kind", [{"storage": "s3"}, {"storage": "radosgw"}], ids=str)
def test_a_bucket_is_created_used_and_left_empty(clean: int, kind: dict[str, Any]) -> None:
    client = _client(clean, **kind)
    assert client.ask() is None
    client.make_bucket()
    client.make_bucket()  # a killed run may have created it before
    answer = client.ask()
    assert answer
    assert str(answer).startswith(f"{kind['storage']} bucket quay-storage answers in ")
    client.round_trip()
    assert _objects(clean) == []


def test_asking_creates_nothing(clean: int) -> None:
    client = _client(clean)
    assert client.ask() is None
    assert client.ask() is None


def test_a_bucket_is_created_in_the_region_of_the_settings(clean: int) -> None:
    client = _client(
        clean,
        storage="radosgw",
        storage_region="eu-central-1",
        storage_host=HERE,
        storage_port=clean,
        storage_tls=False,
    )
    client.make_bucket()
    assert client.ask()


def _user(port: int, *, rights: bool) -> tuple[str, str]:
    """Create a user of moto's IAM, which then requires keys; return its keys."""
    iam = boto3.client(
        "iam",
        endpoint_url=f"http://{HERE}:{port}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
    )
    iam.create_user(UserName="quay")
    if rights:
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [everything]}
        iam.put_user_policy(UserName="quay", PolicyName="all", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="quay")["AccessKey"]
    urllib3.request("POST", f"http://{HERE}:{port}/moto-api/reset-auth", body=b"0")
    return key["AccessKeyId"], key["SecretAccessKey"]


def test_right_keys(clean: int) -> None:
    access, secret = _user(clean, rights=True)
    client = _client(clean, access=access, secret=secret)
    client.make_bucket()
    client.round_trip()


def test_wrong_access_key(clean: int) -> None:
    _user(clean, rights=True)
    refusal = _refusal(_client(clean))
    assert refusal == (
        f"storage_access_key: object store at {HERE}:{clean}: the access key is not known there "
        "(InvalidAccessKeyId)"
    )


def test_wrong_secret_key(clean: int) -> None:
    access, _ = _user(clean, rights=True)
    refusal = _refusal(_client(clean, access=access))
    assert refusal.startswith("storage_secret_key: ")
    assert "the secret key is wrong (SignatureDoesNotMatch)" in refusal


def test_keys_without_rights(clean: int) -> None:
    _client(clean).make_bucket()
    access, secret = _user(clean, rights=False)
    refusal = _refusal(_client(clean, access=access, secret=secret))
    assert refusal.startswith("storage_bucket: ")
    assert "it belongs to another, or the keys lack the right" in refusal


# --- S3, other answers: the codes of docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses


def _error(status: int, code: str, more: str = "", **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>Words of {code}</Message>{more}</Error>"
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(status, body, {"Content-Type": "application/xml", **named})


@pytest.mark.parametrize(
    ("answer", "setting", "message"),
    [
        (_error(403, "RequestTimeTooSkewed"), "storage", "start chrony or another NTP client"),
        (_error(403, "AccessDenied"), "storage_bucket", "belongs to another"),
        (
            _error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
            "storage_region",
            "bucket quay-storage is in eu-west-1; set that region",
        ),
        (
            _error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            "storage_region",
            "bucket quay-storage is in eu-west-1; set that region",
        ),
        (
            _error(400, "IllegalLocationConstraintException"),
            "storage_region",
            "is in another region",
        ),
        (_error(403, "ExpiredToken"), "storage_access_key", "(ExpiredToken)"),
        (_error(503, "SlowDown"), "storage_bucket", "Words of SlowDown"),
        (Answer(502, "<html>Bad gateway</html>"), "storage_bucket", "Bad Gateway"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value.body)[13:40],
)
def test_what_s3_refuses_is_reported_with_the_setting(
    answer: Answer, setting: str, message: str
) -> None:
    with small_store(lambda _: answer) as server:
        refusal = _refusal(_client(server.port))
    assert refusal.startswith(f"{setting}: object store at ")
    assert message in refusal
    assert len(server.asked) == 1  # no second try


def test_a_bucket_name_that_another_account_has() -> None:
    with small_store(lambda _: _error(409, "BucketAlreadyExists")) as server:
        refusal = _refusal(_client(server.port), make=True)
    assert (
        "bucket quay-storage belongs to another (BucketAlreadyExists); name one of yours" in refusal
    )


def test_keys_that_may_not_create_a_bucket() -> None:
    with small_store(lambda _: _error(403, "AccessDenied")) as server:
        refusal = _refusal(_client(server.port), make=True)
    assert "our keys may not make bucket quay-storage; have it made" in refusal


def _stored(request: Request) -> Answer:
    """Answer as a store that has the object."""
    return Answer(200, CONTENT if request.method == "GET" else b"")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_each_step_of_the_round_trip_can_be_denied(method: str) -> None:
    def script(request: Request) -> Answer:
        if request.method == method:
            return _error(403, "AccessDenied")
        return _stored(request)

    verb = {"PUT": "put", "GET": "get", "DELETE": "delete"}[method]
    with small_store(script) as server, pytest.raises(Unreachable) as refused:
        _client(server.port).round_trip()
    assert f"our keys may not {verb} in bucket quay-storage" in str(refused.value)


def test_a_store_that_returns_another_content() -> None:
    with (
        small_store(lambda _: Answer(200)) as server,
        pytest.raises(Unreachable, match="gave back another content"),
    ):
        _client(server.port).round_trip()


def test_objects_are_written_as_quay_does() -> None:
    with small_store(_stored) as server:
        _client(server.port).round_trip()
    put = server.asked[0]
    assert put.path == "/quay-storage/datastorage/registry/quaylab-probe"
    assert put.body == CONTENT
    assert put.headers["x-amz-server-side-encryption"] == "AES256"
    assert put.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")


# --- The connection -----------------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server((HERE, 0)) as unused:
        port = unused.getsockname()[1]
    refusal = _refusal(_client(port))
    assert refusal == (
        f"storage_host: object store at {HERE}:{port}: no answer: [Errno 111] Connection refused"
    )


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "setting", "message"),
    [
        (("s3.example.com",), False, False, "storage_ca", "by a CA that storage_ca doesn't hold"),
        (("s3.example.com",), True, True, "storage_ca", "certificate has expired"),
        (("other.example.com",), False, True, "storage_host", "not valid for 's3.example.com'"),
    ],
    ids=["untrusted", "expired", "of another name"],
)
def test_a_certificate_that_is_refused(
    tmp_path: Path, names: tuple[str, ...], expired: bool, trusted: bool, setting: str, message: str
) -> None:
    file = certificate(tmp_path, *names, expired=expired)
    changes: dict[str, Any] = {"storage_ca": file} if trusted else {}
    with small_store(lambda _: Answer(), file) as server:
        refusal = _refusal(_client(server.port, "s3.example.com", storage_tls=True, **changes))
    assert refusal.startswith(f"{setting}: object store at s3.example.com:")
    assert message in refusal


def test_a_private_ca_of_openssl(tmp_path: Path) -> None:
    authority = Authority.by_openssl(tmp_path)
    (tmp_path / "server.pem").write_text("".join(authority.sign("s3.example.com")))
    ca = authority.save(tmp_path / "ca.pem")
    with small_store(lambda _: Answer(200, "<ListBucketResult/>"), tmp_path / "server.pem") as on:
        assert _client(on.port, "s3.example.com", storage_tls=True, storage_ca=ca).ask()


def test_an_intermediate_ca_is_not_enough_as_in_quay(tmp_path: Path) -> None:
    below = Authority.new("Between", issuer=Authority.new())
    (tmp_path / "server.pem").write_text("".join(below.sign("s3.example.com")))
    ca = below.save(tmp_path / "ca.pem")
    with small_store(lambda _: Answer(200, "<ListBucketResult/>"), tmp_path / "server.pem") as on:
        refusal = _refusal(_client(on.port, "s3.example.com", storage_tls=True, storage_ca=ca))
    assert refusal.startswith("storage_ca: ")


def test_a_private_ca_and_the_stores_name(tmp_path: Path) -> None:
    file = certificate(tmp_path, "s3.example.com")
    with small_store(lambda _: Answer(200, "<ListBucketResult/>"), file) as server:
        client = _client(
            server.port, "s3.example.com", storage_tls=True, storage_ca=file, storage="radosgw"
        )
        assert client.ask()
    (asked,) = server.asked
    assert asked.headers["host"] == f"s3.example.com:{server.port}"
    assert check_url == [("s3.example.com", server.port)]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (
            {"storage": "s3", "storage_region": "eu-central-1"},
            "s3.eu-central-1.amazonaws.com",
        ),
        ({"storage": "gcs"}, "storage.googleapis.com"),
    ],
    ids=["s3", "gcs"],
)
def test_clouds_are_asked_by_their_names(
    tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    file = certificate(tmp_path, name)
    with small_store(lambda _: Answer(200, "<ListBucketResult/>"), file) as server:
        assert _client(server.port, company_ca=file, **changes).ask()
    (asked,) = server.asked
    assert asked.headers["host"] == name
    assert check_url == [(name, 443)]


def test_the_same_proxy_as_quays_is_used(tmp_path: Path) -> None:
    proxy = "http://proxy.example.com:3128"
    with small_store(lambda _: Answer(200, "<ListBucketResult/>")) as server:
        assert _client(server.port, http_proxy=proxy).ask()
        assert check_url == [("proxy.example.com", 3128)]
        assert server.asked[0].path.startswith(f"http://{HERE}:{server.port}/quay-storage")
        assert _client(server.port, http_proxy=proxy, no_proxy=f"localhost,{HERE}").ask()
        assert check_url == [(HERE, server.port)]


# --- The role of a machine at AWS ---------------------------------------------------------------


def _aws(request: Request) -> Answer:
    """Answer as the metadata service (IMDSv2) and as S3."""
    token = request.headers.get("x-aws-ec2-metadata-token")
    role = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": SECRET, "Token": "session-token"}
    if request.path == "/latest/api/token":
        return Answer(200, "metadata-token")
    if request.path == "/latest/meta-data/iam/security-credentials/":
        return Answer(200, "quay-role") if token == "metadata-token" else Answer(401)
    if request.path.endswith("/security-credentials/quay-role"):
        return Answer(200, json.dumps(role)) if token == "metadata-token" else Answer(401)
    return Answer(200, "<ListBucketResult/>")


def test_a_role_instead_of_keys() -> None:
    with small_store(_aws) as server:
        assert _client(server.port, storage_iam_role=True).ask()
    assert check_url == [("169.254.169.254", 80), (HERE, server.port)]
    asked = server.asked[-1].headers
    assert "Credential=ASIAROLE/" in asked["authorization"]
    assert asked["x-amz-security-token"] == "session-token"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(404), "Quay's machine has no role at AWS"),
        (Answer(200, "not what AWS says"), "is it one at AWS?"),
    ],
    ids=["no role", "not AWS"],
)
def test_no_role(answer: Answer, message: str) -> None:
    with small_store(lambda _: answer) as server:
        refusal = _refusal(_client(server.port, storage_iam_role=True))
    assert refusal.startswith("storage_iam_role: ")
    assert message in refusal


# --- Swift --------------------------------------------------------------------------------------


class Swift:
    """A Swift service of one version of its authentication, with one container and its objects."""

    def __init__(self, version: int, user: str = "quay:swift", password: str = SECRET) -> None:
        self.version, self.user, self.password = version, user, password
        self.objects: dict[str, bytes] | None = None
        self.port = 0

    def __call__(self, request: Request) -> Answer:
        url = f"http://{HERE}:{self.port}/swift"
        if request.path.startswith("/swift/"):
            if request.headers.get("x-auth-token") != "a-token":
                return Answer(401)
            return self._object(request, request.path.removeprefix("/swift/quay-storage"))
        if self.version == 1 and request.path == "/auth/v1.0":
            given = request.headers["x-auth-user"], request.headers["x-auth-key"]
            headers = {"X-Storage-Url": url, "X-Auth-Token": "a-token"}
            return Answer(204, b"", headers) if given == (self.user, self.password) else Answer(401)
        body = json.loads(request.body) if request.body else {}
        other = {"region": "other", "publicURL": "http://198.51.100.1"}
        if self.version == 2 and request.path == "/v2.0/tokens":
            given = tuple(body["auth"]["passwordCredentials"].values())
            if given != (self.user, self.password) or body["auth"]["tenantName"] != "images":
                return Answer(401)
            points = [other, {"region": "here", "publicURL": url}]
            catalog = [{"type": "object-store", "endpoints": points}]
            answer = {"access": {"token": {"id": "a-token"}, "serviceCatalog": catalog}}
            return Answer(200, json.dumps(answer))
        if self.version == 3 and request.path == "/v3/auth/tokens":
            user = body["auth"]["identity"]["password"]["user"]
            if (user["name"], user["password"]) != (self.user, self.password):
                return Answer(401)
            if user["domain"] != {"name": "company"}:
                return Answer(401)
            if body["auth"]["scope"]["project"] != {"name": "images", "domain": {"id": "default"}}:
                return Answer(401)
            points = [
                {"interface": "admin", "region": "here", "url": "http://198.51.100.1"},
                {"interface": "public", "region": "other", "url": "http://198.51.100.1"},
                {"interface": "public", "region": "here", "url": url},
            ]
            catalog = [{"type": "identity", "endpoints": []}]
            catalog.append({"type": "object-store", "endpoints": points})
            answer = {"token": {"catalog": catalog}}
            return Answer(201, json.dumps(answer), {"X-Subject-Token": "a-token"})
        return Answer(404)

    def _object(self, request: Request, name: str) -> Answer:
        if request.method == "PUT" and not name:
            self.objects = self.objects or {}
            return Answer(201)
        if self.objects is None:
            return Answer(404)
        if request.method == "PUT":
            self.objects[name] = request.body
            return Answer(201)
        if not name:
            return Answer(204)
        if request.method == "DELETE":
            del self.objects[name]
            return Answer(204)
        return Answer(200, self.objects[name])


OPTIONS = {
    1: {},
    2: {"tenant_name": "images", "region_name": "here"},
    3: {"project_name": "images", "user_domain_name": "company", "region_name": "here"},
}
PATHS = {1: "/auth/v1.0", 2: "/v2.0", 3: "/v3"}


def _swift(port: int, version: int, **changes: Any) -> Client:
    given = {
        "storage": "swift",
        "swift_auth_url": f"http://{HERE}:{port}{PATHS[version]}",
        "swift_auth_version": version,
        "swift_options": OPTIONS[version],
        "access": "quay:swift",
    }
    return _client(port, **{**given, **changes})


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_container_of_swift(version: int) -> None:
    swift = Swift(version)
    with small_store(swift) as server:
        swift.port = server.port
        client = _swift(server.port, version)
        assert client.ask() is None
        assert swift.objects is None
        client.make_bucket()
        answer = client.ask()
        assert str(answer).startswith("swift bucket quay-storage answers")
        client.round_trip()
    assert swift.objects == {}
    put = next(each for each in server.asked if each.body.startswith(b"Quaylab"))
    assert put.path == "/swift/quay-storage/datastorage/registry/quaylab-probe"
    assert len([each for each in server.asked if not each.path.startswith("/swift")]) == 1


@pytest.mark.parametrize("version", [1, 2, 3])
def test_wrong_password_of_swift(version: int) -> None:
    swift = Swift(version, password="another")
    with small_store(swift) as server:
        refusal = _refusal(_swift(server.port, version))
    assert refusal.startswith("storage_secret_key: ")
    assert "the user quay:swift or the password is refused" in refusal


def test_a_container_of_another_account() -> None:
    def script(request: Request) -> Answer:
        headers = {"X-Storage-Url": f"http://{request.headers['host']}/swift", "X-Auth-Token": "x"}
        return Answer(204, b"", headers) if request.path.startswith("/auth") else Answer(403)

    with small_store(script) as server:
        refusal = _refusal(_swift(server.port, 1))
    assert refusal.startswith("storage_bucket: ")
    assert "the user quay:swift may not use container quay-storage" in refusal


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("answer", [Answer(404), Answer(200, "hello")], ids=["404", "a page"])
def test_an_address_that_gives_no_tokens(version: int, answer: Answer) -> None:
    with small_store(lambda _: answer) as server:
        refusal = _refusal(_swift(server.port, version))
    assert refusal.startswith("swift_auth_url: ")
    assert f"version {version}" in refusal


@pytest.mark.parametrize("version", [2, 3])
def test_a_region_that_keystone_does_not_know(version: int) -> None:
    swift = Swift(version)
    with small_store(swift) as server:
        options = {**OPTIONS[version], "region_name": "elsewhere"}
        refusal = _refusal(_swift(server.port, version, swift_options=options))
    assert refusal.startswith("swift_options: ")
    assert "no object-store in the region elsewhere; found: here, other" in refusal


def test_swift_that_is_down() -> None:
    with socket.create_server((HERE, 0)) as unused:
        port = unused.getsockname()[1]
    assert _refusal(_swift(port, 1)).startswith("swift_auth_url: object store at ")


def test_a_store_that_does_not_answer_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quaylab.clients.http.TIMEOUT", 0.3)
    with socket.create_server((HERE, 0)) as silent:
        started = time.monotonic()
        refusal = _refusal(_client(silent.getsockname()[1]))
    assert time.monotonic() - started < 5
    assert "no answer" in refusal
