"""Quay's database: PostgreSQL with pg_trgm on one host or several, or MySQL; or one elsewhere."""

from pyinfra import host

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin
from operations.services import database, nodes, patroni, quay

plan = begin()
hosts, members = plan.topology.hosts["database"], plan.topology.database_members

if quay.has_leftover_migration(plan):
    quay.migration_ended(name="Wait for the migration of a killed run", plan=plan)

if members:
    barrier.reached(name="Wait until etcd runs")

if host.name in hosts:
    server = plan.workload("database", host.name)

    images.present(
        name="Get the database's image",
        images=plan.images_for("database", host.name),
        settings=plan.settings,
    )

    files.present(name="Write the database's files", files=server.files)

    if not members:
        database.first_start_ended(name="Check that its first start has ended", plan=plan)

        if nodes.router_has_port(plan, host.name, "database"):
            nodes.router_gives_way(name="Have the router give up the database's port", plan=plan)

        containers.running(
            name="Run the database", workload=server, timeout=plan.settings.health_timeout
        )

if host.name in members:
    patroni.silent_loaded(name="Load the files of members that do not answer")

    patroni.started(name="Start the database's members if none leads", plan=plan)

    patroni.roles_present(name="Set the passwords of the database's roles", plan=plan)

# One after the other, and the leader last.
for name in host.loop(patroni.in_order(plan)):  # type: ignore[no-untyped-call]
    if host.name == name:
        patroni.as_specified(name="Run the database's member as specified", plan=plan)

if host.name in members:
    patroni.loaded(name="Load the files of the database's member", plan=plan)

    patroni.settings_kept(name="Keep the settings of the database's cluster", plan=plan)

    patroni.synchronous(name="Wait until a second member has every write", plan=plan)

if host.name in hosts:
    database.prepared(name="Prepare Quay's database", plan=plan)

if plan.settings.database_admin and host.name == plan.topology.first_quay:
    database.external_database_present(
        name="Create Quay's database on its external server", plan=plan
    )
