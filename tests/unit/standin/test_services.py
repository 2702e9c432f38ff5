"""The stand-in's nginx: whom it believes the client's address, as Quay does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from quaylab.services import quay_config
from tests.unit import balanced
from tests.unit.samples import CREDENTIALS, ROOT, one_host, settings

sys.path.append(str(ROOT / "images" / "quay"))

from standin import config, services


def _nginx(values: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return nginx's configuration for a config.yaml."""
    (folder / "stack").mkdir()
    (folder / "stack" / "config.yaml").write_text(quay_config.render(values))
    monkeypatch.setenv("QUAYCONF", str(folder))
    monkeypatch.setenv("QUAY_VERSION", "v3.18.0")
    return services.nginx_configuration(config.load())


def _trusted(text: str) -> list[str]:
    lines = [each.strip() for each in text.split(";")]
    return [
        line.rpartition("set_real_ip_from ")[2] for line in lines if "set_real_ip_from " in line
    ]


def test_one_host_trusts_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = quay_config.build(settings(), one_host(), CREDENTIALS)
    assert _trusted(_nginx(values, tmp_path, monkeypatch)) == ["127.0.0.1/32"]


def test_each_balancer_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = balanced.run()
    values = quay_config.build(run.settings, run.topology, run.credentials)
    assert _trusted(_nginx(values, tmp_path, monkeypatch)) == [
        "127.0.0.1/32",
        "192.168.254.21/32",
        "192.168.254.22/32",
    ]


@pytest.mark.parametrize("given", [None, []], ids=["not set", "empty"])
def test_quays_default_trusts_everybody(
    given: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = quay_config.build(settings(), one_host(), CREDENTIALS)
    del values["TRUSTED_PROXY_CIDR"]
    if given is not None:
        values["TRUSTED_PROXY_CIDR"] = given
    assert _trusted(_nginx(values, tmp_path, monkeypatch)) == ["0.0.0.0/0"]
