"""Planning and execution: without -y, pyinfra calls an operation once for each.

While a run is planned, an operation decides from facts what it would change. Some answers exist
only later: a service that this run starts can't be asked yet, and a check or a printed summary
belongs to the moment at which the run comes to it. Such an operation is postponed.
"""

from __future__ import annotations

from pyinfra import host, state


def postpone(reason: str) -> bool:
    """Leave the current operation's work to its execution.

    While the run is planned, report no change for this reason and return True: the operation
    should return then. While the run is executed, do nothing and return False.
    """
    if state.is_executing:
        return False
    host.noop(reason)
    return True
