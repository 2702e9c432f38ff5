"""inventories/cloud: Quay on one machine, everything else elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from quaylab import plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.deploy.project import ROOT
from tests.hosts import inventory
from tests.unit.samples import certified, machine

CLOUD = ROOT / "inventories" / "cloud" / "inventory.py"
NAME = "registry.example.com"
PASSWORDS = {
    "QUAYLAB_DATABASE_PASSWORD": "database-password",
    "QUAYLAB_REDIS_PASSWORD": "redis-password",
}


def _plan(folder: Path) -> plan.Plan:
    authority = folder / "ca.pem"
    authority.write_text(certified().ca_certificate or "")
    hosts = inventory.read(CLOUD, [f"database_ca={authority}", f"redis_ca={authority}"])
    return plan.make(hosts, {NAME: machine()}, Store("cloud", folder))


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plan.Plan:
    for variable, value in PASSWORDS.items():
        monkeypatch.setenv(variable, value)
    return _plan(tmp_path)


def test_quay_alone_runs_on_the_machine(cloud: plan.Plan) -> None:
    (node,) = cloud.workloads_of(NAME)
    assert node is cloud.workload("quay", NAME)
    assert node.volume is None
    assert cloud.topology.engine_hosts() == (NAME,)


def test_quay_is_configured_with_the_clouds_services(cloud: plan.Plan) -> None:
    bundle = {file.path: file.content for file in cloud.workload("quay", NAME).files}
    config = yaml.safe_load(bundle["/etc/quaylab/quay/config.yaml"])
    assert config["SERVER_HOSTNAME"] == NAME
    assert ":database-password@quay.abc123.eu-central-1.rds.amazonaws.com:" in config["DB_URI"]
    assert "sslmode=verify-full" in config["DB_URI"]
    assert config["BUILDLOGS_REDIS"]["host"].endswith("cache.amazonaws.com")
    assert config["BUILDLOGS_REDIS"]["ssl"] is True
    driver, arguments = config["DISTRIBUTED_STORAGE_CONFIG"]["default"]
    assert driver == "S3Storage"
    assert arguments == {
        "s3_bucket": "example-quay-storage",
        "s3_region": "eu-central-1",
        "host": "s3.eu-central-1.amazonaws.com",
        "storage_path": "/datastorage/registry",
    }


def test_its_passwords_are_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        _plan(tmp_path)
    for variable in PASSWORDS:
        assert variable in str(refused.value)
    assert "STORAGE" not in str(refused.value)
