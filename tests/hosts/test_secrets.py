"""Secrets are only where they must be, with the narrowest modes."""

from __future__ import annotations

import json

from facts.files import Files
from quaylab.engines import units
from quaylab.model import FileState
from quaylab.paths import ETC
from tests.hosts.lab import Lab, Target
from tests.hosts.places import WorkloadPlace
from tests.leaks import leaked, secrets_of


def test_only_root_enters_the_directory(engine_host: Target) -> None:
    directory = engine_host.shell.file(ETC)
    assert directory.is_directory
    assert (directory.user, oct(directory.mode)) == ("root", "0o700")


def test_files_are_as_planned(workload_with_files: WorkloadPlace) -> None:
    """By content, owner and mode."""
    found: dict[str, FileState] = _files(workload_with_files)
    differences = {
        file.path: found[file.path].differs(file) if file.path in found else "missing"
        for file in workload_with_files.workload.files
    }
    assert set(differences.values()) <= {None}, differences


def test_only_its_container_reads_a_file(workload_with_files: WorkloadPlace) -> None:
    wide = [path for path, state in _files(workload_with_files).items() if state.mode & 0o077]
    assert not wide


def test_no_secret_in_a_containers_description(engine_host: Target, lab: Lab) -> None:
    """Everybody who may use the engine can call `docker inspect`, and logs may have its output."""
    for name in engine_host.container_names():
        described = json.dumps(engine_host.described("container", name), ensure_ascii=False)
        found = _leaked(lab, described)
        assert not found, name


def test_no_secret_in_units_and_their_journal(podman_workload: WorkloadPlace, lab: Lab) -> None:
    """Everybody may read the units; the journal has what the containers print. The access key is in
    addresses that Quay signs, and so in the log of Ceph's gateway; it opens nothing."""
    service = units.service(podman_workload.workload.container.name)
    printed = podman_workload.target.shell.check_output(
        "systemctl cat %s; journalctl --unit=%s --output=cat --no-pager", service, service
    )
    assert {*_leaked(lab, printed)} <= {"storage_access_key"}


def test_no_secret_in_a_process_list(engine_host: Target, lab: Lab) -> None:
    """Everybody on the host can read every command line, also those in containers."""
    running = engine_host.shell.run("cat /proc/[0-9]*/cmdline 2>/dev/null").stdout
    found = _leaked(lab, running)
    assert running
    assert not found


def test_pull_secret_is_for_its_user_alone(pull_secret_host: Target, lab: Lab) -> None:
    user = lab.plan.settings.pull_secret_user
    home = pull_secret_host.shell.user(user).home
    file = pull_secret_host.shell.file(f"{home}/.docker/config.json")
    assert file.exists
    assert (file.user, oct(file.mode)) == (user, "0o600")


def _files(workload: WorkloadPlace) -> dict[str, FileState]:
    found: dict[str, FileState] = workload.target.ask(
        Files(), paths=[file.path for file in workload.workload.files]
    )
    return found


def _leaked(lab: Lab, text: str) -> list[str]:
    """Return the names of the registry's secrets that are in a text."""
    tls_key = lab.plan.certificate.key.get_secret_value()
    return leaked({**secrets_of(lab.plan.credentials), "tls_key": tls_key}, text)
