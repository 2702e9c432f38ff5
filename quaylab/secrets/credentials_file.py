"""The text of a credentials file, with a checksum that shows whether it is complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from quaylab.problems import Refusal
from quaylab.quoting import BlockDumper

CHECKSUM = "checksum"
HEAD = """\
# The secrets of a registry, made by Quaylab: back this file up.
# After editing it by hand, remove its last line, the checksum; the next run writes it anew.
"""


# The remedy for a file that isn't complete.
REMEDY = (
    "restore it from a backup, or move it away and read it back from the hosts by tasks/adopt.py; "
    "never delete it while the registry has data"
)


class WrongChecksum(ValueError):
    """The text was edited, or a part of it is lost."""


def read(path: Path) -> tuple[dict[str, Any], bool] | None:
    """Return a file's values, and whether a checksum confirms them; None without a file.

    Raises:
        Refusal: others may read it, it can't be read, or is not as :func:`dump` writes it.
    """
    try:
        if path.is_dir():
            raise unusable(path, "is a directory")
        if path.exists() and not path.is_file():
            raise unusable(path, "is not a file but a pipe, a socket or a device")
        if path.stat().st_mode & 0o077:
            raise Refusal([f"{path}: readable by others; run: chmod 600 {path}"])
        return parse(path.read_text())
    except FileNotFoundError:
        if path.is_symlink():
            raise Refusal(
                [f"{path}: is a link to {path.readlink()}, which isn't there; bring that back"]
            ) from None
        return None
    except OSError as error:
        raise Refusal(
            [f"{path}: can't be read: {error.strerror}; run as its owner, or chown it"]
        ) from None
    except WrongChecksum:
        raise unusable(
            path,
            "does not match its checksum. If you edited it on purpose, remove its last line, the "
            "checksum, and run again. If not, it is damaged",
        ) from None
    except ValueError:
        raise unusable(
            path, "is damaged: it does not hold the keys and values of credentials"
        ) from None


def unusable(path: Path, reason: str) -> Refusal:
    """Return the refusal of a file, with the remedy."""
    return Refusal([f"{path}: {reason}; {REMEDY}"])


def dump(values: Mapping[str, Any]) -> str:
    """Return the text for values; its last line is their checksum."""
    with_checksum = {**values, CHECKSUM: _checksum(values)}
    return HEAD + yaml.dump(with_checksum, Dumper=BlockDumper, sort_keys=False)


def parse(text: str) -> tuple[dict[str, Any], bool]:
    """Return the values of a text, and whether a checksum confirms them.

    Raises:
        WrongChecksum: there is a checksum of other values.
        ValueError: the text is not a YAML mapping.
    """
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        # The error's own text could quote a secret.
        raise ValueError("no YAML") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError("no mapping")
    if CHECKSUM not in values:
        return values, False
    if values.pop(CHECKSUM) != _checksum(values):
        raise WrongChecksum
    return values, True


def replace(path: Path, text: str, mode: int) -> None:
    """Write ``path``, or the file that it links to, atomically: after a crash there is the old or
    the new file, never a part of it."""
    target = path.resolve()
    new = target.with_suffix(target.suffix + ".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(target)
    # Only now a power cut leaves the new file. Some network file systems can't promise it.
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):
        os.fsync(folder)
    os.close(folder)


def _checksum(values: Mapping[str, Any]) -> str:
    """Return a checksum of the values, not of the text: comments and line ends may change."""
    canonical = json.dumps(values, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
