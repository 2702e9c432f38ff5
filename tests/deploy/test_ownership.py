"""What another registry or an administrator put on a host is refused, and never removed."""

from __future__ import annotations

import pytest

from quaylab.secrets.credentials import Credentials, Store, generate
from tests.deploy.project import ENGINE, REPORT, Project, Result, container, fake, volume

OTHERS = "fedcba9876543210-01234567"
SPECIFIED = "0" * 64
PURGE = ("--data", "purge=quay.quaylab.lan")
TEARDOWN = ("tasks/teardown.py",)


def _volume(
    name: str = "quaylab-database", owner: str = OTHERS, path: str = "", device: str | None = None
) -> str:
    labels = {
        "io.quaylab.data": "postgresql-15-c9s",
        "io.quaylab.path": path,
        "io.quaylab.credentials": owner,
        "io.quaylab.registry": "quay",
    }
    return volume(name, labels, device)


def _credentials(project: Project) -> Credentials:
    """Save credentials as an earlier run would have."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    store.save(made := generate())
    return made


def _run(project: Project, task: str, *lines: str, options: tuple[str, ...] = ()) -> Result:
    one = [fake("quay", "\n".join((REPORT, ENGINE, *lines)))]
    inventory = project.inventory(quay=one, database=one, redis=one)
    return project.run("-y", "-vv", inventory, task, *options)


def _refused(result: Result, *messages: str) -> None:
    assert result.code == 1, result.output
    for message in messages:
        assert message in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("quay") == []


@pytest.mark.parametrize("options", [(), PURGE], ids=["down", "purge"])
@pytest.mark.parametrize("known", [True, False], ids=["with credentials", "without"])
@pytest.mark.parametrize(
    "existing",
    [
        _volume(),
        _volume("quaylab-quay-storage", path="/srv/blobs"),
        container("quaylab-redis", SPECIFIED, OTHERS),
        f"storage {OTHERS} default s3 s3.example.com:443/quay-storage/blobs",
    ],
    ids=["database", "blobs", "container", "note"],
)
def test_another_registry_is_not_taken_down(
    project: Project, existing: str, known: bool, options: tuple[str, ...]
) -> None:
    if known:
        _credentials(project)
    result = _run(project, *TEARDOWN, existing, options=options)
    state = "is of another registry" if known else "is missing"
    _refused(result, f"belongs to the credentials {OTHERS}", f"quaylab.yaml {state}")
    assert project.credentials.exists() is known


@pytest.mark.parametrize("arguments", [("tasks/quay.py",), (*TEARDOWN, *PURGE)], ids=" ".join)
def test_another_registry_on_the_hypervisor_stays(
    project: Project, arguments: tuple[str, ...]
) -> None:
    """The hypervisor is in none of this registry's groups, so it may serve another one."""
    _credentials(project)
    theirs = [container(f"quaylab-{name}", SPECIFIED, OTHERS) for name in ("quay", "redis")]
    note = f"registry {OTHERS} other.example.com other 0.1.0 docker"
    there = {"for path in": "/etc/quaylab\n/var/lib/quaylab"}
    metal = fake("metal", "\n".join((REPORT, ENGINE, *theirs, note)), there)
    own = [fake("quay", "\n".join((REPORT, ENGINE)))]
    inventory = project.inventory(hypervisor=[metal], quay=own, database=own, redis=own)
    result = project.run("-y", "-vv", inventory, *arguments)
    assert result.operations, result.output
    assert result.commands("metal") == []


@pytest.mark.parametrize("task", ["deploy.py", *TEARDOWN])
def test_the_owner_and_the_command_that_removes_it_are_shown(project: Project, task: str) -> None:
    _credentials(project)
    note = f"registry {OTHERS} quay.other.example:8443 other"
    _refused(
        _run(project, task, _volume(), note),
        "(registry quay.other.example:8443, lab_name other)",
        "--data purge=quay.other.example",
    )


def test_a_container_without_the_owner_label_belongs_to_the_owner_of_the_data(
    project: Project,
) -> None:
    ours = _credentials(project).fingerprint
    old = container("quaylab-redis", SPECIFIED)
    taken_down = _run(project, *TEARDOWN, old, _volume(owner=ours))
    assert taken_down.code == 0, taken_down.output
    _refused(
        _run(project, *TEARDOWN, old, f"registry {OTHERS} quay.other.example other"),
        "container quaylab-redis on @fake/quay belongs to",
    )


def test_a_teardown_needs_an_engine_that_answers(project: Project) -> None:
    _credentials(project)
    one = [fake("quay", f"{REPORT}\nclient /usr/bin/docker\ninfo ")]
    inventory = project.inventory(quay=one, database=one, redis=one)
    result = project.run("-y", "-vv", inventory, *TEARDOWN, *PURGE)
    _refused(result, "@fake/quay: its engine does not answer")
    assert project.credentials.exists()


@pytest.mark.parametrize("options", [(), PURGE], ids=["down", "purge"])
def test_a_teardown_of_an_empty_host_succeeds(project: Project, options: tuple[str, ...]) -> None:
    result = _run(project, *TEARDOWN, options=options)
    assert result.code == 0, result.output
    assert not project.credentials.exists()


def test_a_purge_removes_the_data_of_its_own_credentials(project: Project) -> None:
    ours = _credentials(project).fingerprint
    device = "/srv/blobs/quaylab-quay-storage"
    blobs = _volume("quaylab-quay-storage", owner=ours, path="/srv/blobs", device=device)
    result = _run(project, *TEARDOWN, blobs, options=PURGE)
    assert result.code == 0, result.output
    assert any("docker volume rm quaylab-quay-storage" in each for each in result.commands("quay"))
    assert not project.credentials.exists()


# --- made by hand ---

BY_HAND = container("quaylab-redis")


def test_a_container_made_by_hand_is_refused(project: Project) -> None:
    _refused(
        _run(project, "deploy.py", BY_HAND),
        "@fake/quay: container quaylab-redis was not made by Quaylab",
        "docker rename quaylab-redis",
    )


def test_a_container_made_by_hand_outlives_the_teardown(project: Project) -> None:
    _credentials(project)
    result = _run(project, *TEARDOWN, BY_HAND, options=PURGE)
    assert result.code == 0, result.output
    assert "@fake/quay: container quaylab-redis was not made by Quaylab, and stays" in result.output
    assert not any("quaylab-redis" in each for each in result.commands("quay"))


def test_a_container_with_another_name_is_ignored(project: Project) -> None:
    result = _run(project, "tasks/redis.py", container("quaylab-mirror"))
    assert result.code == 0, result.output
