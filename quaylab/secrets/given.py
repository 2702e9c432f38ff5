"""Secrets that the environment gives: the services' own, and what is used once and not kept."""

from __future__ import annotations

import dataclasses
import difflib
import string
from collections.abc import Collection, Iterator, Mapping

from quaylab.services import SERVICES
from quaylab.services.base import Secret

PREFIX = "QUAYLAB_"
# By their fields in the credentials.
SECRETS: Mapping[str, Secret] = {
    secret.key: secret for service in SERVICES for secret in service.secrets
}
KEPT = [key for key, secret in SECRETS.items() if secret.is_given and secret.is_kept]
# What RHEL's subscription takes for one run.
SUBSCRIPTION = ("rhsm_activation_key", "rhsm_password")


def variable(key: str) -> str:
    """The environment's variable that gives a secret."""
    return f"{PREFIX}{key.upper()}"


def given_by(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that give a credential, by its key."""
    return {key: variable(key) for key in KEPT if variable(key) in environment}


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables that nobody reads, so that what they give would be made here instead."""
    given = [key for key, secret in SECRETS.items() if secret.is_given]
    known = [variable(key) for key in (*given, *SUBSCRIPTION)]
    for name in environment:
        if name.upper().startswith(PREFIX) and name not in known:
            for near in difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8):
                yield f"{name}: no such variable; did you mean {near}?"


def problem(key: str, value: str, elsewhere: Collection[str] = ()) -> str | None:
    """Why a value can't be that secret, or None; the value itself isn't told.

    Args:
        elsewhere: the keys whose services run elsewhere, and take what others made.
    """
    rule = SECRETS[key].rule
    if key in elsewhere:
        rule = dataclasses.replace(rule, signs=string.punctuation)
    return rule.problem(value)
