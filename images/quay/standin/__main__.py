"""The entry point: Quay's commands (registry, registry-nomigrate, migrate, shell), or any other.

It ends with an exec of supervisord, which runs nginx, the web application and docker-registry.
"""

import signal
import sys
from typing import NoReturn

from standin import StartError, checks, config, database, migrations, runtime, services, version


def serve(*, migrate: bool) -> NoReturn:
    """Check everything, migrate the schema if ``migrate`` is true, and become the server."""
    settings = config.load()
    runtime.prepare(settings.bundle)
    checks.check_bundle(settings)
    engine = database.connect(settings)
    checks.check_database(engine)
    checks.check_redis(settings)
    if migrate:
        migrations.upgrade(engine)
    else:
        migrations.require_current(engine)
    migrations.complete(engine)
    engine.dispose()
    services.execute(settings)


def migrate(revision: str) -> None:
    """Migrate the schema to `head`, the only target that the stand-in supports."""
    if revision != "head":
        raise StartError(f"migrate {revision}: the stand-in migrates to head only")
    settings = config.load()
    engine = database.connect(settings, migrating=True)
    checks.check_database(engine)
    migrations.upgrade(engine)
    migrations.complete(engine)


def main(arguments: list[str]) -> int:
    """Run the container's command; return its exit status."""
    # PID 1 has no default action for TERM, and a start must be stoppable as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    match arguments:
        case ["registry"] | ["registry-nomigrate"] | ["migrate", _]:
            print(f"Quaylab's stand-in for Quay {version()}. This is not Quay.", flush=True)
        case ["shell"]:
            runtime.become("bash")
        case [command, *_]:
            try:
                runtime.become(*arguments)
            except OSError as error:
                print(f"{command}: {error.strerror}", file=sys.stderr)
                return 127
    try:
        match arguments:
            case ["migrate", revision]:
                migrate(revision)
            case [command]:
                serve(migrate=command == "registry")
    except StartError as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
        return error.status
    return 0


sys.exit(main(sys.argv[1:] or ["registry"]))
