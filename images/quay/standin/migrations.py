"""The schema: an ordered list of revisions, each with the Quay version that introduced it.

Like upstream's: the revision is in alembic_version, a newer schema only adds to an older one (nodes
of two versions run side by side during an upgrade), and nothing goes back.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text

from standin import StartError, minor_version, version

UNKNOWN_REVISION_STATUS = 255
BINARY = {"postgresql": "BYTEA", "mysql": "LONGBLOB"}


@dataclass(frozen=True)
class Revision:
    """One step of the schema. {binary} stands for the dialect's type of large binary values."""

    number: str
    since: tuple[int, int]
    statements: tuple[str, ...]


REVISIONS = (
    Revision(
        "316a00c0ffee",
        (3, 0),
        (
            """CREATE TABLE IF NOT EXISTS account (
                name VARCHAR(255) PRIMARY KEY,
                kind VARCHAR(16) NOT NULL,
                email VARCHAR(255) UNIQUE,
                password_hash VARCHAR(64),
                robot_token VARCHAR(255),
                created BIGINT NOT NULL
            )""",
            """CREATE TABLE IF NOT EXISTS membership (
                organization VARCHAR(255) NOT NULL REFERENCES account (name),
                account VARCHAR(255) NOT NULL REFERENCES account (name),
                PRIMARY KEY (organization, account)
            )""",
            """CREATE TABLE IF NOT EXISTS accesstoken (
                digest CHAR(64) PRIMARY KEY,
                account VARCHAR(255) NOT NULL REFERENCES account (name),
                expires BIGINT NOT NULL
            )""",
            """CREATE TABLE IF NOT EXISTS repository (
                id CHAR(36) PRIMARY KEY,
                namespace VARCHAR(255) NOT NULL REFERENCES account (name),
                name VARCHAR(255) NOT NULL,
                description TEXT NOT NULL,
                is_public BOOLEAN NOT NULL,
                UNIQUE (namespace, name)
            )""",
            """CREATE TABLE IF NOT EXISTS repositoryblob (
                repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
                digest CHAR(71) NOT NULL,
                size BIGINT NOT NULL,
                PRIMARY KEY (repository, digest)
            )""",
            """CREATE TABLE IF NOT EXISTS blobupload (
                id CHAR(36) PRIMARY KEY,
                repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
                location TEXT NOT NULL,
                received BIGINT NOT NULL
            )""",
            """CREATE TABLE IF NOT EXISTS manifest (
                repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
                digest CHAR(71) NOT NULL,
                media_type VARCHAR(255) NOT NULL,
                body {binary} NOT NULL,
                layers_size BIGINT NOT NULL,
                PRIMARY KEY (repository, digest)
            )""",
            """CREATE TABLE IF NOT EXISTS tag (
                repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
                name VARCHAR(255) NOT NULL,
                digest CHAR(71) NOT NULL,
                started BIGINT NOT NULL,
                hidden BOOLEAN NOT NULL,
                PRIMARY KEY (repository, name)
            )""",
        ),
    ),
    # The stand-in needs neither of these two: they are what an upgrade changes, so that a deploy's
    # order of dump, migration and restarts can be proven.
    Revision(
        "317b00c0ffee",
        (3, 17),
        (
            """CREATE TABLE IF NOT EXISTS tagpullstatistics (
                repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
                tag VARCHAR(255) NOT NULL,
                pulls BIGINT NOT NULL,
                PRIMARY KEY (repository, tag)
            )""",
        ),
    ),
    Revision(
        "318c00c0ffee",
        (3, 18),
        ("ALTER TABLE tag ADD COLUMN immutable BOOLEAN NOT NULL DEFAULT FALSE",),
    ),
)

# What newer stand-ins need, whatever Quay's version. It is ensured at each start, because a volume
# may be older. It does not disturb nodes of older stand-ins.
ADDITIONS = (
    # An organisation's mail address, which several may share, unlike a user's.
    "ALTER TABLE account ADD COLUMN IF NOT EXISTS contact VARCHAR(255)",
    "ALTER TABLE account ADD COLUMN IF NOT EXISTS description TEXT",
    "ALTER TABLE account ADD COLUMN IF NOT EXISTS is_enabled BOOLEAN NOT NULL DEFAULT TRUE",
    "ALTER TABLE account ADD COLUMN IF NOT EXISTS failed_logins INT NOT NULL DEFAULT 0",
    "ALTER TABLE account ADD COLUMN IF NOT EXISTS last_failure DOUBLE PRECISION NOT NULL DEFAULT 0",
    "ALTER TABLE repository ADD COLUMN IF NOT EXISTS is_deleted BOOLEAN NOT NULL DEFAULT FALSE",
    """CREATE TABLE IF NOT EXISTS permission (
        repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
        account VARCHAR(255) NOT NULL REFERENCES account (name) ON DELETE CASCADE,
        role VARCHAR(16) NOT NULL,
        PRIMARY KEY (repository, account)
    )""",
    """CREATE TABLE IF NOT EXISTS pasttag (
        repository CHAR(36) NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
        name VARCHAR(255) NOT NULL,
        digest CHAR(71) NOT NULL,
        started BIGINT NOT NULL,
        ended BIGINT NOT NULL
    )""",
)


def complete(engine: Engine) -> None:
    """Add what the stand-in needs to a schema of Quay's version."""
    with engine.begin() as connection:
        for statement in ADDITIONS:
            connection.execute(text(statement))


def known() -> list[Revision]:
    """Return the revisions of this version of Quay, oldest first."""
    return [revision for revision in REVISIONS if revision.since <= minor_version()]


def current(connection: Connection) -> str | None:
    """Return the database's revision; None if it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    number = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if number is None else str(number)


def upgrade(engine: Engine) -> None:
    """Migrate the database to this version's schema.

    PostgreSQL does it in one transaction. MariaDB cannot, but can repeat it after a crash.
    """
    with engine.begin() as connection:
        number = current(connection)
        numbers = [revision.number for revision in known()]
        if number is not None and number not in numbers:
            raise StartError(
                f"Can't locate revision identified by '{number}': "
                f"the database is newer than Quay {version()}",
                UNKNOWN_REVISION_STATUS,
            )
        due = known() if number is None else known()[numbers.index(number) + 1 :]
        if number is None:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(255))")
            )
        for revision in due:
            print(f"Running upgrade {number or ''} -> {revision.number}", flush=True)
            for statement in revision.statements:
                connection.execute(text(statement.format(binary=BINARY[engine.dialect.name])))
            connection.execute(text("DELETE FROM alembic_version"))
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:number)"), {"number": revision.number}
            )
            number = revision.number


def require_current(engine: Engine) -> None:
    """Refuse a schema that is older than this version's; a newer one serves older nodes too."""
    with engine.connect() as connection:
        number = current(connection)
    if number is None:
        raise StartError("the database holds no schema; run `migrate head` first")
    if number in [revision.number for revision in known()[:-1]]:
        raise StartError(
            f"the database is at revision {number}, Quay {version()} needs {known()[-1].number}; "
            "run `migrate head` first"
        )
