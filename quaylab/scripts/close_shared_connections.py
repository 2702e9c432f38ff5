"""Close the connection to Redis that the workers of a Quay share which has just started.

This runs in the container, with the Python and the configuration of Quay, once it is healthy and
before clients come. Quay opens the connection for its locks before it forks its workers (app.py,
preload_app), so they get the answers of each other. After it is closed each one opens its own.

Closed is what comes from this address and has asked for nothing yet: nobody misses it.
"""

import time

import redis
import yaml

# What redis-py sends when it connects, by the names of Redis; before 7.0 without the second part.
GREETINGS = {"NULL", "auth", "hello", "select", "client", "client|setinfo", "client|setname"}


def idle_connections(server: redis.Redis) -> set[str]:
    """Return the numbers of the connections from this address over which nobody has asked yet."""
    clients = {client["id"]: client for client in server.client_list()}
    here = address(clients[str(server.client_id())])
    return {
        number
        for number, client in clients.items()
        if client["cmd"] in GREETINGS and address(client) == here
    }


def address(client: dict[str, str]) -> str:
    """Return the address from which a client has connected."""
    return client["addr"].rpartition(":")[0]


with open("/conf/stack/config.yaml") as file:
    # All keys are arguments of redis-py, as in Quay.
    options = yaml.safe_load(file)["USER_EVENTS_REDIS"]
server = redis.Redis(**{"socket_connect_timeout": 5, "socket_timeout": 5, **options})
found = idle_connections(server)
# One that is still connecting would fail, and a program that starts would end with it.
time.sleep(1)
for number in found & idle_connections(server):
    server.client_kill_filter(_id=number)
