"""What holds for every service."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from quaylab.engines import DOCKER
from quaylab.secrets.credentials import Credentials
from quaylab.services import BY_NAME, SERVICES
from quaylab.services.base import Service, Workload
from quaylab.settings.loading import Settings
from tests.leaks import leaked
from tests.unit.samples import PARTS, SECRETS, certified, context, settings, workload

NAME = "quay.example.com"
LOGGED_SIZE = {"container_log_size": "5m", "container_log_files": 7}
SECRET_KEYS = [(service.name, secret.key) for service in SERVICES for secret in service.secrets]


def _all(**changes: Any) -> list[Workload]:
    return [workload(service, **changes) for service in PARTS]


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_command_lines_hold_no_secret(engine: str) -> None:
    for each in _all(database_engine=engine):
        line = " ".join(DOCKER.run_arguments(each.container))
        assert leaked(SECRETS, line) == []
        assert "PRIVATE KEY" not in line


def test_only_the_containers_user_may_read_the_files() -> None:
    for each in _all():
        for file in each.files:
            assert file.mode in (0o400, 0o600)
            assert file.uid != 0


def test_a_changed_file_is_a_changed_container() -> None:
    other = certified().model_copy(update={"redis_password": SecretStr("another")})
    changed = workload("redis", credentials=other)
    assert changed.container.digest != workload("redis").container.digest


def test_logs_are_rotated_as_configured() -> None:
    for each in _all(**LOGGED_SIZE):
        assert (each.container.log_size, each.container.log_files) == ("5m", 7)


def test_nothing_is_privileged() -> None:
    assert not any(each.container.privileged for each in _all())


def test_containers_publish_the_ports_of_their_service() -> None:
    run = context()
    for name in PARTS:
        ports = tuple(port.published for port in BY_NAME[name].ports(run, NAME))
        assert workload(name).container.ports == ports


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_settings_that_a_service_names_exist(service: Service) -> None:
    assert set(service.directories) <= Settings.model_fields.keys()
    if service.name in PARTS:
        for port in service.ports(context(), NAME):
            assert port.setting in Settings.model_fields
        volume = workload(service.name).volume
        assert volume is None or volume.setting in service.directories


@pytest.mark.parametrize(("service", "key"), SECRET_KEYS)
def test_saved_secrets_are_fields_of_the_credentials(service: str, key: str) -> None:
    (secret,) = [each for each in BY_NAME[service].secrets if each.key == key]
    assert (key in Credentials.model_fields) is secret.is_stored


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_needs_are_secrets_of_the_service(service: Service) -> None:
    groups = {each.name: (NAME,) for each in SERVICES}
    for changes in ({}, {"ceph_swift": True}, {"storage": "s3"}):
        needs = {need.key for need in service.needs(settings(**changes), groups)}
        assert needs <= {secret.key for secret in service.secrets}
