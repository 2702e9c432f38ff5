"""An object store's errors, with the setting that causes them."""

from __future__ import annotations


class StoreError(Exception):
    """An error in one line; ``setting`` is the one to correct."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting
