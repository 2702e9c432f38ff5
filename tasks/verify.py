"""The proof that the registry works, and the summary. It runs on the leader alone."""

from pyinfra import host

from operations import quay, summary
from operations.plan import plan
from quaylab.versions import is_legacy

lab = plan()

if host.name == lab.topology.leader:
    if not is_legacy(lab.version):
        quay.verified(name="Verify: log in, push, pull, delete", plan=lab)

    summary.told(name="Tell what is there", plan=lab)
