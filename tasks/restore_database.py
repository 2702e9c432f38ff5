"""Undo an upgrade: replace the database's content by a dump from before it.

What was pushed since the dump is lost, and users, robots, tokens and permissions that were revoked
since are valid again. Passwords are those of the dump, but for the superuser's. Quay is stopped
until the deploy that the run prints as its last line. `--data restore=NAME` names the dump. Without
it the newest is taken, also one of tasks/dump_database.py, or the one that a killed run has begun
to restore. A database that runs elsewhere is restored with its provider's tools; this task only
notes its version from `database_backup`, and where it is. After a killed run, run the task again to
complete it.
"""

from pyinfra import host, local

from operations import credentials, next_command
from operations.engines import containers, images
from operations.hosts import files
from operations.runtime.run import Purpose, begin
from operations.services import dumps, nodes, patroni, quay
from quaylab.checks import database_location
from quaylab.upgrade import schema_version

plan = begin(Purpose.RECOVER)
place, dump = dumps.choose_dump(plan)
version = dump.before if dump else plan.settings.database_backup

credentials.saved(name="Save the credentials", plan=plan)

dumps.intact(name="Check that the dump is intact", place=place, dump=dump)

if quay.has_leftover_migration(plan):
    quay.migration_ended(name="Wait for the migration of a killed run", plan=plan)

# Also on a host that has left the group, which may serve still. Removed and not only stopped: a
# reboot would start it again, on the wrong schema.
for name in host.loop(nodes.containers_on(plan, host.name)):  # type: ignore[no-untyped-call]
    containers.absent(name="Stop Quay", container=name)

if host.name in plan.topology.quay:
    files.present(
        name="Record that the database is being restored",
        files=[
            schema_version.note(
                schema_version.restoring_note(dump.name if dump else schema_version.BACKUP)
            )
        ],
    )

if host.name == plan.topology.first_quay:
    credentials.former_passwords_saved(name="Remember the superuser's former passwords", plan=plan)

if place and plan.topology.database_members:
    if patroni.leader(plan) is None:
        # Another cluster comes in its place, for example of another major version.
        local.include("tasks/etcd.py")
        local.include("tasks/database.py")

    patroni.made_leader(name="Have the database led where the dump is", plan=plan, place=place)
elif host.name in plan.topology.hosts["database"]:
    server = plan.workload("database", host.name)

    images.present(name="Get the database's image", images=[server.image], settings=plan.settings)

    files.present(name="Write the database's files", files=server.files)

    if nodes.router_has_port(plan, host.name, "database"):
        nodes.router_gives_way(name="Have the router give up the database's port", plan=plan)

    containers.running(
        name="Run the database", workload=server, timeout=plan.settings.health_timeout
    )

dumps.restored(name="Restore the dump", plan=plan, place=place, dump=dump)

if host.name in plan.topology.quay:
    # The version last: with it the restore has ended.
    files.present(
        name="Record which database it is, and the schema's version",
        files=[
            database_location.note(plan.settings, plan.topology),
            schema_version.note(version or ""),
        ],
    )

if host.name == plan.topology.first_quay:
    next_command.printed(
        name="Print the next command",
        done=dumps.restored_message(plan, version),
        data={"quay_version": version or "VERSION"},
    )
