"""Upgrades from Quay 3.16 to 3.18 while images are pushed: killed, failed, and rolled back."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from quaylab.paths import SCHEMA_NOTE
from quaylab.upgrade.dumps import DIRECTORY as DUMPS
from quaylab.versions import NEWEST, NEWEST_ON_MYSQL
from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator, wait_until
from tests.machine.packaged import BEFORE
from tests.machine.registry_client import RegistryClient

pytestmark = [engines.FOR_BOTH, pytest.mark.long_with_podman]

OLD, NEW = "v3.16.5", NEWEST
TO_OLD, TO_NEW = (("--data", f"quay_version={version}") for version in (OLD, NEW))
RESTORE = "tasks/restore_database.py"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
# Push a new image again and again, each until it is acknowledged; Docker itself tries five times.
# The acknowledged ones are listed in a file.
PUSH = f"""
cd /root/load; n=0
while test ! -e stop; do
  n=$((n + 1)); image={HOSTNAME}/{ADMIN}/load:$n
  echo $n >content; tar -c content | docker import - $image >/dev/null
  until docker push $image >/dev/null 2>>errors; do sleep 0.5; done
  echo $n >>acknowledged; docker image rm $image >/dev/null; sleep 0.5
done
touch stopped
"""
# Print the images that can't be pulled, and why. The token service allows few requests per second.
PULL = f"""
cd /root/load
for n in $(cat acknowledged); do
  until said=$(docker pull --quiet {HOSTNAME}/{ADMIN}/load:$n 2>&1); do
    case $said in *429*|*"Too Many"*) sleep 0.3 ;; *) echo $n: $said; break ;; esac
  done
done
"""


# Preferred to pg_catalog.format(text, VARIADIC "any"), because its arguments match exactly, and a
# view in the place of a table. Quay itself reads the view's original.
TRAPS = """
CREATE FUNCTION public.rise() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  ALTER ROLE quay SUPERUSER;
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN true;
END $$;
CREATE FUNCTION public.format(text, text, regclass) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.format($1, $2, $3) WHERE public.rise()';
ALTER TABLE alembic_version RENAME TO alembic_original;
CREATE VIEW alembic_version AS SELECT version_num FROM alembic_original WHERE public.rise();
"""


@dataclass(frozen=True)
class Load:
    """Pushes from a client's machine, from start to stop."""

    client: RegistryClient

    def start(self) -> None:
        machine = self.client.machine
        machine.run("rm -rf /root/load; mkdir /root/load; touch /root/load/acknowledged")
        machine.run("cat >/root/load/push", input=PUSH)
        machine.run("setsid sh /root/load/push >/dev/null 2>&1 </dev/null &")
        self.wait_for_more()

    def stop(self) -> None:
        stop = "cd /root/load; touch stop; while test ! -e stopped; do sleep 0.1; done"
        self.client.machine.run(stop, timeout=60)

    @property
    def acknowledged(self) -> int:
        return int(self.client.machine.run("wc -l </root/load/acknowledged").stdout)

    def lost(self) -> list[str]:
        """Return the acknowledged images that can't be pulled."""
        return self.client.machine.run(PULL).stdout.splitlines()

    def wait_for_more(self) -> None:
        before = self.acknowledged
        wait_until(lambda: self.acknowledged > before + 1, "two more pushes are acknowledged")


