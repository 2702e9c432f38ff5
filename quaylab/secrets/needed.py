"""Which credentials a run needs: what is made here, and what only somebody else can give."""

from __future__ import annotations

import os
from collections.abc import Callable

from quaylab.problems import refuse
from quaylab.secrets import certificates
from quaylab.secrets.credentials import (
    GIVEN,
    STORAGE,
    Credentials,
    Store,
    given_by,
    rotated,
    with_storage_keys,
    with_swift_password,
)
from quaylab.secrets.credentials_file import unusable
from quaylab.settings import HostInput, Settings
from quaylab.topology import storage_kind


def load(
    settings: Settings,
    store: Store,
    hosts: list[HostInput],
    ask: Callable[[str], str] | None,
    rotate: bool,
    demand: bool,
) -> Credentials:
    """The credentials of a run; see :func:`quaylab.plan.make` for its arguments.

    Raises:
        Refusal: one is not to be had, or there is nothing to rotate.
    """
    kind = storage_kind(settings, hosts)
    makes_store = kind == "radosgw" and settings.storage_host is None
    foreign = {
        "database_password": settings.database_host,
        "redis_password": settings.redis_host,
    }
    elsewhere = [key for key, host in foreign.items() if host]
    # An administrator sets the role's password, so it can be made here.
    unknown = [
        key for key in elsewhere if key != "database_password" or not settings.database_admin
    ]
    needs_keys = kind != "local" and not settings.storage_iam_role
    if needs_keys and not makes_store:
        unknown += STORAGE
    credentials = store.load(
        foreign=unknown if demand else (),
        ask=ask,
        elsewhere=elsewhere,
        needs_ca=settings.tls_certificate is None,
    )
    if mismatches := certificates.mismatches(credentials):
        raise unusable(store.path, "; ".join(mismatches))
    if needs_keys and makes_store:
        credentials = with_storage_keys(credentials)
        if settings.ceph_swift:
            credentials = with_swift_password(credentials)
    if rotate:
        refuse(_rotation_problems(store))
        mine = [key for key in GIVEN if key not in elsewhere]
        mine += ["storage_secret_key"] if needs_keys and makes_store else []
        mine += ["swift_password"] if credentials.swift_password else []
        credentials = rotated(credentials, mine)
    return credentials


def _rotation_problems(store: Store) -> list[str]:
    problems = [
        f"{variable}: is set, and would come before the rotated password; unset it"
        for variable in given_by(os.environ).values()
    ]
    if not store.exists:
        problems.append(f"{store.path}: is not there, so there is nothing to rotate; deploy first")
    return problems
