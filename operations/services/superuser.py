"""Quay's first user, and what it does to show that the registry works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from operator import not_

from pyinfra.api import Host

from operations.credentials import save
from operations.runtime.commands import complain
from operations.runtime.waiting import wait
from quaylab.clients.registry import Health, Registry, RegistryError
from quaylab.plan import Plan

VERIFICATION = "quaylab-verification-"
# Opens a client of the registry.
Open = Callable[[], AbstractContextManager[Registry]]


def refusal(open_registry: Open) -> str | None:
    """Return why the registry doesn't answer; None if it does, and is well."""
    try:
        with open_registry() as quay:
            health = quay.health("instance")
    except RegistryError as error:
        return str(error)
    return None if health.ok else f"failing: {health.failing}"


def await_answer(open_registry: Open, seconds: float, pause: float) -> str | None:
    """Wait until the registry answers and is well; return why it isn't after so many seconds."""
    return wait(partial(refusal, open_registry), seconds, until=not_, pause=pause)


def good_health(plan: Plan, open_registry: Open) -> Health:
    """Return the registry's end-to-end health.

    Raises:
        RegistryError: it doesn't answer, or its health is bad.
    """
    with open_registry() as quay:
        health = quay.health()
    if not health.ok:
        raise RegistryError(f"/health/endtoend of {plan.topology.url}: failing: {health.failing}")
    return health


def is_known(plan: Plan, open_registry: Open) -> bool | None:
    """Return whether Quay has its superuser; None if it can't be asked."""
    try:
        with open_registry() as quay:
            return _is_superuser(quay, plan)
    except RegistryError:
        return None


def _is_superuser(quay: Registry, plan: Plan) -> bool:
    password = plan.credentials.superuser_password.get_secret_value()
    return quay.sign_in(plan.settings.quay_superuser, password) and quay.is_superuser()


def create(host: Host, plan: Plan, open_registry: Open, is_refused: bool) -> bool:
    """Create the superuser, or set its password. ``is_refused``: Quay just refused the new one."""
    user = plan.settings.quay_superuser
    password = plan.credentials.superuser_password.get_secret_value()
    try:
        with open_registry() as quay:
            is_created = quay.initialize(user, password, plan.settings.quay_superuser_email)
            if is_created:
                signed_in = quay.sign_in(user, password)
            else:
                # After each wrong password Quay locks the user out for twice as long.
                signed_in = not is_refused and _sign_in(quay, plan)
            if signed_in and quay.is_superuser():
                return save(host, plan.store, plan.credentials.with_confirmed_password())
    except RegistryError as error:
        return complain(host, f"Quay on {host.name}: {error}")
    if is_created:
        return complain(host, f"quay_superuser: Quay created {user}, but not as a superuser")
    return complain(
        host,
        f"superuser_password: Quay has users, but {user} can't sign in as a superuser with a "
        f"password in {plan.store.path}; give the one that Quay has as "
        "QUAYLAB_SUPERUSER_PASSWORD, or set quay_superuser to the user that Quay has; if no run "
        "has ever signed in, somebody else may have created the first user of this new "
        "registry: purge it (tasks/teardown.py) and deploy it anew, where nobody else reaches it; "
        f"after a restore also compare database_secret_key in {plan.store.path} with the one of "
        "the time of the dump: with another one Quay can't read what it has encrypted",
    )


def _sign_in(quay: Registry, plan: Plan) -> bool:
    """Sign in with the password that Quay has, and change it to the wanted one."""
    wanted = plan.credentials.superuser_password.get_secret_value()
    for password in plan.credentials.superuser_passwords:
        if quay.sign_in(plan.settings.quay_superuser, password):
            if password != wanted:
                quay.change_password(wanted)
            return True
    return False


def round_trip(host: Host, plan: Plan, open_registry: Open) -> bool:
    """Log in, push, pull and delete an image."""
    user = plan.settings.quay_superuser
    password = plan.credentials.superuser_password.get_secret_value()
    try:
        with open_registry() as quay:
            quay.round_trip(user, password, VERIFICATION)
            quay.sign_in(user, password)
            quay.delete_repositories(user, VERIFICATION)
    except RegistryError as error:
        return complain(host, f"Quay on {host.name}: {error}")
    return True