@pytest.fixture(scope="module")
def lab(
    machine_factory: MachineFactory,
    operator: Operator,
    engine: ImageName,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """One machine with Quay in its old version."""
    needed = ("postgresql", "redis", "quay-mysql", "quay")
    machine = engines.machine(machine_factory, "upgrade", engine, images, needed)
    groups = {part: [machine] for part in ("quay", "database", "redis")}
    folder = tmp_path_factory.mktemp("upgrade")
    lab = Deployment.of(operator, folder, groups, **engines.settings(engine))
    lab.run("deploy.py", *TO_OLD).check()
    yield lab
    lab.forget()
    machine.destroy()


@pytest.fixture(scope="module")
def machine(lab: Deployment) -> Machine:
    return lab.machines["quay"]


@pytest.fixture(scope="module")
def load(lab: Deployment, machine_factory: MachineFactory) -> Iterator[Load]:
    machine = machine_factory("pusher")
    client = RegistryClient(machine, HOSTNAME)
    client.know(lab.machines["quay"].address)
    client.trust(lab.ca)
    assert client.login(ADMIN, lab.password).returncode == 0
    yield Load(client)
    machine.destroy()


def _sql(machine: Machine, statement: str) -> str:
    psql = "exec quaylab-database psql --no-align --tuples-only --quiet --dbname=quay"
    return machine.run(f"{machine.engine} {psql} --command={shlex.quote(statement)}").stdout.strip()


def _set_traps(machine: Machine) -> None:
    """As a compromised Quay, make functions that make its role a superuser if one calls them."""
    script = (
        ". /etc/quaylab/environment; PGPASSWORD=$POSTGRESQL_PASSWORD psql --no-psqlrc --quiet "
        "--set=ON_ERROR_STOP=1 --host=127.0.0.1 --username=quay --dbname=quay"
    )
    command = f"{machine.engine} exec --interactive quaylab-database bash -c {shlex.quote(script)}"
    machine.run(command, input=TRAPS)


@contextmanager
def _locked(machine: Machine, table: str, mode: str) -> Iterator[None]:
    """Lock a table: whatever conflicts with the lock's mode must wait."""
    lock = f"BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT pg_sleep(600)"
    psql = "exec --detach quaylab-database psql --dbname=quay"
    machine.run(f"{machine.engine} {psql} --command={shlex.quote(lock)}")
    sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    wait_until(lambda: _sql(machine, f"SELECT count(*) {sleeping}") == "1", "the table is locked")
    yield
    _sql(machine, f"SELECT pg_terminate_backend(pid) {sleeping}")


def _has_output(machine: Machine, command: str) -> bool:
    return bool(machine.run(command, check=False).stdout)


def _dumps(machine: Machine) -> list[dict[str, Any]]:
    descriptions = machine.run(f"cat {DUMPS}/*.json 2>/dev/null || :").stdout
    return [json.loads(line) for line in descriptions.splitlines()]


def _node(machine: Machine) -> str:
    """Return the node's container id, its version, and whether it runs."""
    form = '{{.Id}} {{index .Config.Labels "io.quaylab.version"}} {{.State.Running}}'
    return machine.run(f"{machine.engine} inspect --format '{form}' quaylab-quay").stdout.strip()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("v3.15.1", f"quay_version: the database has the schema of {OLD}"),
        ("v3.20.0", "set a version of v3.19 first"),
    ],
    ids=["downgrade", "jump"],
)
def test_refused_before_anything_is_changed(
    lab: Deployment, machine: Machine, version: str, message: str
) -> None:
    before = _node(machine)
    refused = lab.run("deploy.py", "--data", f"quay_version={version}")
    assert refused.returncode != 0
    assert message in refused.output
    assert "nothing was changed" in refused.output
    assert _node(machine) == before
    assert _dumps(machine) == []


def test_upgrade_under_load_killed_twice(lab: Deployment, machine: Machine, load: Load) -> None:
    before = _node(machine)
    # Leftovers of a run that was killed together with its machine.
    machine.run(f"install -d -m 0700 {DUMPS}; touch {DUMPS}/old.dump.new {DUMPS}/old.json.new")
    _sql(machine, 'CREATE DATABASE "quaylab-scratch"')
    _sql(machine, "CREATE TABLE held (id int); ALTER TABLE held OWNER TO quay")
    _set_traps(machine)
    load.start()

    with _locked(machine, "held", "ACCESS EXCLUSIVE"):
        lab.kill("deploy.py", *TO_NEW, when=lambda: _has_output(machine, "pgrep pg_dump"))
    assert _dumps(machine) == []
    load.wait_for_more()

    migration = f"{machine.engine} ps --quiet --filter name=quaylab-migration"
    with _locked(machine, "tag", "SHARE"):
        lab.kill("deploy.py", *TO_NEW, when=lambda: _has_output(machine, migration))
        assert len(_dumps(machine)) == 1
    load.wait_for_more()
    assert _node(machine) == before
    # The migration that goes on in its container may have ended by now, and nobody knows.
    refused = lab.run("deploy.py", *TO_OLD)
    assert refused.returncode != 0
    assert f"migration from {OLD} to {NEW} has begun and not ended" in refused.output
    assert RESTORE in refused.output

    lab.run("deploy.py", *TO_NEW).check()
    load.wait_for_more()
    load.stop()
    assert load.lost() == []
    assert _node(machine).split()[1:] == [NEW, "true"]
    assert _sql(machine, "SELECT count(*) FROM tag WHERE immutable") == "0", "the new schema"
    superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'quay'"
    assert _sql(machine, superuser) == "f"


