"""The servers that Quay connects to from inside its container."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from quaylab.services import object_store

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

DEFAULT_PORTS = {"http": 80, "https": 443}
# Run in a container with addresses and ports as arguments: it prints those that are out of reach,
# with the reason. Only with what Quay's image has: bash opens the connection.
REACH = """\
while test $# -gt 0; do
    said=$(timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1) ||
        printf '%s %s %s\\n' "$1" "$2" "${said:-no answer within 10 s}" | head -n 1
    shift 2
done"""


def connections(settings: Settings, topology: Topology) -> dict[str, tuple[str, int]]:
    """Return address and port of each service that Quay needs, by the service's name in words."""
    found = {
        "database": (topology.database.address, topology.database.port),
        "Redis": (topology.redis.address, topology.redis.port),
    }
    if topology.object_store:
        found["object store"] = (topology.object_store.address, topology.object_store.port)
        if proxy := object_store.proxy(settings, topology.object_store):
            url = urlsplit(proxy)
            port = url.port or DEFAULT_PORTS[url.scheme]
            found["proxy before the object store"] = (str(url.hostname), port)
            # Quay's nginx, which hands out blobs with storage_proxy, uses no proxy itself.
            if not settings.storage_proxy:
                del found["object store"]
    return found
