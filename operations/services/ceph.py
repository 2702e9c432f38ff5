"""The files and devices of OSDs, and Quay's user in Ceph."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.ceph import Ceph, Osds
from facts.engines import host_engine
from operations.runtime.commands import fail, quoted
from operations.runtime.observation import ask
from operations.runtime.phases import postpone
from quaylab.plan import Plan
from quaylab.scripts import ceph_report
from quaylab.services import ceph


@operation()
def osd_files(plan: Plan) -> Generator[StringCommand]:
    """Create the files that OSDs are made on; existing ones stay as they are.

    + plan: the run's plan

    A file that holds something else is refused. Whether the OSD in it is this cluster's, run-ceph
    knows.
    """
    wanted = ceph.osd_files(plan.settings)
    found = ask(Osds, paths=list(wanted), fsid=ceph.cluster_id(plan.credentials))
    if used := [path for path in wanted if found.get(path) == "other"]:
        yield fail(
            f"ceph_osd_devices: {', '.join(used)} holds something, and is not touched; name "
            "another file or, if that may be lost, remove it: a run creates it"
        )
        return
    for path in wanted:
        if path in found:
            host.noop(f"{path} is there")
            continue
        folder = QuoteString(str(PurePosixPath(path).parent))
        # Sparse: it takes up only what is stored in it.
        yield StringCommand(
            "umask 077; mkdir -p", folder,
            f"&& truncate --size {plan.settings.ceph_osd_size_gb}G", QuoteString(path),
        )  # fmt: skip


@operation()
def user_present(plan: Plan) -> Generator[StringCommand]:
    """Create or update Quay's user in the gateway, with its keys and quota.

    + plan: the run's plan

    Tasks call it on every host, so that on Quay's host what needs the user comes after it (see
    operations/runtime/barrier.py).
    """
    if host.name != ceph.admin_host(plan.topology):
        host.noop("Ceph is administered on another host")
        return
    shell = ceph.shell(plan.settings, plan.topology, plan.credentials, host_engine())
    state = ask(Ceph, shell=shell)
    if (
        state is None
        and plan.was_deployed(host.name)
        and postpone("asked when the run has brought Ceph up")
    ):
        return
    user = ceph.user(plan.settings, plan.credentials)
    if state and state.users.get(ceph.USER) == ceph_report.digest(user):
        host.noop(f"user {ceph.USER} is as it has to be; {state.health}")
        return
    yield StringCommand(
        quoted(*shell, "radosgw-admin", "metadata", "put", f"user:{ceph.USER}"),
        _stdin=ceph.metadata(user),
    )


@operation()
def wiped(plan: Plan) -> Generator[StringCommand]:
    """Remove our OSDs' files and wipe their block devices, once their cluster is gone.

    + plan: the run's plan

    A file or device with any other content was refused as an OSD, and stays.
    """
    settings = plan.settings
    found = ask(Osds, paths=[*settings.ceph_osd_devices], fsid=ceph.cluster_id(plan.credentials))
    if not found:
        host.noop("no OSD's device is there")
    for path, content in found.items():
        if content in ("osd", "other"):
            host.noop(f"{path} holds no OSD of this cluster")
        elif path in ceph.osd_files(settings):
            yield StringCommand("rm -f", QuoteString(path))
        else:
            # The label in the first block makes it an OSD.
            yield StringCommand(
                "dd if=/dev/zero bs=1M count=1 conv=fsync status=none", QuoteString(f"of={path}")
            )
