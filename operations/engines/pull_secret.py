"""The login for the images' registry."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation

from operations.hosts import files
from operations.runtime.commands import connector_arguments, fail
from quaylab.model import ManagedFile


@operation()
def merged(secret: Path, user: str) -> Generator[StringCommand]:
    """Merge the logins of a config.json into a user's config.json; its other entries stay.

    + secret: the config.json on this machine
    + user: the user on the host who pulls
    """
    # Not by a fact: -vvv prints a fact's output.
    ok, output = host.run_shell_command(
        StringCommand(
            f'entry=$(getent passwd {user}) && echo "$entry" &&',
            'home=$(echo "$entry" | cut -d: -f6) && stat -c %u:%g:%a "$home/.docker/config.json"',
            '2>/dev/null && cat "$home/.docker/config.json" || test -n "$entry"',
        ),
        **connector_arguments(host),
    )
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
    content = json.dumps(wanted, indent=2) + "\n"
    yield files.write(ManagedFile(path, content, uid=int(uid), gid=int(gid), mode=0o600))
