"""Ceph on one host: the commands, and that they come before Quay's."""

from __future__ import annotations

import pytest
import yaml

from tests.deploy.project import Project, Result, fake

QUAY = [fake("quay", ssh_hostname="192.168.254.10")]
CEPH = [fake("ceph", ssh_hostname="192.168.254.20")]
PARTS = {"quay": QUAY, "database": QUAY, "redis": QUAY}
# The bucket is made over SSH or on @local only, so a run on fake hosts ends here.
END = "Create the bucket in Ceph"


@pytest.fixture(scope="module")
def lab(shared_project: Project) -> Result:
    inventory = shared_project.inventory(**PARTS, ceph=CEPH)
    options = ("--data=ceph_quota_gb=5", "--data=ceph_swift=True")
    return shared_project.run("-y", "-vvv", inventory, "deploy.py", *options)


def test_steps_are_in_their_order(lab: Result) -> None:
    order = [
        "Get the images",
        "Write Ceph's configuration",
        "Run Ceph",
        "Create Quay's user in Ceph",
    ]
    positions = [lab.operations.index(name) for name in (*order, END)]
    assert positions == sorted(positions)
    assert lab.operations[-1] == END, "nothing goes on without its bucket"


def test_ceph_runs_on_its_host_alone_and_unprivileged(lab: Result) -> None:
    (run,) = [each for each in lab.commands("ceph") if "docker run --detach" in each]
    assert "--publish=192.168.254.20:7480:7480" in run
    assert "--volume=quaylab-ceph:/var/lib/ceph:z" in run
    assert "--privileged" not in run
    assert not [each for each in lab.commands("quay") if "quaylab-ceph" in each]


def test_the_users_keys_are_not_printed(lab: Result, shared_project: Project) -> None:
    assert any("radosgw-admin metadata put user:quay" in each for each in lab.commands("ceph"))
    credentials = yaml.safe_load(shared_project.credentials.read_text())
    for key in ("storage_access_key", "storage_secret_key", "swift_password"):
        assert credentials[key] not in lab.output


def test_too_little_memory_and_two_hosts_are_refused(project: Project) -> None:
    inventory = project.inventory(
        **PARTS, ceph=[*CEPH, fake("ceph2", ssh_hostname="192.168.254.21")]
    )
    result = project.run("-y", inventory, "deploy.py", "--data=ceph_osd_memory_mb=1")
    assert result.code != 0
    assert "ceph_osd_memory_mb: 1" in result.output
    result = project.run("-y", inventory, "deploy.py")
    assert "ceph: 2 hosts in group `ceph`" in result.output
    assert "Traceback" not in result.output
