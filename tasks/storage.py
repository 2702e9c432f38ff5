"""An object store that runs elsewhere: its bucket, and that Quay can use it; first of all tasks."""

from pyinfra import host

from operations import credentials, storage
from operations.plan import plan

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

store = lab.topology.store

if store and store.host is None and host.name == lab.topology.leader:
    storage.bucket_present(name="Make the bucket", plan=lab)

    storage.usable(name="Write, read and delete an object", plan=lab)
