"""A member of the database's cluster, asked by its Patroni."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.scripts import patroni_report
from quaylab.services.patroni_config import TAG

# What more a member lacks, it would have to get before it leads.
MIB = 1024**2
# Patroni's words for them: with one that is named, and with any of several (quorum).
SYNCHRONOUS = ("sync_standby", "quorum_standby")


@dataclass(frozen=True)
class Member:
    """A member as the cluster knows it. ``role`` and ``state`` are Patroni's words; ``lag`` is in
    bytes, None if it is unknown; ``address`` is where the others reach it."""

    role: str
    state: str
    lag: int | None
    address: str = field(default="", compare=False)

    @property
    def leads(self) -> bool:
        return self.role == "leader" and self.state == "running"

    @property
    def follows(self) -> bool:
        """Whether it copies what the leader writes. One that is only ``running`` does not."""
        return self.role != "leader" and self.state == "streaming"

    @property
    def is_synchronous(self) -> bool:
        """Whether it is one of those of which the leader waits for one before it acknowledges, and
        lacks so little that the leader can hand over to it."""
        return self.is_voter and self.state == "streaming" and (self.lag or 0) <= MIB

    @property
    def is_voter(self) -> bool:
        """Whether Patroni counts on it: all voters are asked before one of them leads."""
        return self.role in SYNCHRONOUS

    def __str__(self) -> str:
        if self.leads:
            return "leads"
        kind = "synchronous" if self.is_voter else self.role
        lag = f", {self.lag / MIB:.1f} MiB behind" if self.lag else ""
        return f"{kind}, {self.state}{lag}"


@dataclass(frozen=True)
class PatroniState:
    """What a member tells.

    Attributes:
        name: the member's own name.
        loaded: the digest of the files that it has loaded; empty: of none of ours.
        members: all members by name.
        settings: what the cluster keeps in etcd for all members.
    """

    name: str
    loaded: str
    members: Mapping[str, Member]
    settings: Mapping[str, Any]

    def among(self, addresses: Mapping[str, str]) -> PatroniState:
        """Return the same of the members with these names or addresses alone. A machine that was
        forgotten, and is switched on again, registers itself anew."""
        known = {
            name: each
            for name, each in self.members.items()
            if name in addresses or each.address in addresses.values()
        }
        return replace(self, members=known)

    @property
    def own(self) -> Member | None:
        return self.members.get(self.name)

    @property
    def leads(self) -> bool:
        return bool(self.own and self.own.leads)

    @property
    def leader(self) -> str | None:
        """The name of the member that leads."""
        return next((name for name, each in self.members.items() if each.leads), None)

    @property
    def successor(self) -> str | None:
        """The name of a member to which the leader can hand over."""
        return next((name for name, each in self.members.items() if each.is_synchronous), None)

    @property
    def has_other_follower(self) -> bool:
        """Whether another member than this one copies what the leader writes."""
        return any(each.follows for name, each in self.members.items() if name != self.name)

    @property
    def is_paused(self) -> bool:
        """Whether somebody has paused Patroni: then no member takes over if the leader is lost."""
        return bool(self.settings.get("pause"))

    @property
    def can_switch_over(self) -> bool:
        """Whether another member would lead if the leader stepped down."""
        voters = [each for each in self.members.values() if each.is_voter]
        return bool(voters) and all(each.is_synchronous for each in voters)


class Patroni(FactBase[PatroniState | None]):
    """A :class:`PatroniState`; None while Patroni or etcd doesn't answer.

    + container: the member's container
    """

    def command(self, container: str) -> StringCommand:
        script = shlex.join(["python3", "-c", inspect.getsource(patroni_report)])
        return StringCommand(host_engine().output_of(container, script))

    @staticmethod
    def default() -> PatroniState | None:
        return None

    def process(self, output: list[str]) -> PatroniState | None:
        text = "".join(output).strip()
        if not text:
            return None
        try:
            report: dict[str, Any] = json.loads(text)
            own = report["patroni"]
            members = {
                each["name"]: Member(
                    each["role"], each["state"], _lag(each.get("lag")), str(each.get("host", ""))
                )
                for each in report["cluster"]["members"]
            }
            return PatroniState(
                name=own["patroni"]["name"],
                loaded=str(own.get("tags", {}).get(TAG, "")),
                members=members,
                settings=report["config"],
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise FactProcessError(
                f"Patroni's answer can't be read: {error}: {text[:200]!r}"
            ) from error


def _lag(value: object) -> int | None:
    return value if isinstance(value, int) else None
