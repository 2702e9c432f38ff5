"""What a run refuses: in one line, with setting and remedy, before anything is changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from quaylab.secrets.credentials import Store
from tests.deploy.project import REPORT, Project, Result, fake, volume

ONE = [fake("quay")]


def _refused(project: Project, *options: str) -> tuple[Result, list[str]]:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    result = project.run("-y", "-vv", inventory, "deploy.py", *options)
    problems = [line for line in result.output.splitlines() if line.startswith("  - ")]
    return result, [problem.removeprefix("  - ") for problem in problems]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("databse_engine=mysql", "databse_engine: no such setting; did you mean database_engine?"),
        ("redis_port=many", "redis_port: 'many': it should be a valid integer"),
        ("database_engine=sqlserver", "postgresql or mysql; Quay supports no others"),
        ("quay_version=v4.0.0", "quay_version: v4.0.0 is not known"),
        ("quay_license=/nowhere", "quay_license: '/nowhere': no such file on this machine"),
        ("no_proxy=a\nExecStartPre=/bin/touch /pwned", "which is for example localhost,"),
        ('no_proxy=a"b', "no_proxy: 'a\"b': does not have the right form"),
        (
            "purge=quay.quaylab.lan",
            "purge: is set, and deploy.py would ignore it; leave it out, or",
        ),
    ],
)
def test_bad_data_is_reported_in_one_line_and_nothing_is_done(
    project: Project, data: str, message: str
) -> None:
    result, problems = _refused(project, "--data", data)
    assert result.code == 1
    assert len(problems) == 1
    assert message in problems[0]
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("quay") == []
    assert not project.credentials.exists()


def test_all_problems_are_reported_at_once(project: Project) -> None:
    data = ("redis_prot=1", "health_timeout=1", "quay_https_port=x")
    result, problems = _refused(project, *(f"--data={each}" for each in data))
    assert result.code == 1
    assert len(problems) == 3


def test_a_port_that_two_services_want_is_reported_with_both_settings(project: Project) -> None:
    result, (problem,) = _refused(project, "--data", "quay_https_port=6379")
    assert result.code == 1
    assert problem.startswith("redis_port: port 6379 of @fake/quay is quay_https_port's too")
    assert result.operations == []


def test_a_changed_image_is_refused_before_the_first_operation(project: Project) -> None:
    name = "quay.io/projectquay/quay:v3.18.0"
    answer = {"RepoDigests": f"{name}|sha256:2 elsewhere@sha256:3|sha256:1"}
    there = [fake("quay", responses=answer)]
    inventory = project.inventory(quay=there, database=there, redis=there)
    for mode in ("-y", "--dry"):
        result = project.run(mode, "-vv", inventory, "deploy.py")
        assert result.code == 1
        assert f"@fake/quay: {name} is another image" in result.output
        assert result.operations == []
        assert result.commands("quay") == []


def test_a_host_that_reports_nothing(project: Project) -> None:
    silent = [fake("quay", reports="")]
    inventory = project.inventory(quay=silent, database=silent, redis=silent)
    result = project.run("-y", inventory, "deploy.py")
    assert result.code == 1
    assert "@fake/quay: does not report what it is; is it a Linux host?" in result.output
    assert "Traceback" not in result.output


def test_a_host_that_cannot_be_reached_stops_the_run_for_all(project: Project) -> None:
    # Port 1 of this machine, where nobody listens.
    away = ("db.quaylab.test", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})
    inventory = project.inventory(quay=ONE, database=[away], redis=ONE)
    result = project.run("-y", "-vv", inventory, "deploy.py")
    assert result.code == 1
    assert "db.quaylab.test" in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("quay") == []


def test_two_hosts_in_groups_for_one(project: Project) -> None:
    two = [fake("quay"), fake("second")]
    inventory = project.inventory(quay=two, database=two, redis=ONE)
    result = project.run("-y", "-vv", inventory, "deploy.py")
    assert result.code == 1
    assert "quay: 2 hosts in group `quay`, but the blobs are in a volume" in result.output
    assert "nothing sends clients to them all" in result.output
    assert "database: 2 hosts in group `database`" in result.output
    assert result.operations == []


def test_an_inventory_without_quay(project: Project) -> None:
    result = project.run("-y", "-vv", project.inventory(database=ONE, redis=ONE), "deploy.py")
    assert result.code == 1
    assert "quay: no host in group `quay`" in result.output
    assert result.operations == []


def _truncate(path: Path) -> None:
    path.write_text(path.read_text()[:-200])


def _mix(path: Path) -> None:
    """Put together what belongs to two runs: a certificate and another one's key."""
    before = yaml.safe_load(path.read_text())
    values = {**before, "certificate_key": before["ca_key"]}
    del values["checksum"]
    path.write_text(yaml.safe_dump(values))


def _make_a_list(path: Path) -> None:
    path.write_text("- identity\n")


def _make_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _make_the_lock_a_directory(path: Path) -> None:
    path.with_suffix(".lock").unlink()
    path.with_suffix(".lock").mkdir()


