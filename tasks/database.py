"""Quay's database: PostgreSQL with pg_trgm, or MySQL; also on a server elsewhere."""

from pyinfra import host

from operations import containers, database, files, images
from operations.run import begin

plan = begin()

if host.name in plan.topology.hosts["database"]:
    server = plan.workload("database", host.name)

    images.present(name="Get the database's image", images=[server.image], settings=plan.settings)

    files.present(name="Write the database's environment", files=server.files)

    containers.running(
        name="Run the database", workload=server, timeout=plan.settings.health_timeout
    )

    database.prepared(name="Prepare Quay's database", plan=plan)

if plan.settings.database_admin and host.name == plan.topology.leader:
    database.external_database_present(
        name="Create Quay's database on its external server", plan=plan
    )
