"""Reboot the machines one after the other, the one that leads the database last.

`--limit HOST` reboots only one of them. It stops at the first that does not come back well.
"""

from pyinfra import host

from operations import reboot
from operations.runtime.run import Purpose, begin

plan = begin(Purpose.RECOVER)

for name in host.loop(reboot.in_order(plan)):  # type: ignore[no-untyped-call]
    if host.name == name:
        reboot.rebooted(name=f"Reboot {name}", plan=plan)
