"""Ctrl-C: it ends a run, wherever it arrives."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from pyinfra import logger
from pyinfra.api import State
from pyinfra.api.state import BaseStateCallback
from pyinfra.context import ctx_state


class Interrupts(BaseStateCallback):
    """Ctrl-C ends the run with the exit status that a shell expects.

    Python raises the exit wherever it is; in a greenlet or a destructor it may be lost. In that
    case the run ends with its operation, which pyinfra takes for done. What an operation holds
    ends by itself (connection_hold.py).
    """

    received = False

    @classmethod
    def handle(cls, signum: int, frame: object) -> NoReturn:
        if not cls.received:
            logger.error("Interrupted: the next run finishes what this one began")
        cls.received = True
        state = ctx_state.get() if ctx_state.isset() else None  # type: ignore[no-untyped-call]
        if state and state.initialised:
            # An operation that waits keeps its place in the pool, by which pyinfra disconnects.
            state.pool.kill(block=False)
        sys.exit(128 + signum)

    @staticmethod
    def operation_start(state: State, op_hash: str) -> None:
        if Interrupts.received:
            sys.exit(128 + signal.SIGINT)

    operation_end = operation_start
