"""What an object store refuses, by the setting that is to blame."""

from __future__ import annotations


class StoreError(Exception):
    """A refusal in one line; ``setting`` is what to look at."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting
