"""Members of the database's cluster that are in no group, as of a machine that was replaced."""

from __future__ import annotations

from operations.services import etcd, patroni
from quaylab.plan import Plan
from quaylab.problems import refuse

CONTAINERS = f"{patroni.CONTAINER} and {etcd.CONTAINER}"


def unknown(plan: Plan) -> dict[str, str]:
    """Return what is to be done about each member that is in no group, by its name, or by its
    address if it has none."""
    listed = etcd.unknown_members(plan)
    registered = patroni.unknown_members(plan, patroni.first_answer(plan))
    return {name: _remedy(name, registered, listed) for name in dict.fromkeys(registered + listed)}


def refuse_unknown(plan: Plan) -> None:
    """Refuse members in no group.

    Raises:
        Refusal: there is one, which no router knows: if it leads, Quay has no database.
    """
    refuse(f"database: {name} is {remedy}" for name, remedy in unknown(plan).items())


def _remedy(name: str, registered: list[str], listed: list[str]) -> str:
    steps = []
    if name in registered:
        steps.append(f"switch it off, or remove {CONTAINERS} there")
    if name in listed:
        steps.append(f"have it forgotten, by tasks/forget_member.py --data forget={name}")
    return f"a member and in no group; {', then '.join(steps)}"
