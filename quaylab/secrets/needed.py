"""The credentials that a run needs: those that are generated, and those that must be given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from quaylab.problems import refuse
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials, Store, with_missing_secrets, with_new_passwords
from quaylab.secrets.credentials_file import unusable
from quaylab.secrets.given import variables_in
from quaylab.services import SERVICES
from quaylab.services.base import Groups, Maker
from quaylab.settings.loading import Settings


def load(
    settings: Settings,
    store: Store,
    groups: Groups,
    ask: Callable[[str], str] | None,
    rotate: bool,
    deploys: bool,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """Return the credentials of a run; :func:`quaylab.plan.make` describes the arguments.

    Raises:
        Refusal: one is missing or invalid, or there is nothing to rotate.
    """
    needs = [need for service in SERVICES for need in service.needs(settings, groups)]
    credentials = store.load(
        environment,
        required=[need.key for need in needs if need.maker is Maker.OTHERS and deploys],
        ask=ask,
        external=[need.key for need in needs if need.maker is not Maker.QUAYLAB],
        needs_ca=settings.tls_certificate is None,
    )
    if mismatches := certificates.mismatches(credentials):
        raise unusable(store.path, "; ".join(mismatches))
    ours = [need for need in needs if need.maker is Maker.QUAYLAB]
    credentials = with_missing_secrets(credentials, (need.key for need in ours))
    if rotate:
        refuse(_rotation_problems(store, environment))
        credentials = with_new_passwords(
            credentials, [need.key for need in ours if need.is_rotated]
        )
    return credentials


def _rotation_problems(store: Store, environment: Mapping[str, str]) -> list[str]:
    problems = [
        f"{variable}: is set, and would come before the rotated password; unset it"
        for variable in variables_in(environment).values()
    ]
    if not store.exists:
        problems.append(f"{store.path}: is not there, so there is nothing to rotate; deploy first")
    return problems
