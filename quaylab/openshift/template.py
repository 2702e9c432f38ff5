"""openshift/quay-enterprise-template.yml: the same objects, for `oc process` by hand.

``python -m quaylab.openshift.template`` prints it. A test compares the file with it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import SecretStr

from quaylab import topology
from quaylab.openshift import description, layout, quay
from quaylab.openshift.objects import (
    DIGEST,
    OWNER,
    SECRET,
    Object,
    Scope,
)
from quaylab.openshift.pods import PULL_SECRET
from quaylab.paths import ROOT
from quaylab.quoting import BlockDumper
from quaylab.secrets.certificates import ServerCertificate
from quaylab.secrets.credentials import Credentials
from quaylab.services import quay as quay_service
from quaylab.services import quay_config
from quaylab.services.base import Context
from quaylab.settings.loading import HostInput, Settings
from quaylab.settings.reference import defaults

FILE = ROOT / "openshift" / "quay-enterprise-template.yml"
NAME = "quay-enterprise"
INTRODUCTION = """\
# Quay with PostgreSQL and Redis in a project of OpenShift, with the blobs in a volume. It is made
# from the objects of tasks/openshift.py by `python -m quaylab.openshift.template`; don't edit it.
# docs/openshift.md says how to process it, and what the task does beside making objects.
"""
# The parameters, each with its description and the word that stands in its place while the objects
# are made: one that no quoting changes.
PARAMETERS: Mapping[str, tuple[str, str]] = {
    "SERVER_HOSTNAME": ("The registry's name, for its clients", "server-hostname.parameter.lan"),
    "AUTH_KEY": ("The field `auth` of quay.io in a config.json, without quotes", "AUTHKEY0"),
    "DATABASE_PASSWORD": ("Letters and digits; it stays the same", "DATABASEPASSWORD0"),
    "REDIS_PASSWORD": ("Letters and digits; it stays the same", "REDISPASSWORD0"),
    "DATABASE_SECRET_KEY": (
        "At most 63 letters and digits; rows are encrypted with it, so it never changes",
        "DATABASESECRETKEY0",
    ),
    "SECRET_KEY": ("Letters and digits; it never changes", "SECRETKEY0"),
    "PAGE_TOKEN_KEY": ("32 random bytes in base64, with - and _ for + and /", "PAGETOKENKEY0"),
    "SSL_CERT": ("The certificate for SERVER_HOSTNAME with its chain, PEM in base64", "SSLCERT0"),
    "SSL_KEY": ("Its key, PEM in base64", "SSLKEY0"),
}
SUPERUSER_NOTE = (
    "Quay's first user is quayadmin. Create it by a POST to "
    "https://${SERVER_HOSTNAME}/api/v1/user/initialize."
)


def build() -> dict[str, Any]:
    """Return the Template."""
    context = _context()
    words = {name: word for name, (_, word) in PARAMETERS.items()}
    scope = Scope(NAME, NAME, "", "")
    config = quay_config.build(context.settings, context.topology, context.credentials)
    # It follows from SECRET_KEY, by a function that a template hasn't.
    config["PAGE_TOKEN_KEY"] = words["PAGE_TOKEN_KEY"]
    bundle = quay.bundle(quay_service.bundle(context, config))
    login = quay.pull_secret({"quay.io": {"auth": words["AUTH_KEY"]}})
    described = description.describe(context, scope, is_openshift=True)
    objects = [
        bundle if each.key == bundle.key else each
        for each in (*described.lasting, described.migration)
    ]
    manifests = [_manifest(scope, each) for each in (login, *objects)]
    return {
        "apiVersion": "template.openshift.io/v1",
        "kind": "Template",
        "metadata": {"name": NAME},
        "message": SUPERUSER_NOTE,
        "parameters": [
            {"name": name, "description": text, "required": True}
            for name, (text, _) in PARAMETERS.items()
        ],
        "objects": [_with_parameters(each) for each in manifests],
    }


def text() -> str:
    """Return the file's text."""
    return INTRODUCTION + yaml.dump(build(), Dumper=_Dumper, sort_keys=False, width=100)


def _context() -> Context:
    """Return a registry's context with the parameters' words for its name and its secrets."""
    words = {name: word for name, (_, word) in PARAMETERS.items()}
    settings = Settings.model_validate(
        {key: value for key, value in defaults().items() if key in Settings.model_fields}
        | {
            "server_hostname": words["SERVER_HOSTNAME"],
            "openshift_kubeconfig": "/unused",
            "openshift_context": "unused",
        }
    )
    credentials = Credentials(
        identity=NAME,
        superuser_password=SecretStr("not-in-the-template"),
        database_password=SecretStr(words["DATABASE_PASSWORD"]),
        redis_password=SecretStr(words["REDIS_PASSWORD"]),
        database_secret_key=SecretStr(words["DATABASE_SECRET_KEY"]),
        secret_key=SecretStr(words["SECRET_KEY"]),
    )
    certificate = ServerCertificate(words["SSL_CERT"], SecretStr(words["SSL_KEY"]), None)
    hosts = [HostInput("client", (layout.GROUP,), {})]
    where = layout.build(settings, topology.groups(hosts), hosts)
    return Context(settings, where, credentials, certificate, certificate, {})


def _manifest(scope: Scope, wanted: Object) -> dict[str, Any]:
    """Return an object without what only runs of Quaylab's need."""
    manifest = scope.manifest(wanted)
    metadata = manifest["metadata"]
    annotations = {key: each for key, each in metadata["annotations"].items() if key != DIGEST}
    manifest["metadata"] = {
        "name": wanted.name,
        "labels": _labels(metadata["labels"]),
        **({"annotations": annotations} if annotations else {}),
    }
    if template := manifest.get("spec", {}).get("template"):
        template["metadata"] = {"labels": _labels(template["metadata"]["labels"])}
        template["spec"]["imagePullSecrets"] = [{"name": PULL_SECRET}]
    if wanted.kind is SECRET:
        # A parameter can't be put into a text in base64; certificate and key are in it already.
        texts = {key: base64.b64decode(each).decode() for key, each in manifest.pop("data").items()}
        given = {key: each for key, each in texts.items() if key.startswith("ssl.")}
        plain = {key: each for key, each in texts.items() if key not in given}
        manifest |= {"stringData": plain, **({"data": given} if given else {})}
    return manifest


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    ours = (OWNER, "app.kubernetes.io/managed-by")
    return {key: each for key, each in labels.items() if key not in ours}


def _with_parameters(value: Any) -> Any:
    """Return a value with the parameters' words replaced by the parameters."""
    if isinstance(value, dict):
        return {key: _with_parameters(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_parameters(each) for each in value]
    if isinstance(value, str):
        for name, (_, word) in PARAMETERS.items():
            # In config.yaml a value of digits would be a number.
            value = re.sub(rf"(?m)(: ){word}$", rf'\1"{word}"', value)
            value = value.replace(word, f"${{{name}}}")
    return value


class _Dumper(BlockDumper):
    """Without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    print(text(), end="")
