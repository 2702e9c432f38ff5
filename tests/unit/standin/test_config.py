"""How the stand-in reads its configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quaylab.services import quay_config
from tests.unit.samples import CREDENTIALS, ROOT, one_host, settings

sys.path.append(str(ROOT / "images" / "quay"))

from standin import config


@pytest.mark.parametrize("ours", [True, False], ids=["as Quaylab writes it", "Quay's default"])
def test_testing_mode_is_logged(
    ours: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = quay_config.build(settings(), one_host(), CREDENTIALS)
    if not ours:
        del values["TESTING"]
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "config.yaml").write_text(quay_config.render(values))
    monkeypatch.setenv("QUAYCONF", str(tmp_path))

    assert config.load().is_testing is not ours
    assert ("Detected TESTING: true" in capsys.readouterr().err) is not ours
