"""A registry in an OpenShift or Kubernetes cluster: its objects, made from the host of group
`openshift` on which kubectl or oc is logged in."""

from pyinfra import local

from operations.openshift import objects, registry, summary, workloads
from operations.openshift.run import begin
from operations.services import database, object_storage

plan = begin()
store = plan.registry.topology.object_store

if store:
    object_storage.bucket_present(name="Create the bucket", plan=plan.registry)

    object_storage.usable(name="Test the object store: write, read, delete", plan=plan.registry)

if plan.registry.settings.database_admin:
    database.external_database_present(
        name="Create Quay's database on its external server", plan=plan.registry
    )

objects.namespace_present(name="Create the namespace", plan=plan)

if plan.is_operated:
    local.include("tasks/openshift_operator.py")
else:
    local.include("tasks/openshift_template.py")

workloads.former_removed(name="Remove objects that are no longer described", plan=plan)

registry.reachable(name="Wait until the registry answers at its address", plan=plan)

registry.superuser_present(name="Create the superuser", plan=plan)

registry.verified(name="Verify: log in, push, pull, delete", plan=plan)

summary.printed(name="Print the summary", plan=plan)
