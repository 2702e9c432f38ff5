"""The database: its image, environment, volume and container, and Quay's DB_URI."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pydantic import SecretStr

from quaylab import topology
from quaylab.engines.state import NOTHING, EngineState, FoundVolume
from quaylab.images import Image
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL, IMPLEMENTATION_LABEL, PATH_LABEL, Mount
from quaylab.services import BY_NAME, database, patroni
from quaylab.services.base import Context
from tests.unit import clustered
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
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
from tests.unit.states import state


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


@pytest.mark.parametrize("number", [1, 2])
def test_several_nodes_get_more_connections(number: int) -> None:
    (environment,) = workload("database", quay_instances=number).files
    assert ("POSTGRESQL_MAX_CONNECTIONS=300" in environment.content) is (number > 1)


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


# --- one host ---


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        ({}, "63db2812f51b9d3aa8cd14a9033dfb0a8b3a3a75e3504c2f514b2f964ef3e141"),
        (
            {"database_engine": "mysql"},
            "0b6b4706411aab05f695c1a6862a927726b07643b6b2cc1adfdebf9c7e840aaf",
        ),
        (
            {"database_data": "/srv/db", "database_port": 5433, "database_listen": "0.0.0.0"},
            "fd2f2f09d933eff2e2a13dcb9d71d19105b22a7c66723304d24a9ca6aaffe6ec",
        ),
    ],
    ids=str,
)
def test_a_single_database_is_what_it_was_before_there_were_clusters(
    changes: dict[str, Any], digest: str
) -> None:
    """Another digest would replace the containers of all registries."""
    images = {
        "postgresql_image": "quay.io/sclorg/postgresql-15-c9s:c9s",
        "mysql_image": "quay.io/sclorg/mysql-80-c9s:c9s",
    }
    assert workload("database", **images, **changes).container.digest == digest


def test_a_separate_database_is_what_it_was() -> None:
    hosts = [
        host("quay.example.com", ["quay"], address="192.168.254.10"),
        host("data.example.com", ["database", "redis"], address="192.168.254.11"),
    ]
    (found,) = BY_NAME["database"].workloads(context(build(hosts)), "data.example.com")
    assert found.container.digest == (
        "8ae71b39f4b27c14fa85b74e2a316d8a447b335121e7c5c1fd3f92a027653930"
    )


def test_a_single_database_has_no_passwords_of_members() -> None:
    found = BY_NAME["database"].needs(settings(), topology.groups([host("quay.example.com")]))
    assert [need.key for need in found] == ["database_password"]


# --- several hosts ---


def _placement(number: int, **changes: Any) -> list[str]:
    groups = topology.groups(clustered.inventory(number))
    return list(BY_NAME["database"].placement_problems(settings(**changes), groups))


@pytest.mark.parametrize("number", [1, 3, 5])
def test_numbers_of_hosts_with_a_majority(number: int) -> None:
    assert _placement(number) == []


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (
            2,
            {},
            "database: 2 hosts in group `database`, but a majority has to agree on who leads; take "
            "1, 3 or 5",
        ),
        (
            4,
            {},
            "database: 4 hosts in group `database`, but a majority has to agree on who leads; take "
            "1, 3 or 5",
        ),
        (
            6,
            {},
            "database: 6 hosts in group `database`, but a majority has to agree on who leads; take "
            "1, 3 or 5",
        ),
        (
            3,
            {"database_engine": "mysql"},
            "database: 3 hosts in group `database`, but mysql runs on one; keep one, or set "
            "database_engine to postgresql",
        ),
        (
            3,
            {"database_listen": "0.0.0.0"},
            "database_listen: 0.0.0.0, but each of 3 hosts listens at an address of its own; leave "
            "it out",
        ),
        (
            3,
            {"database_host": "db.example.com"},
            "database_host: db.example.com runs elsewhere, but group `database` has "
            "one.example.com: drop one of the two",
        ),
    ],
    ids=["two", "four", "six", "MySQL", "listen", "elsewhere"],
)
def test_several_hosts_that_are_refused(number: int, changes: dict[str, Any], message: str) -> None:
    assert _placement(number, **changes) == [message]


def test_several_faults_are_reported_at_once() -> None:
    problems = _placement(2, database_engine="mysql", database_listen="0.0.0.0")
    assert [each.partition(":")[0] for each in problems] == ["database", "database_listen"]


def test_members_have_passwords_of_their_own() -> None:
    found = BY_NAME["database"].needs(settings(), topology.groups(clustered.inventory()))
    assert [(need.key, need.is_rotated) for need in found] == [
        ("database_password", True),
        ("replication_password", True),
        ("rewind_password", True),
        ("patroni_password", True),
    ]


def test_quay_verifies_the_members_at_its_router() -> None:
    where, given = clustered.layout(), clustered.credentials()
    parsed = urlsplit(database.uri(settings(), where, given, "conf/stack/database.pem"))
    assert (parsed.hostname, parsed.port) == ("quaylab-router", 5432)
    assert parse_qs(parsed.query) == {
        "sslmode": ["verify-full"],
        "sslrootcert": ["conf/stack/database.pem"],
    }
    assert database.authority(settings(), where, given) == given.ca_certificate


def test_a_single_database_is_reached_without_tls() -> None:
    given = clustered.credentials()
    assert database.authority(settings(), one_host(), given) is None
    assert urlsplit(database.uri(settings(), one_host(), given, "ca.pem")).query == ""


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("registry", ["postgresql-15-c9s", "patroni"]),
        ("packages", ["postgresql", "patroni"]),
        ("archive", ["patroni"]),
    ],
)
def test_images_of_a_member(source: str, names: list[str]) -> None:
    """Patroni's is built on the single database's, unless an archive holds it."""
    found = BY_NAME["database"].images(clustered.run(image_source=source), ONE)
    references = [each.reference for each in found]
    assert [each.partition(":")[0].rpartition("/")[2] for each in references] == names


@pytest.mark.parametrize("source", ["registry", "packages", "archive"])
def test_a_single_database_needs_one_image(source: str) -> None:
    run = context(image_source=source)
    found = BY_NAME["database"].images(run, "quay.example.com")
    assert found == (database.image(run.settings),)


# --- data of a new cluster ---


DATA, ETCD, EMPTY = "quaylab-database", "quaylab-etcd", "empty "


def _with_volumes(
    volumes: Mapping[str, tuple[str, ...]],
    connected: int = 3,
    commands: Mapping[str, tuple[str, ...]] | None = None,
) -> Context:
    """Return a run on so many of three hosts, which have these volumes, and a database's container
    with the given command."""
    machines = {
        name: clustered.report(
            name,
            volumes=_found(volumes.get(name, ())),
            state=_running((commands or {}).get(name)),
        )
        for name in HOSTS[:connected]
    }
    return clustered.run(machines=machines)


def _found(volumes: tuple[str, ...]) -> tuple[FoundVolume, ...]:
    return tuple(
        FoundVolume(each.removeprefix(EMPTY), {}, empty=each.startswith(EMPTY)) for each in volumes
    )


def _running(command: tuple[str, ...] | None) -> EngineState:
    """Return an engine with a database's container; without a command it has none."""
    if command is None:
        return NOTHING
    wanted = clustered.workload("database", clustered.run()).container
    return dataclasses.replace(NOTHING, containers={DATA: state(wanted, command=command)})


