"""The registry in a cluster by Quaylab's own objects: a part of tasks/openshift.py."""

from operations.openshift import objects, workloads
from operations.openshift.run import begin_part

plan = begin_part("template")
description = plan.template

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

if description.begun:
    objects.applied(name="Record that the migration begins", plan=plan, objects=[description.begun])

if plan.migrates:
    workloads.completed(
        name="Migrate the database's schema", plan=plan, job=description.migration, again=True
    )

objects.applied(
    name="Record the schema's version, and where rows and blobs are",
    plan=plan,
    objects=[description.note],
)

workloads.running(name="Run Quay", plan=plan, objects=description.quay)

objects.applied(name="Lead clients to Quay", plan=plan, objects=description.exposure)
