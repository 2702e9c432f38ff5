"""Read lost credentials back from the registry's host, into the file of this machine.

The superuser's password, which no host knows, comes from QUAYLAB_SUPERUSER_PASSWORD, or is asked
for at a terminal.
"""

from pyinfra import host

from operations import credentials
from operations.run import Purpose, begin

plan = begin(Purpose.RECOVER)

if host.name == plan.topology.leader:
    credentials.adopted(name="Read the credentials back from the host", plan=plan)
