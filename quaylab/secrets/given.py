"""Secrets from environment variables: the services' own, and those of a single run."""

from __future__ import annotations

import dataclasses
import difflib
import string
from collections.abc import Collection, Iterator, Mapping

from quaylab.services import SERVICES
from quaylab.services.base import Secret

PREFIX = "QUAYLAB_"
# The secrets of all services, by their keys in the credentials.
SECRETS: Mapping[str, Secret] = {
    secret.key: secret for service in SERVICES for secret in service.secrets
}
STORED = [key for key, secret in SECRETS.items() if secret.has_variable and secret.is_stored]
# The secrets of RHEL's registration, for a single run.
SUBSCRIPTION = ("rhsm_activation_key", "rhsm_password")


def variable(key: str) -> str:
    """Return the environment variable that gives a secret."""
    return f"{PREFIX}{key.upper()}"


def variables_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set for stored credentials, by key."""
    return {key: variable(key) for key in STORED if variable(key) in environment}


def misspelt_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield misspelt variables: their value would be ignored, and a secret generated instead."""
    keys = [key for key, secret in SECRETS.items() if secret.has_variable]
    known = [variable(key) for key in (*keys, *SUBSCRIPTION)]
    for name in environment:
        if name.upper().startswith(PREFIX) and name not in known:
            for near in difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8):
                yield f"{name}: no such variable; did you mean {near}?"


def problem(key: str, value: str, external: Collection[str] = ()) -> str | None:
    """Say why a value can't be that secret; None if it can. The text doesn't contain the value.

    Args:
        external: keys of external services, which may accept other characters than our images.
    """
    rule = SECRETS[key].rule
    if key in external:
        rule = dataclasses.replace(rule, signs=string.punctuation)
    return rule.problem(value)
