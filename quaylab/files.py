"""Files that land on hosts, with their owner and mode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ManagedFile:
    """A file as it has to be. The content may be secret and is never shown."""

    path: str
    content: str = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o644

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class FileState:
    """A file as it is."""

    uid: int
    gid: int
    mode: int
    sha256: str

    def differs(self, wanted: ManagedFile) -> str | None:
        """What differs, in words; None if nothing does."""
        if self.sha256 != wanted.sha256:
            return "content"
        if (self.uid, self.gid) != (wanted.uid, wanted.gid):
            return f"owner {self.uid}:{self.gid}"
        if self.mode != wanted.mode:
            return f"mode {self.mode:04o}"
        return None
