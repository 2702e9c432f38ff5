"""Calls of kubectl, or oc, on the host where it is logged in.

Manifests go through standard input and never into arguments. What may be secret is read by these
functions and not by facts, whose output pyinfra prints at -vvv.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyinfra.api import Host, QuoteString, StringCommand

from facts.openshift import CLIENT
from operations.runtime.commands import inventory_arguments
from quaylab.openshift.cluster import Access
from quaylab.openshift.objects import DEPLOYMENT, FIELD_MANAGER, Kind, Manifest

SERVER_SIDE = ("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}")
# Lines of kubectl's own log, which repeat the error for each attempt.
NOISE = re.compile(r"[EFIW][0-9]{4} [0-9:.]+ ")
FROM_INPUT = "--filename=-"


class ClusterError(Exception):
    """What kubectl says of a call that failed, in one line or a few."""


def command(access: Access, *words: str, after: str = "", stdin: str = "") -> StringCommand:
    """Return a call of kubectl.

    + after: shell words after the arguments, such as a redirection
    + stdin: its standard input
    """
    call = [CLIENT, *map(QuoteString, (*access.options, *words)), *([after] if after else [])]
    if not stdin:
        return StringCommand(*call, "</dev/null")
    # It may end before it has read its input, which pyinfra would not survive.
    return StringCommand(*call, "; code=$?; cat >/dev/null; exit $code", _stdin=stdin)


def ask(host: Host, access: Access, *words: str, stdin: str = "") -> str:
    """Return the output of a call.

    Raises:
        ClusterError: it failed.
    """
    return run(host, command(access, *words, stdin=stdin), stdin)


def run(host: Host, call: StringCommand, stdin: str = "") -> str:
    """Return the output of a call, as :func:`ask` does."""
    given = {"_stdin": stdin} if stdin else {}
    ok, output = host.run_shell_command(call, **{**inventory_arguments(host), **given})
    if not ok:
        said = [line for line in output.stderr.splitlines() if line and not NOISE.match(line)]
        raise ClusterError("\n".join(said) or "kubectl failed, and says nothing")
    return str(output.stdout)


def selector(labels: Mapping[str, str]) -> str:
    """Return labels as kubectl's ``--selector`` takes them."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def as_input(manifests: Iterable[Manifest]) -> str:
    """Return manifests as kubectl's standard input, one in a line.

    Not as a List: kubectl checks that by itself, by a schema that it fetches first, and leaves
    single objects to the server.
    """
    return "".join(f"{json.dumps(each)}\n" for each in manifests)


def parsed(output: str) -> list[dict[str, Any]]:
    """Return the objects in kubectl's JSON: none, one, a list, or one after the other."""
    decoder, text, start = json.JSONDecoder(), output.strip(), 0
    found: list[dict[str, Any]] = []
    while start < len(text):
        value, end = decoder.raw_decode(text, start)
        found += value["items"] if value["kind"].endswith("List") else [value]
        start = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def existing(host: Host, access: Access, manifests: Iterable[Manifest]) -> list[dict[str, Any]]:
    """Return those objects that are there.

    Raises:
        ClusterError: the cluster can't be asked, or its API has no such kind.
    """
    names = [
        {
            "apiVersion": each["apiVersion"],
            "kind": each["kind"],
            "metadata": {key: each["metadata"][key] for key in ("name", "namespace")},
        }
        for each in manifests
    ]
    if not names:
        return []
    # With the times at which their fields were changed.
    words = ("get", FROM_INPUT, "--ignore-not-found", "--show-managed-fields", "--output=json")
    return parsed(ask(host, access, *words, stdin=as_input(names)))


def named(host: Host, access: Access, kind: Kind, name: str) -> dict[str, Any] | None:
    """Return an object that holds no secrets; None: there is none.

    Raises:
        ClusterError: the cluster can't be asked, or its API has no such kind.
    """
    words = ("get", kind.argument, name, "--ignore-not-found", "--output=json")
    return next(iter(parsed(ask(host, access, *words))), None)


def rehearsed(host: Host, access: Access, manifests: Iterable[Manifest]) -> list[dict[str, Any]]:
    """Return what the server would make of these manifests, by its own dry run.

    Raises:
        ClusterError: it refuses one of them.
    """
    given = as_input(manifests)
    if not given:
        return []
    words = (*SERVER_SIDE, "--dry-run=server", FROM_INPUT, "--output=json")
    return parsed(ask(host, access, *words, stdin=given))


def applied(access: Access, manifests: Iterable[Manifest]) -> StringCommand:
    """Return the call that makes the cluster's objects as these manifests say."""
    return command(access, *SERVER_SIDE, FROM_INPUT, after=">/dev/null", stdin=as_input(manifests))


def deleted(
    access: Access, objects: Mapping[Kind, Iterable[str]], cascade: str = "foreground"
) -> StringCommand:
    """Return the call that deletes objects in their order, and waits until they are gone.

    + objects: their names by kind
    + cascade: ``foreground`` deletes what they own as well, ``orphan`` leaves it there
    """
    return command(
        access,
        "delete",
        *(f"{kind.argument}/{name}" for kind, names in objects.items() for name in names),
        "--ignore-not-found",
        f"--cascade={cascade}",
        "--timeout=5m",
        after=">/dev/null",
    )


def patched(access: Access, kind: Kind, name: str, patch: Manifest) -> StringCommand:
    """Return the call that merges a patch, which holds no secrets, into an object."""
    words = ("patch", f"{kind.argument}/{name}", "--type=merge", f"--patch={json.dumps(patch)}")
    return command(access, *words, after=">/dev/null")


def restarted(access: Access, deployment: str) -> StringCommand:
    """Return the call that replaces a deployment's pods by new ones of the same description."""
    return command(
        access, "rollout", "restart", f"{DEPLOYMENT.argument}/{deployment}", after=">/dev/null"
    )
