"""Recovery of lost credentials from a deployed registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import SecretStr

from quaylab.problems import Refusal
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials
from quaylab.services import object_store


def adopt(identity: str, superuser_password: str, bundle: Mapping[str, str]) -> Credentials:
    """Return the credentials that a registry runs with.

    Args:
        identity: the one in the labels of its data volumes.
        superuser_password: no host has it.
        bundle: the texts of ``config.yaml``, ``ssl.cert`` and ``ssl.key``, and of the lab's CA as
            ``ca.crt`` if the certificate is Quaylab's own. No host has the CA's key, so the next
            renewal makes a new CA.

    Raises:
        Refusal: the bundle is not one of Quaylab's.
    """
    try:
        config: dict[str, Any] = yaml.safe_load(bundle["config.yaml"])
        # The lab's CA may still be there from before the user's own certificate.
        is_ours = "ca.crt" in bundle and certificates.is_signed_by(
            bundle["ssl.cert"], bundle["ca.crt"]
        )
        store_keys = object_store.keys_of(config)
        return Credentials(
            identity=identity,
            database_password=SecretStr(unquote(urlsplit(str(config["DB_URI"])).password or "")),
            redis_password=SecretStr(config["BUILDLOGS_REDIS"]["password"]),
            superuser_password=SecretStr(superuser_password),
            database_secret_key=SecretStr(config["DATABASE_SECRET_KEY"]),
            secret_key=SecretStr(config["SECRET_KEY"]),
            ca_certificate=bundle["ca.crt"] if is_ours else None,
            certificate=bundle["ssl.cert"] if is_ours else None,
            certificate_key=SecretStr(bundle["ssl.key"]) if is_ours else None,
            **{key: SecretStr(value) for key, value in store_keys.items()},  # type: ignore[arg-type]
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        # The error's own text could quote a secret.
        raise Refusal(
            ["config.yaml: is not as Quaylab writes it; restore the credentials from a backup"]
        ) from None
