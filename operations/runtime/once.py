"""What is made once in a run of pyinfra."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from pyinfra.api import State
from pyinfra.context import ctx_state

from operations.runtime.commands import refusals

T = TypeVar("T")


class OncePerRun(Generic[T]):
    """A value that the first caller in a run makes for all others.

    pyinfra loads a deploy file for all hosts at once, each in a greenlet of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: WeakKeyDictionary[State, T] = WeakKeyDictionary()

    def get(self, make: Callable[[], T]) -> T:
        """Return the run's value; make it if there is none yet.

        Raises:
            DeployError: ``make`` has refused; pyinfra prints its problems as they are.
        """
        current: State = ctx_state.get()  # type: ignore[no-untyped-call]
        with self._lock, refusals():
            if current not in self._made:
                self._made[current] = make()
        return self._made[current]
