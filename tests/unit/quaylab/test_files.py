"""Files as they are against files as they have to be."""

from __future__ import annotations

import pytest

from quaylab.files import FileState, ManagedFile

WANTED = ManagedFile("/etc/quaylab/quay/config.yaml", "secret", uid=1001, gid=0, mode=0o600)


@pytest.mark.parametrize(
    ("state", "difference"),
    [
        (FileState(1001, 0, 0o600, WANTED.sha256), None),
        (FileState(1001, 0, 0o600, "0" * 64), "content"),
        (FileState(0, 0, 0o600, WANTED.sha256), "owner 0:0"),
        (FileState(1001, 1001, 0o600, WANTED.sha256), "owner 1001:1001"),
        (FileState(1001, 0, 0o644, WANTED.sha256), "mode 0644"),
    ],
    ids=["nothing", "content", "owner", "group", "mode"],
)
def test_difference(state: FileState, difference: str | None) -> None:
    assert state.differs(WANTED) == difference


def test_content_is_never_shown() -> None:
    assert "secret" not in repr(WANTED)
