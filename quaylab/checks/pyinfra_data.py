"""Data for pyinfra itself, which ignores keys that it doesn't know."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from quaylab.settings.loading import PYINFRA_KEY, HostInput
from quaylab.settings.types import is_ip_address

# An unknown key with an underscore may be a helper in a group_data file, as in pyinfra's own
# documentation, unless it is similar to a global argument. The cutoff is difflib's.
SIMILAR = 0.8
# Global arguments that pyinfra takes for every operation of a host, and what a run would then do.
UNSAFE = {
    "_ignore_errors": "a run would end with exit status 0 although operations failed",
    "_success_exit_codes": "failed commands would count as done",
    "_run_once": "the other hosts would get nothing",
    "_if": "operations would be skipped, and the run still end with exit status 0",
    "_serial": "hosts wait for each other",
}


def problems(host: HostInput, known: Collection[str]) -> Iterator[str]:
    """Yield misspelt keys, and values that pyinfra treats as unset.

    Args:
        known: the keys of pyinfra's connectors, and its global arguments.
    """
    for key, value in host.data.items():
        if not isinstance(key, str):
            yield f"{key!r}: in the data of {host.name}, whose keys are texts"
        elif PYINFRA_KEY.match(key) and key not in known:
            yield from _unknown(host.name, key, known)
        elif key in known and value == "":
            yield f"{key}: is empty for {host.name}; leave it out"
    yield from _port(host.name, host.data)
    yield from _target(host)
    for key, reason in UNSAFE.items():
        # Not its value, which may be a function.
        if host.data.get(key):
            yield f"{key}: is set for {host.name}; leave it out: {reason}"
    # With a negative number pyinfra runs nothing, and ends with exit status 0.
    for key, what, otherwise in (("_retries", "retries", "none"), ("_parallel", "hosts", "all")):
        number = host.data.get(key)
        if isinstance(number, int) and number < 0:
            yield (
                f"{key}: {number} is not a number of {what} of {host.name}; leave it out for "
                f"{otherwise}"
            )


def _unknown(name: str, key: str, known: Collection[str]) -> Iterator[str]:
    helper = key.startswith("_")
    family = [each for each in known if each.startswith("_") == helper]
    near = difflib.get_close_matches(key, family, n=1, cutoff=SIMILAR if helper else 0.6)
    if near:
        yield f"{key}: pyinfra has no such key for {name}; did you mean {near[0]}?"
    elif not helper:
        alike = ", ".join(sorted(each for each in family if each[:4] == key[:4]))
        yield f"{key}: pyinfra has no such key for {name}; it has: {alike}"


def _port(name: str, data: Mapping[str, Any]) -> Iterator[str]:
    port = data.get("ssh_port")
    # pyinfra turns 0 into 22.
    if isinstance(port, int) and not 1 <= port <= 65535:
        yield f"ssh_port: {port} is not a port of {name}; for example 22"


def _target(host: HostInput) -> Iterator[str]:
    """Yield why SSH would not find a host."""
    given = host.data.get("ssh_hostname")
    target = given if isinstance(given, str) else host.name.removeprefix("@ssh/")
    if target.startswith("@"):  # of another connector
        return
    where = f"ssh_hostname: {target} of {host.name}" if given else f"{host.name}:"
    if "@" in target:
        yield f"{where} has a user before the @; leave it out, and set ssh_user"
    elif ":" in target and not is_ip_address(target):
        yield f"{where} has a port after the colon; leave it out, and set ssh_port"
    elif not all(0 < len(label) < 64 for label in target.removesuffix(".").split(".")):
        yield f"{where} has a part, between dots, that is not 1 to 63 characters long; correct it"
