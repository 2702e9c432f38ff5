"""The registry's status: health, versions, days until its certificate expires. It changes nothing.

`./lab status` also prints what drifted: the operations of deploy.py that would change something.
"""

from pyinfra import host

from operations import status
from operations.runtime.run import Purpose, begin
from quaylab.versions import is_legacy

plan = begin(Purpose.STATUS)

if host.name == plan.topology.first_quay and not is_legacy(plan.version):
    status.printed(name="Print the registry's status", plan=plan)
