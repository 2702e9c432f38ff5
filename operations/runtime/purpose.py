"""What a run is for."""

from __future__ import annotations

from enum import Enum


class Purpose(Enum):
    """What a run is for, and so what it needs of the hosts."""

    DEPLOY = "deploy"
    # As deploy, with new passwords.
    ROTATE = "rotate"
    # To move the blobs to the store of the settings, before a deploy with them.
    MOVE = "move"
    # To move the data to another container engine, before a deploy with it.
    MOVE_ENGINE = "move engine"
    # To recover credentials, to restore, to reboot, to forget a member or to remove, whatever state
    # the hosts are in.
    RECOVER = "recover"
    # To look at the registry: nothing is locked or saved, whatever state the hosts are in.
    STATUS = "status"

    @property
    def deploys(self) -> bool:
        return self in (
            Purpose.DEPLOY,
            Purpose.ROTATE,
            Purpose.MOVE,
            Purpose.MOVE_ENGINE,
        )
