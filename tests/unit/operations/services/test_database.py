"""Quay's database: the extension, the rights, the character set."""

from __future__ import annotations

import dataclasses
import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from facts.containers import Engine
from facts.database import Database, DatabaseState
from operations.hosts import reach
from operations.services import database
from quaylab import plan
from quaylab.clients.probes import Answer, Unreachable
from quaylab.database_login import Login, Step
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import DIGEST_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit.fake_host import FakeHost, text
from tests.unit.samples import host, machine
from tests.unit.shell import Shell
from tests.unit.states import engine

AVAILABLE: dict[str, str | None] = {"pg_trgm": None}
INSTALLED: dict[str, str | None] = {"pg_trgm": "1.6"}


@pytest.fixture
def mysql_lab(store: Store) -> Plan:
    name = "quay.example.com"
    return plan.make([host(name, database_engine="mysql")], {name: machine()}, store)


def _postgresql(extensions: dict[str, str | None], superuser: bool = False) -> DatabaseState:
    return DatabaseState("UTF8", extensions, superuser)


def _prepare(lab: Plan, state: DatabaseState | None) -> tuple[list[str], list[str]]:
    target = FakeHost({Database: state})
    return target.shell(database.prepared, plan=lab), target.noops


@pytest.mark.parametrize("has_left", [True, False])
def test_a_database_that_has_left_its_host_is_announced(
    lab: Plan, monkeypatch: pytest.MonkeyPatch, has_left: bool
) -> None:
    name, target = "quay.example.com", FakeHost()
    monkeypatch.setattr(database, "inventory", SimpleNamespace(get_host={name: target}.get))
    machines = {name: machine(containers={"quaylab-database": {DIGEST_LABEL: "d1"}})}
    hosts = {**lab.topology.hosts, "database": () if has_left else (name,)}
    where = dataclasses.replace(lab.topology, hosts=hosts)
    database.announce_former(dataclasses.replace(lab, topology=where, machines=machines))
    assert [line.partition(",")[0] for line in target.messages] == (
        [f"quaylab-database and its data are still on {name}"] if has_left else []
    )


def test_extension_is_created(lab: Plan) -> None:
    for state in (None, _postgresql(AVAILABLE)):
        ((command,), _) = _prepare(lab, state)
        assert "CREATE EXTENSION IF NOT EXISTS pg_trgm" in command
        assert "--dbname=quay" in command


def test_a_stopped_database_is_not_asked_while_planning(store: Store) -> None:
    name = "quay.example.com"
    with_volume = machine(volumes=(Volume("quaylab-database", {}),))
    target = FakeHost({Database: None}, name)
    target.executing = False
    lab = plan.make([host(name)], {name: with_volume}, store)
    assert target.shell(database.prepared, plan=lab) == []
    assert target.noops == ["asked when the run has brought the database up"]


def test_installed_extension_is_left_alone(lab: Plan) -> None:
    assert _prepare(lab, _postgresql(INSTALLED)) == ([], ["pg_trgm 1.6 is installed"])


def test_superuser_rights_are_removed(lab: Plan) -> None:
    ((command,), _) = _prepare(lab, _postgresql(INSTALLED, superuser=True))
    assert 'ALTER ROLE "quay" NOSUPERUSER' in command


def test_an_image_without_the_extension_is_reported(lab: Plan, shell: Shell) -> None:
    (commands, _) = _prepare(lab, _postgresql({}))
    done = shell.run(commands[0])
    assert done.returncode == 1
    assert "has no pg_trgm" in done.stderr
    assert "postgresql_image" in done.stderr


@pytest.mark.parametrize("charset", ["utf8mb4", None])
def test_mysql_becomes_latin1(mysql_lab: Plan, charset: str | None) -> None:
    state = DatabaseState(charset, {}, None) if charset else None
    ((command,), _) = _prepare(mysql_lab, state)
    assert "ALTER DATABASE `quay` CHARACTER SET latin1" in command


def test_mysql_with_latin1_is_left_alone(mysql_lab: Plan) -> None:
    state = DatabaseState("latin1", {}, None)
    assert _prepare(mysql_lab, state) == ([], ["the character set is latin1"])


# --- a first start that was cut off ---

# What sclorg's image says at each later start.
ROLE_MISSING = 'psql:<stdin>:1: ERROR:  role "quay" does not exist'


