"""Log in to database and Redis with Quay's own configuration, and print what is refused.

It runs in a container of Quay's image, with the drivers of Quay and below the folder of its bundle,
so it is one file and uses no module of Quaylab. Its arguments are the services to log in to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import pymysql
import redis
import yaml

CONFIG = "conf/stack/config.yaml"
# Seconds for a connection.
TIMEOUT = 10
# Options of peewee, which no driver knows.
OF_PEEWEE = ("threadlocals", "autorollback")
TRIGRAMS = "SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'"


class RefusedError(Exception):
    """What Quay needs is missing."""


def database(config: Mapping[str, Any]) -> None:
    """Log in, and look for what Quay's migrations need."""
    uri = config["DB_URI"]
    given = {**config.get("DB_CONNECTION_ARGS", {}), "connect_timeout": TIMEOUT}
    options = {key: value for key, value in given.items() if key not in OF_PEEWEE}
    url = urlsplit(uri)
    if url.scheme == "postgresql":
        with closing(psycopg2.connect(uri, **options)) as connection:
            cursor = connection.cursor()
            cursor.execute(TRIGRAMS)
            if cursor.fetchone() is None:
                raise RefusedError(
                    "pg_trgm is missing; run in Quay's database as its administrator: "
                    "CREATE EXTENSION pg_trgm"
                )
        return
    pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=url.username,
        password=unquote(url.password or ""),
        database=url.path.strip("/"),
        **options,
    ).close()


def redis_server(config: Mapping[str, Any]) -> None:
    """Log in. All keys are arguments of redis-py, as in Quay."""
    options = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
    redis.Redis(**{**options, **config["USER_EVENTS_REDIS"]}).ping()


LOGINS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "database": database,
    "redis": redis_server,
}


def main() -> None:
    with open(CONFIG) as file:
        config = yaml.safe_load(file)
    refused = False
    for service in sys.argv[1:]:
        try:
            LOGINS[service](config)
        except (psycopg2.Error, pymysql.Error, redis.RedisError, OSError, RefusedError) as error:
            refused = True
            print(f"{service}: {' '.join(str(error).split())}")
    sys.exit(refused)


if __name__ == "__main__":
    main()
