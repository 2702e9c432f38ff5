"""The credentials file on the machine that runs pyinfra."""

from __future__ import annotations

import os
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.engines import engine_of
from operations.runtime.commands import ask_at_terminal, complain, read_secret
from quaylab.checks import ownership
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.adoption import adopt
from quaylab.secrets.credentials import Credentials, Store
from quaylab.secrets.passwords import is_valid_for_quay
from quaylab.services.quay import DIRECTORY


@operation()
def saved(plan: Plan) -> Generator[FunctionCommand]:
    """Save what this run generated (passwords, CA, certificate) before any host receives it.

    + plan: the run's plan

    Tasks call it first and on every host, so that no host's next operation comes before the file is
    written (see operations/runtime/barrier.py).
    """
    if plan.store.is_saved(plan.credentials):
        host.noop(f"{plan.store.path} is up to date")
        return
    yield FunctionCommand(_save, (plan.store, plan.credentials), {})


@operation()
def former_passwords_saved(plan: Plan) -> Generator[FunctionCommand]:
    """Store the superuser's former passwords for the next deploy: a dump may bring one back.

    + plan: the run's plan
    """
    wanted = plan.credentials.with_former_passwords()
    if wanted == plan.credentials:
        host.noop("there is no former password of the superuser to add")
        return
    yield FunctionCommand(_save, (plan.store, wanted), {})


def _save(state: State, host: Host, store: Store, credentials: Credentials) -> bool:
    return save(host, store, credentials)


def save(host: Host, store: Store, credentials: Credentials) -> bool:
    """Write the credentials file; return False after printing one line if that failed."""
    try:
        store.save(credentials)
    except OSError as error:
        return complain(host, f"{error.filename or store.path} can't be written: {error.strerror}")
    return True


@operation()
def adopted(plan: Plan) -> Generator[FunctionCommand]:
    """Rebuild the credentials file from Quay's bundle and the labels of the data.

    + plan: the run's plan
    """
    if plan.store.exists:
        host.noop(f"{plan.store.path} exists, and is not replaced")
        return
    yield FunctionCommand(_adopt, (plan,), {})


def _adopt(state: State, host: Host, plan: Plan) -> bool:
    owners = {owner for machine in plan.machines.values() for owner in ownership.owners(machine)}
    if len(owners) != 1:
        found = ", ".join(sorted(owners)) or "none"
        return complain(host, f"adopting needs the data of exactly one registry; found: {found}")
    bundle = {}
    paths = {name: f"{DIRECTORY}/{name}" for name in ("config.yaml", "ssl.cert", "ssl.key")}
    for name, path in {**paths, "ca.crt": engine_of(host).trust(plan.topology.registry)}.items():
        if (text := read_secret(host, path)) is not None:
            bundle[name] = text
    try:
        recovered = adopt(owners.pop().partition("-")[0], _superuser_password(plan), bundle)
    except Refusal as refusal:
        return complain(host, str(refusal))
    return save(host, plan.store, recovered)


def _superuser_password(plan: Plan) -> str:
    variable = "QUAYLAB_SUPERUSER_PASSWORD"
    ask = ask_at_terminal()
    if variable not in os.environ and ask is None:
        raise Refusal([f"{variable}: not set, and there is no terminal to ask for it"])
    password = os.environ.get(variable) or (
        ask(f"password of {plan.settings.quay_superuser}: ") if ask else ""
    )
    if not is_valid_for_quay(password):
        raise Refusal([f"{variable}: Quay accepts no such password, so it is not the superuser's"])
    return password
