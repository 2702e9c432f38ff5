"""Forget a database host that is lost for good: `--data forget=HOST`.

Take it out of the inventory first, and put another one there in its place. Until the lost one is
forgotten etcd counts it as a member that fails, and takes no other. One that never started has no
name there, so give its address. Erase the lost machine before it is switched on again: it still has
the passwords with which it joins the others.
"""

from pyinfra import host

from operations.runtime.run import Purpose, begin
from operations.services import etcd

plan = begin(Purpose.RECOVER)
name = etcd.member_to_forget(plan)

if host.name == etcd.answering(plan):
    etcd.forgotten(name=f"Forget {name}", plan=plan, member=name)
