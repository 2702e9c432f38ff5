"""An object store that runs elsewhere: its bucket, and that Quay can use it; first of all tasks."""

from pyinfra import host

from operations import object_storage
from operations.run import begin

plan = begin()

store = plan.topology.store

if store and store.host is None and host.name == plan.topology.leader:
    object_storage.bucket_present(name="Create the bucket", plan=plan)

    object_storage.usable(name="Test the object store: write, read, delete", plan=plan)
