"""pyinfra's own configuration, read before it connects."""

from gevent.hub import Hub
from pyinfra import config
from pyinfra.api.exceptions import PyinfraError

from operations.guard import guard

# A host that is lost or fails stops the run for all: half a registry helps nobody.
config.FAIL_PERCENT = 0

# pyinfra tells the end of its hosts in one line; gevent would print a traceback before it.
Hub.NOT_ERROR += (PyinfraError,)

guard()
