"""Undo an upgrade in a cluster: replace the database's content by the dump from before it.

`--data restore=v3.17.4-to-v3.18.0` names the dump. What was pushed since is lost. Quay is stopped
until the deploy that the run prints as its last line. After a killed run, run the task again.
"""

from operations import credentials, next_command
from operations.openshift import objects, restoring, workloads
from operations.openshift.run import begin
from operations.runtime.run import Purpose
from quaylab.openshift import quay
from quaylab.openshift.description import note
from quaylab.openshift.objects import DEPLOYMENT
from quaylab.upgrade import schema_version

plan = begin(Purpose.RECOVER)
dump, version = restoring.chosen_dump(plan)
description = plan.template

# What the Jobs need, `./lab down` has removed. Nothing else changes until the dump is known to be
# there and the database runs.
objects.applied(
    name="Write secrets, claims, services and network policies",
    plan=plan,
    objects=description.foundation,
)

workloads.completed(name="Look for the dump", plan=plan, job=plan.dump_check(dump), again=True)

workloads.running(name="Run the database", plan=plan, objects=description.database)

objects.applied(
    name="Record that the database is being restored",
    plan=plan,
    objects=[note(plan.registry, schema_version.restoring_note(dump))],
)

objects.absent(name="Stop Quay", plan=plan, kind=DEPLOYMENT, object_name=quay.NAME)

workloads.others_removed(
    name="Stop a migration or another restore that has begun",
    plan=plan,
    restoration=plan.restoration(dump),
)

credentials.former_passwords_saved(
    name="Remember the superuser's former passwords", plan=plan.registry
)

workloads.completed(name="Restore the dump", plan=plan, job=plan.restoration(dump), again=True)

objects.applied(
    name="Record the schema's version",
    plan=plan,
    objects=[note(plan.registry, version)],
)

next_command.printed(
    name="Print the next command",
    done=f"The database has the schema of {version}; Quay is stopped.",
    deploy="tasks/openshift.py",
    data={"quay_version": version},
)
