"""Redis, as Quay uses it: build logs and user events, nothing that must last."""

import json
import logging
from typing import Any

import redis

from standin import runtime
from standin.config import Settings

SECONDS = 3
log = logging.getLogger(__name__)


def client(settings: Settings, key: str, **more: Any) -> redis.Redis:
    """Return a client for that entry of config.yaml; ``more`` are arguments of redis-py."""
    # As in Quay, all keys of the entry are arguments of redis-py.
    options: dict[str, Any] = {
        "port": 6379,
        "socket_timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        **settings.values[key],
    }
    if options.get("ssl"):
        # In Quay's image, every TLS connection trusts extra_ca_certs.
        options.setdefault("ssl_ca_certs", str(runtime.CA_BUNDLE))
    return redis.Redis(**options, **more)


class UserEvents:
    """Publish in Redis what an account does; a lost event is no failure."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client(settings, "USER_EVENTS_REDIS")
        # Quay's connection for its locks, which is opened before the workers are forked.
        self._locks = client(settings, "USER_EVENTS_REDIS", single_connection_client=True)

    def publish(self, account: str, event: str, **data: str) -> None:
        """Send one event to the channel of that account."""
        try:
            self._redis.publish(f"user/{account}/{event}", json.dumps(data))
        except redis.RedisError as error:
            log.warning("user event %s not sent: %s", event, error)
