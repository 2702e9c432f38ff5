"""Files with owner and mode. They may be secret: no argv, log or readable file shows them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from operations.runtime.commands import encoded, fail, receive
from operations.runtime.observation import ask_each
from quaylab.model import ManagedFile
from quaylab.paths import ETC


@operation()
def present(files: Iterable[ManagedFile]) -> Generator[StringCommand]:
    """Write files that differ in content, owner or mode.

    + files: the files with content, owner and mode; root owns the directories that are created

    **Example:**

    .. code:: python

        files.present(
            name="Write Redis' environment",
            files=plan.workload("redis", host.name).files,
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
            # In place: rewriting the file would restart its container.
            path = QuoteString(file.path)
            yield StringCommand(
                f"chown {file.uid}:{file.gid}", path, f"&& chmod {file.mode:04o}", path
            )
        else:
            differing.append(file)
    if differing:
        yield write(*differing)


def write(*files: ManagedFile) -> StringCommand:
    """Replace files, each atomically. Their contents go through standard input, one after the
    other; until the last step only root can read what is on disk."""
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
    message = f"{file.path} has to be a file and is a directory with something in it; move it away"
    return StringCommand(
        "umask 022 && mkdir -p", QuoteString(str(PurePosixPath(file.path).parent)),
        "&& umask 077 && { test ! -d", path, "|| test -L", path,
        "|| rmdir", path, "2>/dev/null || {", fail(message), "; }; } &&",
        "rm -f", new, "&&", receive(content, new), f"&& chown {file.uid}:{file.gid}", new,
        f"&& chmod {file.mode:04o}", new, "&& mv -fT", new, path,
    )  # fmt: skip
