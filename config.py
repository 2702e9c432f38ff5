"""pyinfra's own configuration, read before it connects."""

from gevent.hub import Hub
from pyinfra import config
from pyinfra.api.exceptions import PyinfraError

from operations.guard import guard

# A host that fails or is lost stops the run for all hosts: half a registry helps nobody.
config.FAIL_PERCENT = 0

# pyinfra reports failed hosts in one line; gevent would print a traceback before it.
Hub.NOT_ERROR += (PyinfraError,)

guard()
