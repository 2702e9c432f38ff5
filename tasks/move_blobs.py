"""Move Quay's blobs from the volume on its host to the object store of the settings.

They are copied while Quay serves. Then Quay is stopped, and the rest is copied. Every blob is read
back from the store and compared with its digest, before the host's note names the store. Quay runs
again with the deploy that the run prints as its last line. The volume stays. After a killed run,
run the task again to complete it.
"""

from pyinfra import host, local

from operations import next_command
from operations.engines import images
from operations.hosts import files
from operations.runtime.run import Purpose, begin
from operations.services import move_blobs, nodes
from quaylab.checks import blob_location

plan = begin(Purpose.MOVE)

local.include("tasks/object_storage.py")

if plan.topology.hosts["ceph"]:
    # A new cluster, on hosts that may be new.
    local.include("tasks/subscription.py")
    local.include("tasks/docker_storage.py")
    local.include("tasks/engine.py")
    local.include("tasks/images.py")
    local.include("tasks/ceph.py")

if host.name == plan.topology.first_quay:
    images.present(
        name="Get Quay's image",
        images=[plan.workloads_for("quay", host.name)[0].image],
        settings=plan.settings,
    )

    move_blobs.copied(name="Copy the blobs while Quay serves", plan=plan, is_last=False)

# Also on a host that has left the group, which may serve still.
if nodes.containers_on(plan, host.name):
    move_blobs.quay_stopped(name="Stop Quay", plan=plan)

if host.name == plan.topology.first_quay:
    move_blobs.copied(name="Copy the rest, and see that all is there", plan=plan, is_last=True)

    files.present(
        name="Record where the blobs are",
        files=[blob_location.note(plan.settings, plan.topology, plan.credentials)],
    )

    move_blobs.forgotten(name="Remove the record of the copy")

    next_command.printed(
        name="Print the next command", done="The blobs are in the store, and Quay is stopped."
    )
