"""The task that moves blobs, to a Ceph that it deploys first."""

from __future__ import annotations

import json
from typing import Any

from quaylab.secrets.credentials import Store, generate
from quaylab.services.quay import STORAGE_VOLUME
from tests.deploy.project import ENGINE, REPORT, Project, fake, older_quay, volume

CEPH = [fake("ceph", ssh_hostname="192.168.254.20")]


def _serving(name: str, address: str, owner: str) -> tuple[str, dict[str, Any]]:
    """Return a host that has Quay with its blobs in a volume, and the database."""
    labels = {
        "io.quaylab.credentials": owner,
        "io.quaylab.path": "",
        "io.quaylab.registry": "quay",
    }
    kinds = {STORAGE_VOLUME: "blobs", "quaylab-database": "postgresql-15-c9s"}
    volumes = [volume(name, {**labels, "io.quaylab.data": kind}) for name, kind in kinds.items()]
    found = "\n".join([*volumes, older_quay(owner)])
    answers = {"named=$(docker ps": found}
    return fake(name, f"{REPORT}\n{ENGINE}\n{found}", answers, ssh_hostname=address)


def test_ceph_is_deployed_first_and_quay_serves_until_it_can_be_used(project: Project) -> None:
    new = [fake("quay", ssh_hostname="192.168.254.10")]
    before = project.inventory(quay=new, database=new, redis=new)
    assert project.run("-y", before, "tasks/images.py").code == 0
    owner = Store("quaylab", project.credentials.parent).load(environment={}).fingerprint
    quay = [_serving("quay", "192.168.254.10", owner)]
    inventory = project.inventory(quay=quay, database=quay, redis=quay, ceph=CEPH)
    refused = project.run("-y", inventory, "deploy.py")
    assert "or move them there by tasks/move_blobs.py" in refused.output
    result = project.run("-y", "-vv", inventory, "tasks/move_blobs.py")
    order = ["Install the container engine", "Get the images", "Run Ceph"]
    # The bucket is made over SSH or on @local only, so a run on fake hosts ends here.
    positions = [result.operations.index(each) for each in (*order, "Create the bucket in Ceph")]
    assert positions == sorted(positions)
    assert result.operations[-1] == "Create the bucket in Ceph"
    assert not [each for each in result.commands("quay") if "docker stop" in each]
    planned = project.run("--dry", "--json", inventory, "tasks/move_blobs.py").plan
    assert planned[-4:] == [
        "Copy the blobs while Quay serves",
        "Stop Quay",
        "Copy the rest, and see that all is there",
        "Record where the blobs are",
    ]


def test_quay_is_stopped_on_a_host_that_has_left_the_group_as_well(project: Project) -> None:
    """It runs on if the deploy failed that would have removed it."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    store.save(made := generate())
    quay = [_serving("quay", "192.168.254.10", made.fingerprint)]
    former = [_serving("former", "192.168.254.11", made.fingerprint)]
    inventory = project.inventory(quay=quay, database=quay, redis=former, ceph=CEPH)
    result = project.run("--dry", "--json", inventory, "tasks/move_blobs.py")
    (stopped,) = (
        each["hosts_with_change"]
        for each in json.loads(result.stdout)["plan"]
        if each["name"].endswith("Stop Quay")
    )
    assert stopped == ["@fake/former", "@fake/quay"]
    assert result.stderr.count("quaylab-quay will be stopped: while the rest of the blobs") == 2
