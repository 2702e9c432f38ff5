"""The commands for database, Redis and Quay, on one host and on three."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from quaylab.secrets.credentials import Store, generate
from tests.deploy.project import ENGINE, Project, Result, fake, older_quay, report
from tests.leaks import leaked, secrets_of

ONE = [fake("quay")]
THREE = {
    part: [fake(part, ssh_hostname=f"192.168.254.{number}")]
    for number, part in enumerate(("quay", "database", "redis"), 10)
}
# The superuser is made over SSH or on @local only, so a run on fake hosts ends here.
END = "Create the superuser"


def _containers(result: Result, host: str) -> dict[str, str]:
    """Return the `docker run` command of each container, by its name."""
    commands = [each for each in result.commands(host) if "docker run --detach" in each]
    return {command.partition("--name=")[2].split()[0]: command for command in commands}


@pytest.fixture(scope="module")
def three(shared_project: Project) -> Result:
    return shared_project.run("-y", "-vv", shared_project.inventory(**THREE), "deploy.py")


def test_one_host_publishes_its_services_on_loopback(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    found = _containers(project.run("-y", "-vv", inventory, "deploy.py"), "quay")
    assert "--publish=127.0.0.1:5432:5432" in found["quaylab-database"]
    assert "--publish=127.0.0.1:6379:6379" in found["quaylab-redis"]


def test_mysql(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    options = ("--data", "database_engine=mysql")
    result = project.run("-y", "-vv", inventory, "tasks/database.py", *options)
    assert result.code == 0, result.output
    database = _containers(result, "quay")["quaylab-database"]
    assert "quay.io/sclorg/mysql-80-c9s:c9s" in database
    assert "--publish=127.0.0.1:3306:3306" in database
    assert "ALTER DATABASE `quay` CHARACTER SET latin1" in result.commands("quay")[-1]


def test_three_hosts_run_one_service_each(three: Result) -> None:
    assert set(_containers(three, "database")) == {"quaylab-database"}
    assert set(_containers(three, "redis")) == {"quaylab-redis"}
    assert set(_containers(three, "quay")) == {"quaylab-quay"}


def test_three_hosts_listen_where_their_peers_reach_them(three: Result) -> None:
    database = _containers(three, "database")["quaylab-database"]
    assert "--publish=192.168.254.11:5432:5432" in database
    assert "--publish=192.168.254.12:6379:6379" in _containers(three, "redis")["quaylab-redis"]


@pytest.mark.parametrize("host", THREE)
def test_three_hosts_know_and_trust_the_registry(three: Result, host: str) -> None:
    commands = three.commands(host)
    address = "127.0.0.1" if host == "quay" else "192.168.254.10"
    assert any(f"{address} quay.quaylab.lan" in command for command in commands)
    assert any("/etc/docker/certs.d/quay.quaylab.lan/ca.crt" in command for command in commands)


def test_three_hosts_wait_for_each_other_where_they_must(three: Result) -> None:
    """Quay waits for what it needs of the other hosts; database and Redis don't wait for each
    other."""
    before = ["Install the container engine", "Get the images"]
    after = ["Write Quay's bundle", "Migrate the database's schema", "Run Quay", END]
    for meanwhile in (["Run the database", "Prepare Quay's database"], ["Run Redis"]):
        order = [*before, "Wait until every host has its images", *meanwhile, *after]
        positions = [three.operations.index(name) for name in order]
        assert positions == sorted(positions)
    assert three.operations[-1] == END


@pytest.mark.parametrize("exclude", [(), ("--exclude", "@fake/quay")], ids=["all", "without Quay"])
def test_a_redis_that_has_left_its_host_goes_once_quay_uses_another(
    project: Project, exclude: tuple[str, ...]
) -> None:
    """A Quay that takes no part may still use it."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    credentials = generate()
    store.save(credentials)
    left = older_quay(credentials.fingerprint).replace("quaylab-quay", "quaylab-redis")
    reports, there = f"{report()}\n{ENGINE}\n{left}", {"named=$(docker ps": left}
    hosts = {**THREE, "database": [fake("database", reports, there, ssh_hostname="192.168.254.11")]}
    result = project.run("-y", "-vv", project.inventory(**hosts), "deploy.py", *exclude)
    removals = [each for each in result.commands("database") if "stop quaylab-redis " in each]
    assert len(removals) == (not exclude)
    if not exclude:
        names = ["Run Redis", "Run Quay", "Remove a former Redis", END]
        positions = [result.operations.index(name) for name in names]
        assert positions == sorted(positions)


def test_a_run_that_cannot_go_on_fails_without_a_traceback(three: Result) -> None:
    assert three.code == 1
    assert "Traceback" not in three.output
    assert "only SSH and @local hosts can" in three.output


def test_credentials_are_saved_before_they_are_used(three: Result, shared_project: Project) -> None:
    assert three.operations[0] == "Save the credentials"
    assert shared_project.credentials.stat().st_mode & 0o777 == 0o600


