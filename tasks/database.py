"""Quay's database: PostgreSQL with pg_trgm, or MySQL; made on a server elsewhere if told to."""

from pyinfra import host

from operations import containers, credentials, database, files, images
from operations.plan import plan

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if host.name == lab.topology.database.host:
    part = lab.database

    images.present(name="Get the database's image", images=[part.image], settings=lab.settings)

    files.present(name="Write the database's environment", files=part.files)

    containers.running(name="Run the database", part=part, timeout=lab.settings.health_timeout)

    database.prepared(name="Prepare Quay's database", plan=lab)

if lab.settings.database_admin and host.name == lab.topology.leader:
    database.made_elsewhere(name="Make Quay's database where it runs", plan=lab)
