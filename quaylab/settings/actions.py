"""Settings for single runs, given by --data: which dump, which registry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import DumpName, HostName, InventoryName, Section


class Restoring(Section):
    """Restoring a dump, with tasks/restore_database.py or tasks/restore_openshift.py."""

    restore: DumpName | None = Field(
        description="With tasks/restore_database.py: the dump to restore; None: the newest; "
        "tasks/restore_openshift.py needs its name",
    )


class Forgetting(Section):
    """Forgetting a lost database host, with tasks/forget_member.py."""

    forget: InventoryName | None = Field(
        description="With tasks/forget_member.py: the host, which has left the inventory; or its "
        "address, which is all that etcd knows of one that has never started there"
    )


class FormerEngine(Section):
    """Removing what a former engine has kept, with tasks/purge_engine.py."""

    purge_engine: Literal["docker", "podman"] | None = Field(
        description="With tasks/purge_engine.py: the engine that the registry has left, which "
        "confirms that what it kept is deleted"
    )


class Teardown(Section):
    """Removing a registry, with tasks/teardown.py."""

    purge: HostName | None = Field(
        description="With tasks/teardown.py: the registry's name, which confirms that all data is "
        "deleted"
    )
