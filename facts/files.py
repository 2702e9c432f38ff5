"""The owner, mode and content of many files at once."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.model import FileState


class Files(FactBase[dict[str, FileState]]):
    """The states of the paths that are regular files."""

    def command(self, paths: list[str]) -> StringCommand:
        return StringCommand(
            "for path in",
            *(QuoteString(path) for path in paths),
            '; do test ! -f "$path" || test -L "$path" || printf "%s %s %s\\n"',
            '"$(stat -c "%u %g %a" "$path")" "$(sha256sum <"$path" | cut -d" " -f1)" "$path"; done',
        )

    @staticmethod
    def default() -> dict[str, FileState]:
        return {}

    def process(self, output: list[str]) -> dict[str, FileState]:
        states = {}
        for line in output:
            uid, gid, mode, sha256, path = line.split(" ", 4)
            states[path] = FileState(int(uid), int(gid), int(mode, 8), sha256)
        return states


class Paths(FactBase[list[str]]):
    """The paths that exist, whatever they are."""

    def command(self, paths: list[str]) -> StringCommand:
        names = [QuoteString(path) for path in paths]
        return StringCommand("for path in", *names, '; do test ! -e "$path" || echo "$path"; done')

    @staticmethod
    def default() -> list[str]:
        return []

    def process(self, output: list[str]) -> list[str]:
        return output
