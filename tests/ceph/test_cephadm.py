"""cephadm on three machines: it bootstraps a cluster, adds hosts and applies specifications.

The machines are containers without disks of their own, so there is no OSD and the gateway can't
start: a run ends with that message.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from quaylab.services import cephadm
from tests.ceph.test_one_host import timed
from tests.leaks import leaked
from tests.machine.deployment import Deployment
from tests.machine.machines import LABEL, Machine, MachineFactory, Operator

# cephadm asks for higher limits than a container may have.
DOCKER = """\
#!/bin/sh
for word; do
    shift
    case $word in nofile=*) word=nofile=20000 ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/docker "$@"
"""
UNITS = "/etc/systemd/system/ceph-.service.d"
NAMES = ["ceph1", "ceph2", "ceph3"]
STEPS = {
    "Prepare the host for cephadm",
    "Start Ceph's daemons",
    "Bootstrap the cluster",
    "Limit the OSDs' memory",
    "Apply Ceph's host and service specifications",
}


@pytest.fixture(scope="module")
def lab(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("cephadm")
    with timed("three machines"):
        machines = machine_factory.together(NAMES)
        for machine in machines:
            machine.run("cat >/usr/local/bin/docker; chmod 755 /usr/local/bin/docker", input=DOCKER)
            machine.run(
                f"mkdir -p {UNITS}; cat >{UNITS}/limits.conf",
                input="[Service]\nLimitNOFILE=20000\n",
            )
    archive = folder / "images.tar"
    tarfile.open(archive, "w").close()
    groups = {"ceph": machines, "quay": machines[:1], "database": machines[:1]}
    lab = Deployment.of(
        operator,
        folder,
        {**groups, "redis": machines[:1]},
        image_source="archive",
        image_archive=str(archive),
        ceph_image=images["cephadm"],
        # Never "all that is unused": a privileged container sees its host's disks.
        ceph_osd_devices=("/dev/quaylab-none",),
        health_timeout=10,
    )
    yield lab
    lab.forget()
    for machine in machines:
        machine.destroy()


def _ceph(machine: Machine, *command: str) -> Any:
    image = machine.run(f"docker images --quiet {LABEL}/cephadm").stdout.split()[0]
    asked = f"cephadm --image {image} shell -- ceph {' '.join(command)} --format=json 2>/dev/null"
    return json.loads(machine.run(asked).stdout)


def test_cluster_is_bootstrapped_and_configured_once(lab: Deployment) -> None:
    first = lab.machines["ceph"]
    with timed("bootstrap, hosts and services"):
        result = lab.run("tasks/ceph.py", "-vvv")
    assert result.returncode != 0
    assert "has it OSDs?" in result.output
    assert "Traceback" not in result.output
    assert leaked(lab.secrets, result.output) == []

    hosts = _ceph(first, "orch", "host", "ls")
    assert sorted(host["hostname"] for host in hosts) == NAMES
    applied = _ceph(first, "orch", "ls", "--export")
    services = {each["service_type"]: each for each in applied}
    assert set(services) == {"mon", "mgr", "osd", "rgw"}
    assert services["rgw"]["placement"] == {"hosts": NAMES}
    assert services["rgw"]["spec"]["rgw_frontend_port"] == 7480
    # Without OSDs all of them are up.
    assert not [each for each in cephadm.status_problems(_ceph(first, "status")) if "OSDs" in each]

    options = {
        (each["section"], each["name"]): each["value"] for each in _ceph(first, "config", "dump")
    }
    # A run compares the text.
    assert options["osd", "osd_memory_target"] == str(4096 * 1024**2)
    assert options["osd", "osd_memory_target_autotune"] == "false"

    with timed("planned again"):
        again = {
            name.rpartition(" | ")[2] for name, _ in lab.run("tasks/ceph.py", "--dry").planned()
        }
    assert not again & STEPS
    with timed("second run"):
        lab.run("tasks/ceph.py")
    assert _ceph(first, "orch", "ls", "--export") == applied


def test_teardown_stops_the_daemons_the_next_run_starts_them_and_purge_removes_them(
    lab: Deployment,
) -> None:
    first = lab.machines["ceph"]
    lab.run("tasks/teardown.py").check()
    assert "ceph-" not in first.run("docker ps --format '{{.Names}}'").stdout
    assert first.run("ls /var/lib/ceph").stdout

    # Its monitors have to agree and its manager has to load the orchestrator within that time, for
    # which it then waits for the gateway as well.
    with timed("started again"):
        result = lab.run("tasks/ceph.py", "--data", "health_timeout=120")
    assert "has it OSDs?" in result.output
    assert len(_ceph(first, "status")["quorum"]) == 3
    assert sorted(host["hostname"] for host in _ceph(first, "orch", "host", "ls")) == NAMES
    planned = {name.rpartition(" | ")[2] for name, _ in lab.run("tasks/ceph.py", "--dry").planned()}
    assert not planned & STEPS
    lab.run("tasks/teardown.py").check()

    lab.run("tasks/teardown.py", "--data", "purge=quay.quaylab.test").check()
    assert not first.run("ls /var/lib/ceph/*/mon* 2>/dev/null", check=False).stdout
