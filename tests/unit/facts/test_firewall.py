"""firewalld's state and rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from facts.firewall import NOTE, Firewall, FirewallState
from tests.unit.shell import Shell

RULE = 'rule family="ipv4" source address="10.0.0.1" port port="5432" protocol="tcp" accept'


def test_a_rule_counts_if_it_is_active_and_permanent(shell: Shell, tmp_path: Path) -> None:
    note = tmp_path / "firewall"
    note.write_text(f"--add-rich-rule={RULE}\n")
    shell.stub(
        "firewall-cmd",
        f"""case "$*" in
  --state) echo running ;;
  --list-ports) echo 443/tcp 80/tcp ;;
  '--permanent --list-ports') echo 443/tcp 22/tcp ;;
  *--list-rich-rules) echo '{RULE}' ;;
esac""",
    )
    found = Firewall().process(shell.lines(Firewall().command().replace(NOTE, str(note))))
    assert found == FirewallState(
        True,
        frozenset({"--add-port=443/tcp", f"--add-rich-rule={RULE}"}),
        frozenset({f"--add-rich-rule={RULE}"}),
    )


@pytest.mark.parametrize("has_offline_client", [True, False])
def test_stopped(shell: Shell, tmp_path: Path, has_offline_client: bool) -> None:
    note = tmp_path / "firewall"
    note.write_text("--add-port=443/tcp\n")
    shell.stub("firewall-cmd", "echo 'not running' >&2; exit 252")
    if has_offline_client:
        shell.stub("firewall-offline-cmd", "")
    found = Firewall().process(shell.lines(Firewall().command().replace(NOTE, str(note))))
    noted = frozenset({"--add-port=443/tcp"})
    assert found == FirewallState(False, frozenset(), noted, has_offline_client)