def _make_the_folder_a_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.touch()


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _mix,
        _make_a_list,
        _make_a_directory,
        _make_the_lock_a_directory,
        _make_the_folder_a_file,
    ],
)
def test_damaged_credentials_are_reported_in_one_line_and_nothing_is_done(
    project: Project, damage: Callable[[Path], None]
) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    assert project.run("-y", inventory, "tasks/images.py").code == 0
    damage(project.credentials)
    result, problems = _refused(project)
    assert result.code == 1
    assert len(problems) == 1
    assert problems[0].startswith("credentials")
    assert "Traceback" not in result.output
    assert result.operations == []


def test_two_runs_at_once(project: Project) -> None:
    Store("quaylab", project.credentials.parent).lock()
    result, problems = _refused(project)
    assert result.code == 1
    assert problems[0].startswith("lab_name: another run uses credentials/quaylab.yaml")


def test_data_of_another_registry(project: Project) -> None:
    theirs = volume("quaylab-database", {"io.quaylab.credentials": "fedcba9876543210"})
    hosts = [fake("quay", f"{REPORT}\nclient /usr/bin/docker\n{theirs}")]
    inventory = project.inventory(quay=hosts, database=hosts, redis=hosts)
    result = project.run("-y", "-vv", inventory, "deploy.py")
    assert result.code == 1
    assert "belongs to the credentials fedcba9876543210" in result.output
    assert result.operations == []
    assert not project.credentials.exists()


def test_a_service_elsewhere_that_cannot_be_reached(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAYLAB_REDIS_PASSWORD", "redis-password")
    inventory = project.inventory(quay=ONE, database=ONE)
    result = project.run("-y", "-vv", inventory, "deploy.py", "--data", "redis_host=10.0.0.9")
    assert result.code == 1
    assert "redis_host: Redis at 10.0.0.9:6379: " in result.output
    assert "Traceback" not in result.output
    assert result.operations == []


def test_the_password_of_a_service_elsewhere_is_asked_for_by_name(project: Project) -> None:
    inventory = project.inventory(quay=ONE, redis=ONE)
    result = project.run("-y", inventory, "deploy.py", "--data", "database_host=10.0.0.9")
    assert result.code == 1
    assert "QUAYLAB_DATABASE_PASSWORD: not set; it has to hold the password" in result.output


S3 = ("--data", "storage=s3", "--data", "storage_region=eu-central-1")


def test_the_keys_of_an_object_store_are_asked_for_by_name(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    result = project.run("-y", inventory, "deploy.py", *S3)
    assert result.code == 1
    assert "QUAYLAB_STORAGE_ACCESS_KEY: not set; it has to hold " in result.output
    assert "QUAYLAB_STORAGE_SECRET_KEY: not set; it has to hold " in result.output


def test_an_object_store_that_cannot_be_reached(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAYLAB_STORAGE_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("QUAYLAB_STORAGE_SECRET_KEY", "storage-secret-key")
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    result = project.run("-y", "-vv", inventory, "deploy.py", *S3)
    assert result.code == 1
    assert "storage_host: " in result.output
    assert "storage-secret-key" not in result.output
    assert "Traceback" not in result.output
    assert result.operations == []


def test_blobs_are_not_left_behind(project: Project) -> None:
    note = "storage fedcba9876543210-01234567 default s3 s3.example.com:443/quay-storage/blobs"
    noted = [fake("quay", f"{REPORT}\n{note}")]
    inventory = project.inventory(quay=noted, database=noted, redis=noted)
    result = project.run("-y", "-vv", inventory, "deploy.py")
    assert result.code == 1
    assert "/var/lib/quaylab/storage on @fake/quay belongs to the credentials fe" in result.output
    assert "storage: Quay's blobs are in 'default s3 s3.example.com:443/quay-" in result.output
    assert result.operations == []


def test_all_problems_of_an_object_store_are_reported_at_once(project: Project) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    wrong = ("--data", "storage=gcs", "--data", "storage_region=eu")
    result = project.run("-y", inventory, "deploy.py", *wrong)
    assert result.code == 1
    assert "storage_region: has no meaning with gcs storage" in result.output
    assert "QUAYLAB_STORAGE_ACCESS_KEY" in result.output


def test_a_failed_pull_stops_the_run_before_a_container_is_touched(project: Project) -> None:
    """tests/unit/operations/engines/test_images.py tests that its message names every remedy."""
    line = "quay.io/projectquay/quay:v3.18.0 can't be pulled."
    failing = [fake("quay", responses={" pull ": {"success": False, "stderr": line}})]
    inventory = project.inventory(quay=failing, database=failing, redis=failing)
    result = project.run("-y", "-vv", inventory, "deploy.py")
    assert result.code == 1
    assert line in result.output
    assert "Traceback" not in result.output
    assert result.operations[-1] == "Get the images"
    assert not any("docker run" in command for command in result.commands("quay"))