@pytest.mark.parametrize(
    "volumes",
    [
        {},
        {ONE: (DATA,)},
        {ONE: (DATA, ETCD), TWO: (DATA, ETCD), THREE: (DATA, ETCD)},
        {TWO: (DATA, ETCD), THREE: (DATA, ETCD)},
        {ONE: (DATA,), TWO: (DATA, ETCD), THREE: (DATA,)},
    ],
    ids=["new", "one becomes three", "a cluster", "a new host in it", "etcd's last volume"],
)
def test_data_that_a_cluster_can_have(volumes: dict[str, tuple[str, ...]]) -> None:
    assert list(BY_NAME["database"].problems(_with_volumes(volumes))) == []


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        (
            {ONE: (DATA,), THREE: (DATA,)},
            "database: one.example.com, three.example.com have data, but etcd's volume is gone on "
            "every database host, so nobody knows whose data is the newest; see "
            "docs/high-availability.md",
        ),
        (
            {TWO: (DATA,)},
            "database: two.example.com has the data, and the first host founds the cluster; put "
            "two.example.com first in group `database`",
        ),
        (
            {TWO: (DATA,), ONE: (EMPTY + DATA,)},
            "database: two.example.com has the data, and the first host founds the cluster; put "
            "two.example.com first in group `database`",
        ),
    ],
    ids=["etcd's volumes are gone", "not the first host", "an empty volume on the first host"],
)
def test_data_of_which_no_cluster_can_be_made(
    volumes: dict[str, tuple[str, ...]], message: str
) -> None:
    assert list(BY_NAME["database"].problems(_with_volumes(volumes))) == [message]


SINGLE = ("run-postgresql",)
# What a growth leaves that failed at etcd's start, or after it.
ETCDS = [(EMPTY + ETCD,), (ETCD,)]


@pytest.mark.parametrize("etcd", ETCDS, ids=["empty", "with data"])
@pytest.mark.parametrize("command", [SINGLE, None], ids=["single", "without container"])
def test_after_a_growth_that_failed_the_first_host_still_has_to_have_the_data(
    etcd: tuple[str, ...], command: tuple[str, ...] | None
) -> None:
    """An empty one would found a cluster of nothing, and the data would be replaced by that."""
    volumes = {ONE: etcd, TWO: (DATA, *etcd), THREE: etcd}
    run = _with_volumes(volumes, commands={TWO: command} if command else {})
    assert list(BY_NAME["database"].problems(run)) == [
        "database: two.example.com has the data, and the first host founds the cluster; put "
        "two.example.com first in group `database`"
    ]


