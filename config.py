"""pyinfra's own configuration, read before it connects."""

import atexit
import gc
import sys

import click
from gevent.hub import Hub
from pyinfra import config
from pyinfra.api.exceptions import PyinfraError

# pyinfra has Python keep no compiled modules. With those of Quaylab a run takes 0.2 s less.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

# Nearly all objects of a run live until its end. To look for garbage among them takes a fifth of a
# run without changes, a half of that when Python ends.
gc.set_threshold(100_000)
atexit.register(gc.freeze)

from operations.runtime.guard import guard  # noqa: E402

# A host that fails or is lost stops the run for all hosts: half a registry helps nobody. But the
# status of the others is wanted most when a host is lost.
is_status = click.get_current_context().params["operations"] == ("tasks/status.py",)
config.FAIL_PERCENT = 100 if is_status else 0

# pyinfra reports failed hosts in one line; gevent would print a traceback before it.
Hub.NOT_ERROR += (PyinfraError,)

guard()
