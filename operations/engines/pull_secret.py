"""The login for the images' registry."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from operations.runtime.commands import connector_arguments, encoded, fail, receive

# As the user, who may have put a link to a file of root's in each place. $1 is the user's home.
READ = """
file=$1/.docker/config.json
test ! -e "$file" || { stat -c %u:%g:%a "$file" && cat "$file"; }
"""


@operation()
def merged(secret: Path, user: str) -> Generator[StringCommand]:
    """Merge the logins of a config.json into a user's config.json; its other entries stay.

    + secret: the config.json on this machine
    + user: the user on the host who pulls
    """
    # Not by a fact: -vvv prints a fact's output.
    ok, output = host.run_shell_command(
        StringCommand(
            "entry=$(getent passwd",
            QuoteString(user),
            ') && echo "$entry" &&',
            'home=$(echo "$entry" | cut -d: -f6) &&',
            _as_user(user, QuoteString(READ), '"$home"'),
        ),
        **connector_arguments(host),
    )
    if not ok and output.stdout_lines:
        yield fail(f"pull_secret_user: {user} can't read its own .docker/config.json; repair it")
        return
    if not ok:
        yield fail(f"pull_secret_user: {user} is not a user of {host.name}")
        return
    entry, *rest = output.stdout_lines
    _, _, uid, gid, _, home, *_ = entry.split(":")
    state, text = (rest[0], "\n".join(rest[1:])) if rest else ("", "{}")
    path = f"{home}/.docker/config.json"
    logins = json.loads(secret.read_text())["auths"]
    try:
        found: dict[str, Any] = json.loads(text)
        wanted = {**found, "auths": {**(found.get("auths") or {}), **logins}}
    except (ValueError, TypeError, AttributeError):
        yield fail(
            f"{path} is not JSON as Docker writes it; repair it, or remove it if its owner doesn't "
            "need its content"
        )
        return
    if wanted == found and state == f"{uid}:{gid}:600":
        host.noop(f"{path} has the logins")
        return
    content = (json.dumps(wanted, indent=2) + "\n").encode()
    new = StringCommand('"$1/.docker/config.json.new"')
    write = StringCommand(
        'umask 077 && mkdir -p "$1/.docker" && rm -f', new, "&&", receive(content, new), "&&",
        "mv -fT", new, '"$1/.docker/config.json"',
    )  # fmt: skip
    unwritable = (
        f"pull_secret_user: {user} can't write {path}; make {user} the owner of that file and of "
        "its folder"
    )
    yield StringCommand(
        _as_user(user, QuoteString(write), QuoteString(home)), "|| {", fail(unwritable), "; }",
        _stdin=encoded(content),
    )  # fmt: skip


def _as_user(user: str, script: QuoteString, home: QuoteString | str) -> StringCommand:
    """Return a command that runs a script as a user; its $1 is the user's home."""
    # Not in root's directory, which the user may not enter.
    return StringCommand("cd / && runuser -u", QuoteString(user), "-- sh -c", script, "sh", home)
