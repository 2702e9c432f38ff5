"""Redis, as Quay uses it: build logs and user events, nothing that must last."""

import json
import logging
from typing import Any

import redis

from standin import runtime
from standin.config import Settings

SECONDS = 3
log = logging.getLogger(__name__)


def client(settings: Settings, key: str) -> redis.Redis:
    """A client for the entry of config.yaml with that key."""
    # As Quay does, all that the entry says is redis-py's to understand.
    options: dict[str, Any] = {
        "port": 6379,
        "socket_timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        **settings.values[key],
    }
    if options.get("ssl"):
        # What Quay's image makes of extra_ca_certs, every TLS connection there trusts.
        options.setdefault("ssl_ca_certs", str(runtime.CA_BUNDLE))
    return redis.Redis(**options)


class UserEvents:
    """Tells whoever listens at Redis what an account does; a lost event is no failure."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client(settings, "USER_EVENTS_REDIS")

    def publish(self, account: str, event: str, **data: str) -> None:
        """Send one event to the channel of that account."""
        try:
            self._redis.publish(f"user/{account}/{event}", json.dumps(data))
        except redis.RedisError as error:
            log.warning("user event %s not sent: %s", event, error)
