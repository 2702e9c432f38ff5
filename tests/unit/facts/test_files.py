"""The fact about files."""

from __future__ import annotations

import os
from pathlib import Path

from facts.files import Files
from quaylab.model import FileState, ManagedFile
from tests.unit.shell import Shell


def test_files(shell: Shell, tmp_path: Path) -> None:
    odd = tmp_path / "it's odd $HOME"
    odd.write_text("content")
    odd.chmod(0o640)
    (tmp_path / "link").symlink_to(odd)
    paths = [str(tmp_path / name) for name in (odd.name, "link", "missing")] + [str(tmp_path)]
    states = Files().process(shell.lines(Files().command(paths=paths)))
    wanted = ManagedFile(str(odd), "content")
    assert states == {str(odd): FileState(os.getuid(), odd.stat().st_gid, 0o640, wanted.sha256)}
