"""The database: its image, environment, volume and container, and Quay's DB_URI."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pydantic import SecretStr

from quaylab.images import Image
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL, IMPLEMENTATION_LABEL, PATH_LABEL, Mount
from quaylab.services import BY_NAME, database
from tests.unit.samples import (
    CREDENTIALS,
    build,
    certified,
    context,
    host,
    one_host,
    settings,
    workload,
)
from tests.unit.shell import Shell


@pytest.mark.parametrize("source", ["registry", "archive"])
@pytest.mark.parametrize(
    ("engine", "reference"),
    [
        ("postgresql", "quay.io/sclorg/postgresql-15-c9s:c9s"),
        ("mysql", "quay.io/sclorg/mysql-80-c9s:c9s"),
    ],
)
def test_image(source: str, engine: str, reference: str) -> None:
    wanted = settings(image_source=source, database_engine=engine)
    assert database.image(wanted) == Image(reference, source)


@pytest.mark.parametrize(
    ("engine", "name"), [("postgresql", "quaylab/postgresql:17-"), ("mysql", "quaylab/mariadb:11")]
)
def test_packaged_image(engine: str, name: str) -> None:
    image = database.image(settings(image_source="packages", database_engine=engine))
    assert image.reference.startswith(name)
    assert image.context and (image.context / "Dockerfile").is_file()


@pytest.mark.parametrize(
    ("engine", "variable", "uid", "directory", "port"),
    [
        ("postgresql", "POSTGRESQL", 26, "/var/lib/pgsql/data", "127.0.0.1:5432:5432"),
        ("mysql", "MYSQL", 27, "/var/lib/mysql/data", "127.0.0.1:3306:3306"),
    ],
)
def test_sclorgs_contract_is_followed(
    engine: str, variable: str, uid: int, directory: str, port: str
) -> None:
    found = workload("database", database_engine=engine)
    (environment,) = found.files
    assert environment.content.splitlines() == [
        f"{variable}_USER=quay",
        f"{variable}_PASSWORD=database-password",
        f"{variable}_DATABASE=quay",
    ]
    assert (environment.uid, environment.mode) == (uid, 0o400)
    assert Mount("quaylab-database", directory) in found.container.mounts
    assert [str(each) for each in found.container.ports] == [port]


def test_a_database_elsewhere_has_no_published_port() -> None:
    where = build([host("quay.example.com", ["quay", "redis"])], database_host="db.example.com")
    run = context(where, database_host="db.example.com")
    assert BY_NAME["database"].ports(run, "quay.example.com") == ()
    assert where.hosts["database"] == ()


@pytest.mark.parametrize("password", ["it's", 'say "hi"', "$HOME `id` \\", "a;b&c|d", "ünï"])
def test_odd_password_survives_the_shell(password: str, tmp_path: Path) -> None:
    odd = certified().model_copy(update={"database_password": SecretStr(password)})
    (environment,) = workload("database", credentials=odd).files
    file = tmp_path / "environment"
    file.write_text(environment.content)
    read = subprocess.run(
        ["bash", "-c", 'set -a && . "$0" && printenv POSTGRESQL_PASSWORD', str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout.removesuffix("\n") == password


def test_it_has_time_to_stop() -> None:
    assert workload("database").container.stop_timeout >= 60


# --- its data ---


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("quay.io/sclorg/postgresql-15-c9s:c9s", "postgresql-15-c9s"),
        ("registry.redhat.io/rhscl/postgresql-96-rhel7:1-64", "postgresql-96-rhel7"),
        ("registry.example.com:5000/postgres:15.4-alpine", "postgres-15"),
        ("docker.io/library/postgres:16", "postgres-16"),
    ],
)
def test_data_is_labelled_with_engine_and_major_version(image: str, kind: str) -> None:
    volume = workload("database", postgresql_image=image).volume
    assert volume
    assert volume.labels[DATA_LABEL] == kind


def test_data_of_mysql_is_labelled_with_the_minor_version() -> None:
    image = "docker.io/library/mysql:8.0.36"
    volume = workload("database", database_engine="mysql", mysql_image=image).volume
    assert volume
    assert volume.labels[DATA_LABEL] == "mysql-8.0"


@pytest.mark.parametrize(
    ("engine", "kind"), [("postgresql", "postgresql-17"), ("mysql", "mariadb-11.8")]
)
def test_data_of_a_packaged_image_is_labelled_as_stand_in(engine: str, kind: str) -> None:
    volume = workload("database", database_engine=engine, image_source="packages").volume
    assert volume
    assert volume.labels[DATA_LABEL] == kind
    assert volume.labels[IMPLEMENTATION_LABEL] == "stand-in"


def test_volume_is_labelled_with_its_owner() -> None:
    volume = workload("database", database_data="/srv/db").volume
    assert volume
    assert volume.path == volume.labels[PATH_LABEL] == "/srv/db"
    assert volume.labels[CREDENTIALS_LABEL] == certified().fingerprint
    assert volume.labels[IMPLEMENTATION_LABEL] == "quay"


# --- Quay's DB_URI ---


@pytest.mark.parametrize("password", ["p@ss:w/rd?#", "100%25", "ünï-cødé", "a+b&c=d", "[::1]"])
def test_odd_password_survives_the_uri(password: str) -> None:
    credentials = CREDENTIALS.model_copy(update={"database_password": SecretStr(password)})
    parsed = urlsplit(database.uri(settings(), one_host(), credentials, "ca.pem"))
    assert unquote(parsed.password or "") == password
    assert (parsed.hostname, parsed.port) == ("quaylab-database", 5432)


def test_ipv6_address_is_bracketed_in_the_uri() -> None:
    where = build([host("quay.example.com", ["quay", "redis"])], database_host="fd00::5")
    parsed = urlsplit(database.uri(settings(), where, CREDENTIALS, "ca.pem"))
    assert (parsed.hostname, parsed.port) == ("fd00::5", 5432)


ACCESS_DENIED = """\
mysqladmin: connect to server at '127.0.0.1' failed
error: 'Access denied for user 'quay'@'127.0.0.1' (using password: YES)'"""
NOT_STARTED = """\
mysqladmin: connect to server at '127.0.0.1' failed
error: 'Can't connect to MySQL server on '127.0.0.1:3306' (111)'
Check that mysqld is running on 127.0.0.1 and that the port is 3306."""


@pytest.mark.parametrize(
    ("answer", "code", "is_refused"),
    [(ACCESS_DENIED, 1, True), (NOT_STARTED, 1, False), ("Uptime: 5  Threads: 1", 0, False)],
    ids=["another password", "not started", "its own password"],
)
def test_mysql_is_asked_whether_it_refuses_its_password(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, is_refused: bool
) -> None:
    """The password goes through the environment, not on the command line."""
    monkeypatch.setenv("MYSQL_USER", "quay")
    monkeypatch.setenv("MYSQL_PASSWORD", "the password")
    (shell.stubs / "answer").write_text(f"{answer}\n")
    shell.stub(
        "mysqladmin",
        f'test "$MYSQL_PWD" = "the password" || exit 3; cat {shell.stubs}/answer >&2; exit {code}',
    )
    asked = workload("database", database_engine="mysql").password_refused
    assert asked
    assert (shell.run(asked).returncode == 0) is is_refused
    (call,) = shell.calls
    assert "--host=127.0.0.1" in call
    assert "--user=quay" in call
    assert "the password" not in call
