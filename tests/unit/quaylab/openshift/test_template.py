"""openshift/quay-enterprise-template.yml is made from the description, and processes to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab.openshift import template
from tests.unit import cluster_schemas, clusters

VALUES = {
    "SERVER_HOSTNAME": "quay.example.com",
    "AUTH_KEY": "dXNlcjpwYXNz",
    "DATABASE_PASSWORD": "123456",
    "REDIS_PASSWORD": "1e5",
    "DATABASE_SECRET_KEY": "00000001",
    "SECRET_KEY": "secretkey",
    "PAGE_TOKEN_KEY": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=",
    "SSL_CERT": "cGVt",
    "SSL_KEY": "cGVt",
}


def _processed(value: Any, values: Mapping[str, str]) -> Any:
    """Return a template's value as `oc process` does: each text with its parameters' values."""
    if isinstance(value, dict):
        return {key: _processed(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_processed(each, values) for each in value]
    if isinstance(value, str):
        return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values[found[1]], value)
    return value


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(template.FILE.read_text())
    return found


def test_the_file_is_up_to_date() -> None:
    assert template.FILE.read_text() == template.text(), (
        "run: python -m quaylab.openshift.template >openshift/quay-enterprise-template.yml"
    )


def test_the_template_follows_its_schema(made: dict[str, Any]) -> None:
    cluster_schemas.check(made, "1.32")


def test_no_parameter_has_a_value_that_everybody_knows(made: dict[str, Any]) -> None:
    assert [each["name"] for each in made["parameters"]] == list(VALUES)
    assert all(each["required"] and "value" not in each for each in made["parameters"])


def test_every_word_was_replaced(made: dict[str, Any]) -> None:
    text = json.dumps(made)
    assert [word for _, word in template.PARAMETERS.values() if word in text] == []


@pytest.mark.parametrize("version", ["1.25", "1.32", "1.37"])
def test_processed_objects_follow_the_schemas(made: dict[str, Any], version: str) -> None:
    for manifest in _processed(made["objects"], VALUES):
        cluster_schemas.check(manifest, version)


def test_numbers_stay_texts_in_config_yaml(made: dict[str, Any]) -> None:
    (bundle,) = [
        each for each in made["objects"] if each["metadata"]["name"] == "quaylab-quay-bundle"
    ]
    config = yaml.safe_load(_processed(bundle, VALUES)["stringData"]["config.yaml"])
    assert config["DATABASE_SECRET_KEY"] == "00000001"
    assert config["BUILDLOGS_REDIS"]["password"] == "1e5"
    assert config["DB_URI"] == "postgresql://quay:123456@quaylab-database:5432/quay"
    assert config["PAGE_TOKEN_KEY"] == VALUES["PAGE_TOKEN_KEY"]


def test_the_objects_are_those_of_the_task(made: dict[str, Any], tmp_path: Path) -> None:
    """But for the check from inside, and what only a run of Quaylab's needs."""
    described = clusters.describe(pull_secret=clusters.pull_secret(tmp_path))
    names = {str(each) for each in (*described.lasting, described.migration)}
    found = {f"{each['kind']} {each['metadata']['name']}" for each in made["objects"]}
    assert found == names
    deployments = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in made["objects"]
        if each["kind"] == "Deployment"
    }
    for manifest in clusters.manifests(described):
        if manifest["kind"] == "Deployment":
            name, spec = manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
            # Of the labels, the instance is another.
            text = json.dumps(deployments[name]).replace(template.NAME, clusters.SCOPE.instance)
            assert json.loads(text) == spec
