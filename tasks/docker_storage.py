"""Disks for the engine's images and for Quay's blobs, mounted before the engine starts.

The content of a disk is destroyed only if its setting has `wipe`. Without disks or directories in
the settings, the engine waits for none.
"""

from pyinfra import host

from operations.engines import docker
from operations.hosts import storage
from operations.runtime.run import begin
from quaylab.engines import DOCKER

plan = begin()

machine = plan.machines[host.name]
wanted = plan.storages.get(host.name, ())
volumes = plan.volumes_of(host.name).values()
directories = tuple(volume.path for volume in volumes if volume.path)

if wanted:
    by_setting = {each.setting: each for each in wanted}

    storage.tools_installed(name="Install LVM and xfs", machine=machine)

    if docker_storage := by_setting.get("docker_storage"):
        if machine.is_rhel_7:
            # The package has docker-storage-setup.
            docker.installed(
                name="Install the container engine", machine=machine, settings=plan.settings
            )

        storage.mounted(name="Mount the engine's storage", storage=docker_storage, machine=machine)

        if not machine.is_rhel_7:
            storage.driver_set(name="Set the engine's storage driver")

    if quay_storage := by_setting.get("quay_storage"):
        storage.mounted(name="Mount Quay's storage", storage=quay_storage, machine=machine)

    if plan.engine_of(host.name) is DOCKER and machine.engine and machine.engine.version:
        # It was running, and may have been stopped for its disks.
        docker.running(name="Start the container engine", machine=machine, settings=plan.settings)

# Podman's containers are started again and again until their disks are there.
runs_engine = bool(wanted) or host.name in plan.topology.engine_hosts()
if plan.engine_of(host.name) is DOCKER and machine.systemd and runs_engine:
    storage.engine_waits_for_mounts(
        name="Make the engine wait for its disks", wanted=wanted, directories=directories
    )
