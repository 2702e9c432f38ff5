"""The task that moves blobs, to a Ceph that it deploys first."""

from __future__ import annotations

from quaylab.secrets.credentials import Store
from quaylab.services.quay import STORAGE_VOLUME
from tests.deploy.project import ENGINE, REPORT, Project, fake, older_quay, volume

CEPH = [fake("ceph", ssh_hostname="192.168.254.20")]


def test_ceph_is_deployed_first_and_quay_serves_until_it_can_be_used(project: Project) -> None:
    new = [fake("quay", ssh_hostname="192.168.254.10")]
    before = project.inventory(quay=new, database=new, redis=new)
    assert project.run("-y", before, "tasks/images.py").code == 0
    owner = Store("quaylab", project.credentials.parent).load(environment={}).fingerprint
    labels = {
        "io.quaylab.credentials": owner,
        "io.quaylab.path": "",
        "io.quaylab.registry": "quay",
    }
    kinds = {STORAGE_VOLUME: "blobs", "quaylab-database": "postgresql-15-c9s"}
    volumes = [volume(name, {**labels, "io.quaylab.data": kind}) for name, kind in kinds.items()]
    found = "\n".join([*volumes, older_quay(owner)])
    answers = {"named=$(docker ps": found}
    reports = f"{REPORT}\n{ENGINE}\n{found}"
    quay = [fake("quay", reports, answers, ssh_hostname="192.168.254.10")]
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
