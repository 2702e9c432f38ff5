"""Clients' new connections wait while the database or the virtual address moves to another machine.

A balancer's machine drops the packet that opens a connection. The client's kernel sends it again
after a second and more, so the client notices a pause; a connection that is cut is a failed
request. HAProxy answers requests on open connections, and closes each with its next answer, so that
a client that keeps its connection opens another one.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

# Seconds: open connections have PATIENCE to end; after LONGEST new ones are let in, even if the run
# was killed: many clients wait for 30 s. A move takes up to 6 after the open ones have ended.
PATIENCE, LONGEST = 5, 20
PREFIX = "quaylab-hold-"


@dataclass(frozen=True)
class Hold:
    """A hold, as commands for a balancer's shell. It is a rule of iptables, which Docker needs, or
    else a table of nftables, which Podman needs; without both there is no hold.

    Args:
        ports: the ports of HAProxy that clients use.
        address: the address that clients use; None: any of the machine's.
        name: what to call it; another one at the same time has another name.
        begin_in_haproxy: the shell command by which HAProxy takes part: it closes each open
            connection with its next answer.
        end_in_haproxy: the one by which it keeps connections again.
    """

    ports: tuple[int, ...]
    address: str | None
    name: str
    begin_in_haproxy: str
    end_in_haproxy: str

    @property
    def begin(self) -> str:
        return (
            # First of all, so that it ends also if the run is killed at any moment.
            f"{{ {self._timer} 2>/dev/null || {self._sleeper}; }}; "
            f"{{ iptables --wait --insert {self._rule} || nft {shlex.quote(self._table)}; }} "
            f"2>/dev/null && {self.begin_in_haproxy} >/dev/null 2>&1; :"
        )

    @property
    def end(self) -> str:
        """One that has ended is no error."""
        return (
            f"{self._release}; {self.end_in_haproxy} >/dev/null 2>&1; "
            f"systemctl stop {self._unit}.timer 2>/dev/null; :"
        )

    @property
    def wait(self) -> str:
        """Wait until the connections that are open have ended."""
        ports = " or ".join(f"sport = :{port}" for port in self.ports)
        address = f" and src {self.address}" if self.address else ""
        established = f"ss --no-header --tcp state established '( {ports} ){address}'"
        return (
            f"end=$(($(date +%s) + {PATIENCE})); "
            f'until test -z "$({established})" || test "$(date +%s)" -ge $end; do sleep 0.1; done'
        )

    @property
    def _timer(self) -> str:
        """It survives the run's session. Without the accuracy it may be a minute late."""
        return (
            f"systemd-run --quiet --collect --unit={self._unit} --on-active={LONGEST} "
            f"--timer-property=AccuracySec=1s sh -c {shlex.quote(self._late_end)}"
        )

    @property
    def _sleeper(self) -> str:
        """What serves without systemd."""
        end = shlex.quote(f"sleep {LONGEST}; {self._late_end}")
        return f"{{ nohup sh -c {end} </dev/null >/dev/null 2>&1 & }}"

    @property
    def _late_end(self) -> str:
        """Another hold may have begun since, in which HAProxy takes part."""
        rules = "iptables --wait --list-rules INPUT; nft list tables"
        another = f"{{ {rules}; }} 2>/dev/null | grep --quiet {PREFIX}"
        return f"{self._release} && ! {{ {another}; }} && {self.end_in_haproxy}"

    @property
    def _release(self) -> str:
        """Fails if there is no hold."""
        return (
            f"{{ iptables --wait --delete {self._rule} || nft delete table {self._table_name}; }} "
            "2>/dev/null"
        )

    @property
    def _rule(self) -> str:
        destination = f"--destination {self.address} " if self.address else ""
        return (
            f"INPUT {destination}--protocol tcp --syn "
            f"--match multiport --dports {','.join(map(str, self.ports))} "
            f"--match comment --comment {self._unit} --jump DROP"
        )

    @property
    def _table(self) -> str:
        destination = f"ip daddr {self.address} " if self.address else ""
        return (
            f"table {self._table_name} {{ chain input {{ type filter hook input priority -1; "
            f"{destination}tcp dport {{ {', '.join(map(str, self.ports))} }} "
            "tcp flags & (fin | syn | rst | ack) == syn drop; }; }"
        )

    @property
    def _table_name(self) -> str:
        return f"inet {self._unit}"

    @property
    def _unit(self) -> str:
        return f"{PREFIX}{self.name}"
