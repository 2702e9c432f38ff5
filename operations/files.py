"""Files with an owner and a mode, which may be secret: never in argv, a log or a wide file."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from operations.commands import encoded, fail, receive
from operations.observation import ask_each
from quaylab.model import ManagedFile
from quaylab.paths import ETC


@operation()
def present(files: Iterable[ManagedFile]) -> Generator[StringCommand]:
    """Keep files as they have to be.

    + files: the files with content, owner and mode; their directories are made for root

    **Example:**

    .. code:: python

        files.present(
            name="Write Redis' environment",
            files=lab.redis.files,
        )
    """
    wanted = list(files)
    found = ask_each(Files, [file.path for file in wanted])
    differing = []
    for file in wanted:
        state = found.get(file.path)
        difference = state.differs(file) if state else "missing"
        if difference is None:
            host.noop(f"{file.path} is as it has to be")
        elif state and state.sha256 == file.sha256:
            # In place: a rewritten file would have its container restarted.
            path = QuoteString(file.path)
            yield StringCommand(
                f"chown {file.uid}:{file.gid}", path, f"&& chmod {file.mode:04o}", path
            )
        else:
            differing.append(file)
    if differing:
        yield write(*differing)


def write(*files: ManagedFile) -> StringCommand:
    """Replace files, each atomically. Their contents go through stdin, one after the other, and
    what lies on disk before the last step is readable by root alone."""
    contents = [file.content.encode() for file in files]
    commands = [
        piece
        for file, content in zip(files, contents, strict=True)
        for piece in ("&&", _replace(file, content))
    ]
    return StringCommand(
        f"install -d -o root -g root -m 0700 {ETC}", *commands,
        _stdin="".join(map(encoded, contents)),
    )  # fmt: skip


def _replace(file: ManagedFile, content: bytes) -> StringCommand:
    path, new = QuoteString(file.path), QuoteString(f"{file.path}.new")
    occupied = f"{file.path} has to be a file and is a directory with something in it; move it away"
    return StringCommand(
        "umask 022 && mkdir -p", QuoteString(str(PurePosixPath(file.path).parent)),
        "&& umask 077 && { test ! -d", path, "|| test -L", path,
        "|| rmdir", path, "2>/dev/null || {", fail(occupied), "; }; } &&",
        "rm -f", new, "&&", receive(content, new), f"&& chown {file.uid}:{file.gid}", new,
        f"&& chmod {file.mode:04o}", new, "&& mv -fT", new, path,
    )  # fmt: skip