@pytest.mark.parametrize("etcd", ETCDS, ids=["empty", "with data"])
def test_a_growth_that_failed_is_finished(etcd: tuple[str, ...]) -> None:
    volumes = {ONE: (DATA, *etcd), TWO: etcd, THREE: etcd}
    for command in (SINGLE, patroni.COMMAND):
        run = _with_volumes(volumes, commands={ONE: command})
        assert list(BY_NAME["database"].problems(run)) == []


def test_the_last_member_with_data_may_be_any() -> None:
    """The others lost theirs; etcd knows the cluster, so none of them founds another one."""
    run = _with_volumes({TWO: (DATA, ETCD), THREE: (ETCD,)}, commands={TWO: patroni.COMMAND})
    assert list(BY_NAME["database"].problems(run)) == []


def test_a_cluster_without_any_data_of_etcds_is_founded_by_the_member_with_the_data() -> None:
    run = _with_volumes({TWO: (DATA,)}, commands={TWO: patroni.COMMAND})
    (problem,) = BY_NAME["database"].problems(run)
    assert problem.endswith("put two.example.com first in group `database`")


@pytest.mark.parametrize(
    ("volumes", "commands"),
    [({}, {}), ({ONE: (ETCD,), TWO: (ETCD,)}, {}), ({ONE: (DATA, ETCD)}, {ONE: SINGLE})],
    ids=["new", "a first run that failed", "a growth that failed"],
)
def test_a_new_cluster_needs_all_members(
    volumes: dict[str, tuple[str, ...]], commands: dict[str, tuple[str, ...]]
) -> None:
    run = _with_volumes(volumes, connected=2, commands=commands)
    assert list(BY_NAME["database"].problems(run)) == [
        "database: three.example.com takes no part in this run, and a new cluster needs all of its "
        "members; leave out --limit and --exclude"
    ]


@pytest.mark.parametrize("commands", [{}, {ONE: patroni.COMMAND}], ids=["removed", "running"])
def test_one_member_of_a_cluster_is_brought_back_alone(
    commands: dict[str, tuple[str, ...]],
) -> None:
    run = _with_volumes({ONE: (DATA, ETCD)}, connected=1, commands=commands)
    assert list(BY_NAME["database"].problems(run)) == []


def test_a_founder_that_takes_no_part_is_not_said_to_be_empty() -> None:
    machines = {
        name: clustered.report(name, volumes=(FoundVolume(DATA, {}),) if name == TWO else ())
        for name in (TWO, THREE)
    }
    assert list(BY_NAME["database"].problems(clustered.run(machines=machines))) == [
        "database: one.example.com takes no part in this run, and a new cluster needs all of its "
        "members; leave out --limit and --exclude"
    ]


def test_a_cluster_does_without_one_of_its_hosts() -> None:
    volumes = {ONE: (DATA, ETCD), TWO: (DATA, ETCD)}
    assert list(BY_NAME["database"].problems(_with_volumes(volumes, connected=2))) == []


@pytest.mark.parametrize(
    ("volumes", "command", "is_refused"),
    [
        ((DATA, ETCD), patroni.COMMAND, True),
        ((DATA, ETCD), None, True),
        # A run was killed that had only started etcd.
        ((DATA, ETCD), SINGLE, False),
        ((DATA, EMPTY + ETCD), None, False),
        ((DATA,), SINGLE, False),
        ((DATA,), None, False),
    ],
    ids=[
        "member",
        "member without container",
        "killed growth",
        "killed growth without container",
        "single",
        "single without container",
    ],
)
def test_a_member_does_not_become_a_single_database(
    volumes: tuple[str, ...], command: tuple[str, ...] | None, is_refused: bool
) -> None:
    """Patroni has replaced PostgreSQL's configuration files."""
    found = context()
    name = found.topology.hosts["database"][0]
    reported = dataclasses.replace(
        found.machines[name], volumes=_found(volumes), state=_running(command)
    )
    problems = list(
        BY_NAME["database"].problems(dataclasses.replace(found, machines={name: reported}))
    )
    assert bool(problems) is is_refused
    for problem in problems:
        assert problem == (
            f"database: {name} has the data of a cluster's member, which a single database can't "
            "use; keep the other hosts in group `database`, or go back by a dump: "
            "docs/high-availability.md#growing-from-one-host-to-three"
        )


def test_a_single_database_may_be_anywhere() -> None:
    assert list(BY_NAME["database"].problems(context())) == []
