"""The bucket in an object store that runs elsewhere, and a test of it, before any other task."""

from pyinfra import host

from operations.runtime.run import begin
from operations.services import object_storage

plan = begin()

store = plan.topology.object_store

if store and store.is_elsewhere and host.name == plan.topology.first_quay:
    object_storage.bucket_present(name="Create the bucket", plan=plan)

    object_storage.usable(name="Test the object store: write, read, delete", plan=plan)
