"""A search for secrets in what programs print, and in what others than root can read on a machine.

A leaked secret may be there as it is, in quotes or in base64, in which Quaylab sends its files. In
pyinfra's output the host is in front of each line, so the lines of a key are searched one by one.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from quaylab.secrets.credentials import Credentials

# The end of a line, maybe escaped as in JSON, with the host that pyinfra has before the next one.
LINE_BREAK = re.compile(r"(?:\r?\n|\\n) *(?:\[[^\]\n]*\] *)?")
# Fewer characters of base64 are in other texts by chance.
SHORTEST_BASE64 = 8


def secrets_of(credentials: Credentials) -> dict[str, str]:
    """Return the secrets of credentials by name. Several passwords are one text, one in a line."""
    several = {name: value if isinstance(value, tuple) else (value,) for name, value in credentials}
    found = {
        name: "\n".join(each.get_secret_value() for each in values if isinstance(each, SecretStr))
        for name, values in several.items()
    }
    return {name: text for name, text in found.items() if text}


def leaked(secrets: Mapping[str, str], text: str) -> list[str]:
    """Return the names of the secrets that are in a text."""
    joined = LINE_BREAK.sub("", text)
    return [
        name
        for name, secret in secrets.items()
        if any(
            form in text or any(part in joined for part in _in_base64(form))
            for line in _lines(secret)
            for form in _forms(line)
        )
    ]


def _lines(secret: str) -> list[str]:
    """Return the lines of a secret; of a key those that tell it from its certificate."""
    lines = [line for line in secret.splitlines() if line and "-----" not in line]
    # A key's last line may have no more than its public half.
    return lines[:-1] if "-----BEGIN " in secret and len(lines) > 1 else lines


def _forms(line: str) -> set[str]:
    """Return a line as it is, in a text of JSON and in quotes of a shell."""
    return {line, json.dumps(line, ensure_ascii=False)[1:-1], line.replace("'", "'\"'\"'")}


def _in_base64(text: str) -> Iterator[str]:
    """Yield what base64 has of a text, by the three places at which it can begin in the groups of
    three bytes. Characters that depend on the neighbours as well are left out."""
    content = text.encode()
    for before in range(3):
        packed = b64encode(bytes(before) + content).decode()
        part = packed[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        if len(part) >= SHORTEST_BASE64:
            yield part
