"""A registry in an OpenShift or Kubernetes cluster: its objects, from the host of group `openshift`
on which kubectl or oc is logged in."""

from operations import database, object_storage
from operations.openshift import objects, registry, summary, workloads
from operations.openshift.run import begin

plan = begin()
description = plan.description
store = plan.registry.topology.store

if store:
    object_storage.bucket_present(name="Create the bucket", plan=plan.registry)

    object_storage.usable(name="Test the object store: write, read, delete", plan=plan.registry)

if plan.registry.settings.database_admin:
    database.external_database_present(
        name="Create Quay's database on its external server", plan=plan.registry
    )

objects.namespace_present(name="Create the namespace", plan=plan)

objects.applied(
    name="Write secrets, claims, services and network policies",
    plan=plan,
    objects=description.foundation,
)

if description.database:
    workloads.running(name="Run the database", plan=plan, objects=description.database)

if description.redis:
    workloads.running(name="Run Redis", plan=plan, objects=description.redis)

workloads.completed(
    name="Check from inside the cluster what Quay connects to", plan=plan, job=description.reach
)

if description.dump:
    workloads.completed(
        name="Dump the database before its schema changes",
        plan=plan,
        job=description.dump,
        is_dump=True,
    )

if plan.migrates:
    workloads.completed(
        name="Migrate the database's schema", plan=plan, job=description.migration, again=True
    )

objects.applied(
    name="Record the schema's version, and where the blobs are",
    plan=plan,
    objects=[description.note],
)

workloads.running(name="Run Quay", plan=plan, objects=description.quay)

objects.applied(name="Lead clients to Quay", plan=plan, objects=description.exposure)

objects.former_removed(name="Remove objects that are described no more", plan=plan)

registry.reachable(name="Wait until the registry answers at its address", plan=plan)

registry.superuser_present(name="Create the superuser", plan=plan)

registry.verified(name="Verify: log in, push, pull, delete", plan=plan)

summary.printed(name="Print the summary", plan=plan)
