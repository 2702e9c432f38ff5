"""Each service's container is the one that a run would make, and it is healthy."""

from __future__ import annotations

import time

from quaylab.engines import units
from quaylab.images import full_name
from quaylab.model import DIGEST_LABEL, NETWORK, RESTART_POLICY
from tests.hosts.lab import Lab, Target
from tests.hosts.places import WorkloadPlace

# The engine asks Quay every 30 s, so a container that was just started is "starting" for a while.
HEALTH_PATIENCE = 60


def test_runs(workload: WorkloadPlace) -> None:
    assert workload.inspect()["State"]["Status"] == "running"


def test_is_healthy(workload_with_health: WorkloadPlace) -> None:
    end = time.monotonic() + HEALTH_PATIENCE
    while True:
        health = workload_with_health.inspect()["State"]["Health"]["Status"]
        if health != "starting" or time.monotonic() > end:
            break
        time.sleep(1)
    assert health == "healthy"


def test_is_as_specified(workload: WorkloadPlace) -> None:
    digest = workload.inspect()["Config"]["Labels"].get(DIGEST_LABEL)
    assert digest == workload.workload.container.digest, (
        "made from other settings, --data, files or images than these; the next run replaces it"
    )


def test_runs_the_planned_image(workload: WorkloadPlace) -> None:
    """By name and by content: the tag may belong to another image since."""
    container = workload.inspect()
    wanted = full_name(workload.workload.image.reference)
    assert full_name(container["Config"]["Image"]) == wanted
    assert container["Image"] == workload.target.described("image", wanted)["Id"]


def test_docker_restarts_it(docker_workload: WorkloadPlace) -> None:
    assert docker_workload.inspect()["HostConfig"]["RestartPolicy"]["Name"] == RESTART_POLICY


def test_systemd_starts_it_at_boot_and_restarts_it(podman_workload: WorkloadPlace) -> None:
    """A generated service can't be enabled: the generator links it below the target."""
    container = podman_workload.workload.container
    shown = podman_workload.target.shell.check_output(
        "systemctl show --property=Restart,WantedBy,NeedDaemonReload,FragmentPath %s",
        units.service(container.name),
    )
    assert set(shown.splitlines()) >= {
        f"Restart={RESTART_POLICY}",
        "WantedBy=multi-user.target",
        "NeedDaemonReload=no",
    }
    assert "FragmentPath=/run/systemd/generator" in shown


def test_the_unit_is_as_specified(podman_workload: WorkloadPlace) -> None:
    container = podman_workload.workload.container
    file = podman_workload.target.shell.file(units.path(container.name))
    assert file.content_string == units.unit(container)


def test_has_time_to_stop(workload: WorkloadPlace) -> None:
    assert workload.inspect()["Config"]["StopTimeout"] == workload.workload.container.stop_timeout


def test_quay_has_time_to_finish_requests_before_it_stops(quay_host: Target, lab: Lab) -> None:
    for workload in lab.plan.workloads_for("quay", quay_host.name):
        assert quay_host.container(workload)["Config"]["StopTimeout"] >= 60


def test_is_privileged_only_where_planned(workload: WorkloadPlace) -> None:
    assert workload.inspect()["HostConfig"]["Privileged"] is workload.workload.container.privileged


def test_its_log_is_in_the_journal(podman_workload: WorkloadPlace) -> None:
    assert podman_workload.inspect()["HostConfig"]["LogConfig"]["Type"] == "journald"


def test_logs_are_rotated(docker_workload: WorkloadPlace) -> None:
    wanted = docker_workload.workload.container
    rotation = {"max-size": wanted.log_size, "max-file": str(wanted.log_files)}
    assert docker_workload.inspect()["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": rotation,
    }


def test_is_on_the_internal_network_alone(networked_workload: WorkloadPlace) -> None:
    assert list(networked_workload.inspect()["NetworkSettings"]["Networks"]) == [NETWORK]


def test_data_volume_says_what_it_holds(workload_with_volume: WorkloadPlace) -> None:
    wanted = workload_with_volume.workload.volume
    assert wanted is not None  # the fixture has only workloads with one
    volume = workload_with_volume.target.described("volume", wanted.name)
    assert volume["Labels"] == wanted.labels


def test_data_volume_is_the_one_in_use(workload_with_volume: WorkloadPlace) -> None:
    """Otherwise the data would be lost with the container."""
    wanted = workload_with_volume.workload.volume
    assert wanted is not None  # the fixture has only workloads with one
    mounted = {mount.get("Name") for mount in workload_with_volume.inspect()["Mounts"]}
    assert wanted.name in mounted
