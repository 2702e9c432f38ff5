"""Quay's config.yaml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from cryptography.fernet import Fernet
from pydantic import SecretStr

from quaylab.services import BY_NAME, quay_config
from tests.authority import Authority
from tests.unit import balanced
from tests.unit.samples import CREDENTIALS, ROOT, build, host, one_host, settings

REQUIRED = (
    "AUTHENTICATION_TYPE",
    "BUILDLOGS_REDIS",
    "USER_EVENTS_REDIS",
    "DATABASE_SECRET_KEY",
    "SECRET_KEY",
    "DB_URI",
    "DISTRIBUTED_STORAGE_CONFIG",
    "DISTRIBUTED_STORAGE_PREFERENCE",
    "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS",
    "SERVER_HOSTNAME",
    "PREFERRED_URL_SCHEME",
    "SETUP_COMPLETE",
    "DEFAULT_TAG_EXPIRATION",
    "TAG_EXPIRATION_OPTIONS",
)


def _config(**changes: Any) -> dict[str, Any]:
    built = quay_config.build(settings(**changes), one_host(**changes), CREDENTIALS)
    read: dict[str, Any] = yaml.safe_load(quay_config.render(built))
    return read


@pytest.mark.parametrize("key", REQUIRED)
def test_required_key_is_there(key: str) -> None:
    assert _config()[key]


def test_first_user_can_be_made_through_the_api() -> None:
    config = _config(quay_superuser="root-user")
    assert config["FEATURE_USER_INITIALIZE"] is True
    assert config["SUPER_USERS"] == ["root-user"]


def test_is_not_in_testing_mode() -> None:
    """TESTING is Quay's default: no locks for pushes, OIDC's signatures unchecked, no mail."""
    assert _config()["TESTING"] is False


def test_only_the_registrys_own_pages_may_read_the_api() -> None:
    assert _config(quay_https_port=8443)["CORS_ORIGIN"] == ["https://quay.example.com:8443"]


def test_forwarded_client_addresses_are_not_trusted() -> None:
    assert _config()["TRUSTED_PROXY_CIDR"] == ["127.0.0.1/32"]


def test_each_balancer_may_name_the_client() -> None:
    run = balanced.run()
    config = quay_config.build(run.settings, run.topology, run.credentials)
    assert config["TRUSTED_PROXY_CIDR"] == [
        "127.0.0.1/32",
        "192.168.254.21/32",
        "192.168.254.22/32",
    ]


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("10.0.0.5", ["10.0.0.5/32"]), ("lb.example.com", []), ("fd00::5", [])],
)
def test_a_balancer_elsewhere_may_name_the_client_if_its_address_is_known(
    address: str, trusted: list[str]
) -> None:
    found = _config(balancer_host=address, server_hostname="quay.example.com")
    assert found["TRUSTED_PROXY_CIDR"] == ["127.0.0.1/32", *trusted]


@pytest.mark.parametrize(
    "trusted", ["10.0.0.0/8", [["10.0.0.0/8"]], [10], ["proxy.example.com"], None, {"10.0.0.1": 1}]
)
def test_trusted_proxies_are_a_list_of_networks(trusted: object) -> None:
    wanted = settings(quay_config={"TRUSTED_PROXY_CIDR": trusted})
    (problem,) = BY_NAME["quay"].setting_problems(wanted, {"balancer": ()})
    assert problem == (
        "quay_config: TRUSTED_PROXY_CIDR is not a list of networks; write for example "
        '["10.0.0.0/8"]'
    )


@pytest.mark.parametrize("trusted", [[], ("10.0.0.0/8", "fd00::/8"), ["10.0.0.5"]])
def test_balancers_are_added_to_your_trusted_proxies(trusted: Sequence[str]) -> None:
    found = {"quay_config": {"TRUSTED_PROXY_CIDR": trusted}, "balancer_host": "10.1.2.3"}
    assert list(BY_NAME["quay"].setting_problems(settings(**found), {"balancer": ()})) == []
    assert _config(**found)["TRUSTED_PROXY_CIDR"] == [*trusted, "10.1.2.3/32"]


def test_page_tokens_have_a_key_of_their_own() -> None:
    key = _config()["PAGE_TOKEN_KEY"]
    Fernet(key)  # fails if Quay could not read it
    assert key == _config()["PAGE_TOKEN_KEY"]
    other = CREDENTIALS.model_copy(update={"secret_key": SecretStr("another")})
    assert quay_config.build(settings(), one_host(), other)["PAGE_TOKEN_KEY"] != key


def test_every_location_is_the_one_that_exists() -> None:
    config = _config(storage_location="here")
    for key in ("USERFILES_LOCATION", "LOG_ARCHIVE_LOCATION", "ACTION_LOG_ARCHIVE_LOCATION"):
        assert config[key] == "here"


def test_pull_statistics_go_to_our_redis() -> None:
    config = _config()
    assert config["PULL_METRICS_REDIS"] == {**config["USER_EVENTS_REDIS"], "db": 0}


def test_builders_are_off() -> None:
    assert _config()["FEATURE_BUILD_SUPPORT"] is False


def test_names_lead_to_the_registry() -> None:
    config = _config(quay_https_port=8443)
    assert config["SERVER_HOSTNAME"] == "quay.example.com:8443"
    assert config["PREFERRED_URL_SCHEME"] == "https"


def test_both_redis_entries_are_the_same() -> None:
    config = _config()
    assert config["BUILDLOGS_REDIS"] == config["USER_EVENTS_REDIS"]
    assert config["BUILDLOGS_REDIS"] == {
        "host": "quaylab-redis",
        "port": 6379,
        "password": "redis-password",
    }


def test_default_tag_expiration_is_one_of_its_options() -> None:
    config = _config()
    assert config["DEFAULT_TAG_EXPIRATION"] in config["TAG_EXPIRATION_OPTIONS"]


def test_storage_locations_are_known() -> None:
    config = _config()
    stores = set(config["DISTRIBUTED_STORAGE_CONFIG"])
    for key in ("DISTRIBUTED_STORAGE_PREFERENCE", "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"):
        assert stores.issuperset(config[key])


@pytest.mark.parametrize(
    ("engine", "uri"),
    [
        ("postgresql", "postgresql://quay:database-password@quaylab-database:5432/quay"),
        ("mysql", "mysql+pymysql://quay:database-password@quaylab-database:3306/quay"),
    ],
)
def test_database_uri(engine: str, uri: str) -> None:
    assert _config(database_engine=engine)["DB_URI"] == uri


def _elsewhere(tmp_path: Path, engine: str) -> dict[str, Any]:
    """Return config.yaml with both services elsewhere, over TLS."""
    ca = Authority.new().save(tmp_path / "ca.pem")
    changes: dict[str, Any] = {
        "database_host": "db.example.com",
        "database_ca": ca,
        "database_engine": engine,
    }
    changes |= {"redis_host": "r.example.com", "redis_ca": ca}
    given, where = settings(**changes), build([host("quay.example.com", ["quay"])], **changes)
    read: dict[str, Any] = yaml.safe_load(
        quay_config.render(quay_config.build(given, where, CREDENTIALS))
    )
    return read


def test_postgresqls_certificate_is_verified_by_quay_and_by_the_migration(tmp_path: Path) -> None:
    config = _elsewhere(tmp_path, "postgresql")
    tls = {"sslmode": "verify-full", "sslrootcert": "conf/stack/database.pem"}
    assert config["DB_CONNECTION_ARGS"] == {"threadlocals": True, "autorollback": True, **tls}
    assert dict(parse_qsl(urlsplit(config["DB_URI"]).query)) == tls


def test_mysqls_certificate_is_verified(tmp_path: Path) -> None:
    config = _elsewhere(tmp_path, "mysql")
    assert config["DB_CONNECTION_ARGS"]["ssl"] == {"ca": "conf/stack/database.pem"}
    assert "?" not in config["DB_URI"]


def test_the_certificate_of_redis_is_verified(tmp_path: Path) -> None:
    config = _elsewhere(tmp_path, "postgresql")
    assert config["BUILDLOGS_REDIS"] == config["USER_EVENTS_REDIS"]
    assert config["BUILDLOGS_REDIS"] == {
        "host": "r.example.com",
        "port": 6379,
        "password": "redis-password",
        "ssl": True,
        "ssl_ca_certs": "conf/stack/redis.pem",
        "ssl_check_hostname": True,
    }


def test_further_keys_are_merged() -> None:
    config = _config(quay_config={"FEATURE_PROXY_CACHE": True, "FEATURE_USER_CREATION": True})
    assert config["FEATURE_PROXY_CACHE"] is True
    assert config["FEATURE_USER_CREATION"] is True


@pytest.mark.parametrize(
    "key",
    [
        "DB_URI",
        "SECRET_KEY",
        "SERVER_HOSTNAME",
        "SUPER_USERS",
        "DISTRIBUTED_STORAGE_CONFIG",
        "TESTING",
    ],
)
def test_key_that_other_settings_own_is_refused(key: str) -> None:
    wanted = settings(quay_config={key: "x", "FEATURE_MAILING": True})
    (problem,) = quay_config.problems(wanted, one_host(), CREDENTIALS)
    assert problem.startswith(f"quay_config: {key} ")
    assert "leave it out" in problem


def test_rendering_does_not_depend_on_the_order_of_keys() -> None:
    built = quay_config.build(settings(), one_host(), CREDENTIALS)
    turned = dict(reversed(built.items()))
    assert quay_config.render(turned) == quay_config.render(built)


@pytest.mark.parametrize("text", ["12345678e9", "1.5E-3", ".5", "0o17", "12", "-1", "0x1F", "yes"])
def test_texts_that_look_like_numbers_are_quoted(text: str) -> None:
    # PyYAML reads YAML 1.1; Quay's own check of the file reads 1.2, and would see a number.
    assert quay_config.render({"password": text}) == f"password: '{text}'\n"
    assert quay_config.render({"password": f"{text}z"}) == f"password: {text}z\n"


def test_rendering_has_no_yaml_references() -> None:
    text = quay_config.render(quay_config.build(settings(), one_host(), CREDENTIALS))
    assert text.count("host: quaylab-redis") == 3


@pytest.mark.parametrize(
    ("memory_gb", "workers"), [(0.5, 1), (1, 1), (2, 1), (4, 3), (8, 8), (64, 8)]
)
def test_workers_fit_the_memory(memory_gb: float, workers: int) -> None:
    assert quay_config.workers(int(memory_gb * 1024)) == workers


@pytest.mark.parametrize("memory_gb", range(1, 17))
def test_a_kernel_that_reports_a_little_less_changes_nothing(memory_gb: int) -> None:
    reported = memory_gb * 1024 - 150
    assert quay_config.workers(reported) == quay_config.workers(reported - 100)


# --- docs/quay-config.md ---


def _page() -> dict[str, str]:
    """Return the values of the page's table "What is set" by key, with * after those that
    quay_config may override."""
    text = (ROOT / "docs" / "quay-config.md").read_text()
    table = text.partition("## What is set\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    found = {}
    for keys, value, _ in rows:
        mark = "*" if keys.endswith("*") else ""
        found.update({f"{key}{mark}": value for key in re.findall("`([^`]+)`", keys)})
    return found


def _shortened(key: str) -> str:
    prefix = "DISTRIBUTED_STORAGE_"
    return f"{prefix}…" if key.startswith(prefix) else key


def test_the_page_lists_every_key_and_which_ones_may_be_changed() -> None:
    built = quay_config.build(settings(), one_host(), CREDENTIALS)
    fixed = {
        problem.split()[1]
        for problem in quay_config.problems(settings(quay_config=built), one_host(), CREDENTIALS)
    }
    assert set(_page()) == {_shortened(key) + ("" if key in fixed else "*") for key in built}


@pytest.mark.parametrize(
    "key",
    [
        "TESTING",
        "FEATURE_USER_CREATION*",
        "FEATURE_MAILING*",
        "FEATURE_BUILD_SUPPORT*",
        "FEATURE_RESTRICTED_V1_PUSH*",
        "TRUSTED_PROXY_CIDR*",
    ],
)
def test_the_value_is_the_one_on_the_page(key: str) -> None:
    assert _config()[key.removesuffix("*")] == yaml.safe_load(_page()[key].strip("`"))