def _first_start(
    shell: Shell, lab: Plan, log: str, health: str | None = "starting"
) -> tuple[str, list[str]]:
    """Return what the operation says on standard error, and its reasons to do nothing."""
    workload = lab.workload("database", "quay.example.com")
    state = engine(workload.container, health=health, state="restarting")
    target = FakeHost({Engine: state})
    shell.stub("docker", f"echo {shlex.quote(log)} >&2")
    done = [shell.run(each) for each in target.shell(database.first_start_ended, plan=lab)]
    return "".join(each.stderr for each in done), target.noops


def test_a_first_start_that_was_cut_off_names_how_to_begin_again(lab: Plan, shell: Shell) -> None:
    said, _ = _first_start(shell, lab, ROLE_MISSING)
    assert "the role quay is missing; if this is a new registry, a power cut has ended" in said
    assert "docker rm --force --volumes quaylab-database" in said
    assert "docker volume rm quaylab-database" in said


def test_another_reason_is_no_reason_to_remove_data(lab: Plan, shell: Shell) -> None:
    assert _first_start(shell, lab, "FATAL:  could not write: No space left") == ("", [])


def test_a_database_with_a_schema_is_no_new_one(store: Store, shell: Shell) -> None:
    name = "quay.example.com"
    lab = plan.make([host(name)], {name: machine(schema="v3.18.0")}, store)
    assert _first_start(shell, lab, ROLE_MISSING) == ("", ["no first start was cut off"])


def test_the_data_in_a_directory_is_put_aside(store: Store, shell: Shell) -> None:
    name = "quay.example.com"
    lab = plan.make([host(name, database_data="/srv/db")], {name: machine()}, store)
    said, _ = _first_start(shell, lab, ROLE_MISSING)
    assert "mv /srv/db/quaylab-database /srv/db/quaylab-database-unfinished && docker vol" in said


# --- on a server that runs elsewhere ---

STEPS = (Step("make the role quay", "postgres", "CREATE ROLE quay"), Step("rest", "quay", "REST"))
ADMIN = Login("provider", SecretStr("provider-password"), None)


def _elsewhere(
    lab: Plan, monkeypatch: pytest.MonkeyPatch, *, quay: str | None, admin: str | None = None
) -> tuple[FakeHost, list[Any]]:
    """Return the host and the operation's commands if the database refuses Quay, or the
    administrator, for a reason; None stands for an answer."""

    def database_(host: object, plan: Plan) -> Answer:
        if quay:
            raise Unreachable(quay)
        return Answer("17.2", 3.0)

    def missing(host: object, plan: Plan) -> tuple[Step, ...]:
        if admin:
            raise Unreachable(admin)
        return STEPS

    monkeypatch.setattr(reach, "database", database_)
    monkeypatch.setattr(reach, "missing_steps", missing)
    target = FakeHost()
    return target, target.operate(database.external_database_present, plan=lab)


def test_a_database_that_answers_quay_needs_no_administrator(
    lab: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, commands = _elsewhere(lab, monkeypatch, quay=None, admin="must not be asked")
    assert commands == []
    assert target.noops == ["the database 17.2 answers in 3 ms"]


def test_what_is_missing_is_created_in_order(lab: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with_admin = dataclasses.replace(lab, administrator=ADMIN)
    target, commands = _elsewhere(with_admin, monkeypatch, quay="no such role")
    taken: list[Step] = []
    monkeypatch.setattr(reach, "execute_step", lambda host, plan, step: taken.append(step))
    assert all(each.function(None, target, *each.args) for each in commands)
    assert tuple(taken) == STEPS


def test_a_refused_step_is_reported_in_one_line(lab: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with_admin = dataclasses.replace(lab, administrator=ADMIN)
    target, (command, *_) = _elsewhere(with_admin, monkeypatch, quay="no such role")

    def refuse(host: object, plan: Plan, step: Step) -> None:
        raise Unreachable("permission denied")

    monkeypatch.setattr(reach, "execute_step", refuse)
    assert command.function(None, target, *command.args) is False
    assert target.messages == ["database_admin: can't make the role quay: permission denied"]


@pytest.mark.parametrize(
    ("administrator", "admin", "message"),
    [(None, None, "it went away"), (ADMIN, "not let in", "not let in")],
    ids=["went away", "not let in"],
)
def test_nothing_is_made_without_an_administrator(
    lab: Plan,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    administrator: Login | None,
    admin: str | None,
    message: str,
) -> None:
    plan = dataclasses.replace(lab, administrator=administrator)
    _, (command,) = _elsewhere(plan, monkeypatch, quay="it went away", admin=admin)
    done = shell.run(text(command))
    assert (done.returncode, done.stderr) == (1, f"{message}\n")


def test_plan_does_not_show_the_administrators_password(lab: Plan) -> None:
    assert "provider-password" not in repr(dataclasses.replace(lab, administrator=ADMIN))
