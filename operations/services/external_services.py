"""External services: they are asked before any host is changed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from pyinfra import inventory
from pyinfra.api import Host

from operations.hosts import reach
from operations.runtime.commands import ask_at_terminal
from quaylab.clients import database_administrator
from quaylab.clients.probes import Unreachable
from quaylab.database_login import Login
from quaylab.endpoints import Endpoint
from quaylab.plan import Plan
from quaylab.problems import Problems, Refusal, refuse
from quaylab.secrets.given import variables_in


def check(plan: Plan, is_asked: Callable[[Endpoint], bool] = lambda endpoint: True) -> Plan:
    """Ask the external services from Quay's host. Those of ours come up later.

    Args:
        is_asked: whether that host can reach a service.

    Returns:
        The plan, with the database's administrator if something has to be created there first.

    Raises:
        Refusal: a service doesn't answer, or what is missing can't be created.
    """
    first_quay = inventory.get_host(plan.topology.first_quay)
    if first_quay.name not in plan.machines:
        return plan  # left out by --limit
    problems = Problems()
    if plan.topology.database.is_elsewhere and is_asked(plan.topology.database):
        try:
            reach.database(first_quay, plan)
        except Unreachable as error:
            with problems.collecting():
                plan = _with_administrator(first_quay, plan, error)
    if plan.topology.redis.is_elsewhere and is_asked(plan.topology.redis):
        try:
            reach.redis(first_quay, plan)
        except Unreachable as error:
            problems.append(f"redis_host: {error}")
    if plan.topology.object_store and plan.topology.object_store.is_elsewhere:
        try:
            reach.find_bucket(first_quay, plan)
        except Unreachable as error:
            problems.append(str(error))
    refuse(problems)
    return plan


def _with_administrator(first_quay: Host, plan: Plan, error: Unreachable) -> Plan:
    """Return the plan with the administrator who creates what is missing in the database.

    Raises:
        Refusal: there is no administrator, or what is missing can't be created.
    """
    name = plan.settings.database_admin
    if name is None:
        raise Refusal([f"database_host: {error}"])
    password = database_administrator.password(os.environ, ask_at_terminal())
    plan = dataclasses.replace(plan, administrator=Login(name, password, None))
    try:
        missing = reach.missing_steps(first_quay, plan)
    except Unreachable as refused:
        raise Refusal([f"database_admin: {refused}"]) from None
    if not missing:
        # Nothing is missing, so the database refuses Quay for another reason.
        raise Refusal([f"database_host: {error}"])
    given = "database_password" in variables_in(os.environ) or plan.store.exists
    if not given and any(step.takes_over for step in missing):
        # The password was generated just now, so the existing role is another registry's.
        user = plan.settings.database_user
        raise Refusal(
            [
                f"database_user: the role {user} is there already, and may be another registry's; "
                "give its password as QUAYLAB_DATABASE_PASSWORD, or name another role and database"
            ]
        )
    return plan
