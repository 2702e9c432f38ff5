"""Recover lost credentials from the registry's host, into the file on this machine.

No host knows the superuser's password. It comes from QUAYLAB_SUPERUSER_PASSWORD or from a question
at the terminal.
"""

from pyinfra import host

from operations import credentials
from operations.runtime.run import Purpose, begin

plan = begin(Purpose.RECOVER)

if host.name == plan.topology.first_quay:
    credentials.adopted(name="Read the credentials back from the host", plan=plan)
