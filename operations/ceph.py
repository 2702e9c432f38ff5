"""A Ceph cluster's ground, and Quay's user in it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.ceph import Ceph, Osds
from facts.files import Paths
from operations.commands import quoted
from operations.observation import ask
from operations.phases import postpone
from quaylab.plan import Plan
from quaylab.scripts import ceph_report
from quaylab.services import ceph


@operation()
def osd_files(plan: Plan) -> Generator[StringCommand]:
    """Have the files that OSDs are to be made on; those that are there stay as they are.

    + plan: the run's plan
    """
    wanted = ceph.osd_files(plan.settings)
    found = ask(Paths, paths=list(wanted))
    for path in wanted:
        if path in found:
            host.noop(f"{path} is there")
            continue
        folder = QuoteString(str(PurePosixPath(path).parent))
        # Sparse: it takes up what is stored in it.
        yield StringCommand(
            "umask 077; mkdir -p", folder,
            f"&& truncate --size {plan.settings.ceph_osd_size_gb}G", QuoteString(path),
        )  # fmt: skip


@operation()
def user_present(plan: Plan) -> Generator[StringCommand]:
    """Have Quay's user in the gateway, with the keys and the quota that it has to have.

    + plan: the run's plan

    Tasks call it on every host, as what follows on Quay's needs the user: hosts wait for each
    other at an operation that they share.
    """
    if host.name != plan.ceph_admin:
        host.noop("Ceph is administrated on another host")
        return
    state = ask(Ceph, shell=plan.ceph_shell)
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
        quoted(*plan.ceph_shell, "radosgw-admin", "metadata", "put", f"user:{ceph.USER}"),
        _stdin=ceph.metadata(user),
    )


@operation()
def wiped(plan: Plan) -> Generator[StringCommand]:
    """Forget what our OSDs hold, after their cluster is gone: remove files, empty block devices.

    + plan: the run's plan

    What bears anything else was refused as an OSD, and stays.
    """
    settings = plan.settings
    found = ask(Osds, paths=[*settings.ceph_osd_devices], fsid=ceph.cluster_id(plan.credentials))
    if not found:
        host.noop("no OSD's device is there")
    for path, bears in found.items():
        if bears == "other":
            host.noop(f"{path} bears no OSD of ours")
        elif path in ceph.osd_files(settings):
            yield StringCommand("rm -f", QuoteString(path))
        else:
            # The label in its first block is what makes it an OSD.
            yield StringCommand(
                "dd if=/dev/zero bs=1M count=1 conv=fsync status=none", QuoteString(f"of={path}")
            )