def test_dump_was_checked_and_only_root_reads_it(lab: Deployment, machine: Machine) -> None:
    (dump,) = _dumps(machine)
    assert (dump["before"], dump["after"], dump["engine"]) == (OLD, NEW, "postgresql")
    assert dump["credentials"] == lab.store.load().fingerprint
    assert dump["tables"] == 12
    assert dump["rows"] > 10
    listed = machine.run(f"stat -c '%a %n' {DUMPS} {DUMPS}/*.dump {DUMPS}/*.json").stdout.split()
    assert listed[::2] == ["700", "600", "600"]
    assert machine.run(f"sha256sum {DUMPS}/*.dump").stdout.startswith(dump["sha256"])
    assert machine.run(f"ls {DUMPS} | sed 's/.*\\.//' | sort").stdout.split() == [
        "dump",
        "json",
        "lock",
    ]
    databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'quaylab-%'"
    assert _sql(machine, databases) == "0"


def test_second_run_changes_nothing(lab: Deployment) -> None:
    assert lab.run("deploy.py", *TO_NEW).changed() == []


def test_restore_brings_back_the_old_schema_and_its_data(
    lab: Deployment, machine: Machine, load: Load
) -> None:
    """The restore is killed and repeated. Images pushed before the dump exist, later ones don't."""
    (dump,) = _dumps(machine)
    lab.kill(RESTORE, when=lambda: _has_output(machine, f"grep restoring {SCHEMA_NOTE}"))
    refused = lab.run("deploy.py", *TO_NEW)
    assert refused.returncode != 0
    assert "run tasks/restore_database.py again" in refused.output

    restored = lab.run(RESTORE).check()
    assert f"{lab.inventory} deploy.py --data quay_version={OLD}" in restored.stderr
    tags = int(_sql(machine, "SELECT count(*) FROM tag WHERE NOT hidden"))
    assert _sql(machine, TABLES) == str(dump["tables"])
    lab.run("deploy.py", *TO_OLD).check()
    assert _node(machine).split()[1:] == [OLD, "true"]
    assert load.acknowledged - len(load.lost()) == tags
    assert tags > 1


def test_failing_migration_leaves_the_old_version_serving(
    lab: Deployment, machine: Machine, load: Load
) -> None:
    before = _node(machine)
    # Conflicts with the column that the new version adds.
    _sql(machine, "ALTER TABLE tag ADD COLUMN immutable text")
    failed = lab.run("deploy.py", *TO_NEW)
    assert failed.returncode != 0
    assert 'column "immutable" of relation "tag" already exists' in failed.output
    assert f"{OLD} still serves" in failed.output
    assert _node(machine) == before
    load.start()
    load.stop()
    assert load.lost() == []

    # The command in the message, without the name of the program.
    (rollback,) = re.findall(r"what was revoked since: pyinfra (.*)", failed.output)
    arguments = shlex.split(rollback)[3:]
    assert arguments[0] == RESTORE
    _sql(machine, "ALTER TABLE tag DROP COLUMN immutable")
    lab.run(*arguments).check()
    found = _sql(machine, "SELECT count(*) FROM pg_attribute WHERE attname = 'immutable'")
    assert found == "1", "as it was when this upgrade made its dump"


@pytest.mark.long
def test_mysql_is_dumped_checked_and_restored(
    machine_factory: MachineFactory,
    operator: Operator,
    engine: ImageName,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    needed = ("mariadb", "redis", "quay-before", "quay-mysql")
    machine = engines.machine(machine_factory, "mysql", engine, images, needed)
    groups = {part: [machine] for part in ("quay", "database", "redis")}
    settings = {"database_engine": "mysql", **engines.settings(engine)}
    lab = Deployment.of(operator, tmp_path_factory.mktemp("mysql"), groups, **settings)
    lab.run("deploy.py", "--data", f"quay_version={BEFORE}").check()
    sql = f"{machine.engine} exec quaylab-database mysql --user=root quay --execute="
    before = machine.run(f"{sql}'CHECKSUM TABLE account'").stdout
    lab.run().check()
    (dump,) = _dumps(machine)
    assert (dump["before"], dump["after"], dump["tables"]) == (BEFORE, NEWEST_ON_MYSQL, 11)
    assert lab.run().changed() == []
    machine.run(f"{sql}'UPDATE account SET email = NULL'")
    lab.run(RESTORE).check()
    assert machine.run(f"{sql}'CHECKSUM TABLE account'").stdout == before
    lab.run("deploy.py", "--data", f"quay_version={BEFORE}").check()
    lab.forget()
    machine.destroy()
