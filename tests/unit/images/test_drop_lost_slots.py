"""The script beside Patroni that drops slots of which PostgreSQL has given up the log."""

from __future__ import annotations

from tests.forked import PROJECT
from tests.unit.shell import Shell

SCRIPT = PROJECT / "images/patroni/drop-lost-slots"


def test_lost_slots_are_dropped_for_ever_and_nothing_is_said_of_failures(shell: Shell) -> None:
    """A member that starts does not answer yet."""
    shell.stub("sleep", f"test $(grep -c sleep {shell.log}) -le 2")
    shell.stub("psql", "echo FATAL >&2; exit 2")
    done = shell.run(str(SCRIPT))
    assert (done.stdout, done.stderr) == ("", "")
    asked = [call for call in shell.calls if call.startswith("psql ")]
    assert len(asked) == 2
    assert "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots" in asked[0]
    assert any("wal_status = 'lost' AND NOT active" in call for call in shell.calls)