def test_archive_is_loaded_and_nothing_pulled(project: Project, tmp_path: Path) -> None:
    archive = tmp_path / "images.tar"
    tarfile.open(archive, "w").close()
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    options = ("--data=image_source=archive", f"--data=image_archive={archive}")
    result = project.run("-y", "-vv", inventory, "tasks/images.py", *options)
    assert result.code == 0, result.output
    commands = result.commands("quay")
    assert sum("docker load" in command for command in commands) == 1
    assert not any(" pull " in command for command in commands)


def test_packages_build_a_stand_in(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    options = ("--data", "image_source=packages")
    result = project.run("-y", "-vv", inventory, "tasks/images.py", *options)
    assert result.code == 0, result.output
    built = [command for command in result.commands("quay") if "docker build" in command]
    for name in ("quaylab/postgresql:", "quaylab/redis:", "quaylab/quay-standin:v3.18.0-"):
        assert any(f"--tag {name}" in command for command in built)


# --- Quay 2.9.1 ---


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run up to the wait for the set-up wizard of a real Quay."""
    project = Project(tmp_path_factory.mktemp("project"))
    license_file = project.path / "license"
    license_file.write_text("licensed to hunter2")
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    options = ("quay_version=v2.9.1", "quay_image=quay.io/coreos/quay", "quay_license=license")
    return project.run(
        "-y",
        "-vv",
        inventory,
        "tasks/quay.py",
        *(f"--data={option}" for option in options),
        until="Wait for Quay's set-up page",
    )


@pytest.mark.parametrize(
    "argument",
    [
        "--privileged",
        "--publish=0.0.0.0:443:443",
        "--publish=0.0.0.0:80:80",
        "--volume=quaylab-quay-storage:/datastorage:z",
        "quay.io/coreos/quay:v2.9.1",
    ],
)
def test_legacy_quay_runs_by_its_old_contract(legacy: Result, argument: str) -> None:
    assert argument in _containers(legacy, "quay")["quaylab-quay"]


def test_legacy_quay_takes_its_license_and_no_bundle(legacy: Result) -> None:
    written = [command for command in legacy.commands("quay") if "base64 -d" in command]
    assert len(written) == 1
    assert "/etc/quaylab/quay/license" in written[0]
    assert leaked({"license": "hunter2"}, legacy.output) == []


def test_legacy_quay_is_set_up_by_hand(legacy: Result) -> None:
    assert legacy.operations[-1] == "Wait for Quay's set-up page"
    assert not any("migrate" in command for command in legacy.commands("quay"))


# --- secrets ---


def test_no_secret_is_printed_at_the_highest_verbosity(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    output = project.run("-y", "-vvv", "--diff", "--debug", inventory, "deploy.py").output
    assert "Write Quay's bundle" in output
    secrets = secrets_of(Store("quaylab", project.credentials.parent).load(environment={}))
    assert len(secrets) >= 7
    assert leaked(secrets, output) == []


# --- one plan for each run ---


def test_the_credentials_are_saved_once(three: Result) -> None:
    """Though each of its tasks could also be run alone."""
    assert three.operations.count("Save the credentials") == 1


def test_a_rotation_makes_one_plan(project: Project) -> None:
    """A second one would have other new passwords."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    store.save(generate())
    result = project.run("-y", "-vv", project.inventory(**THREE), "tasks/rotate.py")
    assert END in result.output
    assert result.operations.count("Save the credentials") == 1
    assert result.output.count("Loaded fact facts.machine.Machine") == len(THREE)


# --- the firewall ---


def _firewalld(project: Project, task: str, *rules: str) -> list[list[str]]:
    """Run a task on three hosts whose firewalld has rules of earlier runs; return the calls of
    firewall-cmd on each of them."""
    lines = [f"{kind} {rule}" for rule in rules for kind in ("rule", "rule--permanent", "noted")]
    responses = {"firewall-cmd --state": ["state running", *lines]}
    hosts = {
        part: [fake(part, responses=responses, ssh_hostname=f"192.168.254.{number}")]
        for number, part in enumerate(("quay", "database", "redis"), 10)
    }
    result = project.run("-y", "-vv", project.inventory(**hosts), task)
    assert result.code == 0, result.output
    return [
        [each for each in result.commands(part) if "firewall-cmd --quiet" in each] for part in hosts
    ]


def test_each_host_opens_its_ports(project: Project) -> None:
    quay, database, redis = _firewalld(project, "tasks/engine.py")
    assert [command.split()[2] for command in quay] == ["--add-port=443/tcp", "--add-port=80/tcp"]
    for commands, port in ((database, 5432), (redis, 6379)):
        (command,) = commands
        assert f'source address="192.168.254.10" port port="{port}" protocol="tcp"' in command


def test_a_teardown_closes_what_runs_have_opened(project: Project) -> None:
    for commands in _firewalld(project, "tasks/teardown.py", "--add-port=443/tcp"):
        (command,) = commands
        assert command == (
            "firewall-cmd --quiet --remove-port=443/tcp && "
            "firewall-cmd --quiet --permanent --remove-port=443/tcp"
        )
