"""How the registry is: health, versions, days left of its certificate. It changes nothing.

`./lab status` adds what drifted, which is what `pyinfra --dry` of deploy.py would change.
"""

from pyinfra import host

from operations import status
from operations.run import begin
from quaylab.versions import is_legacy

plan = begin()

if host.name == plan.topology.leader and not is_legacy(plan.version):
    status.printed(name="Print the registry's status", plan=plan)
