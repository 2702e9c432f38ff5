"""The hypervisor's commands: the example lab of docs/lab.md on a fake host."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from quaylab.virtual import xml
from tests.deploy.project import Project, Result, fake, report
from tests.unit.virtual import BRIDGE, DISK, MACHINE, POOLS, VM, lab

# A part of the fact's command, and what a hypervisor with libvirt answers.
ASKED = "net-dumpxml"
READY = f"enabled\nkvm\nanswers\ndevice|||{DISK}"
RUN_WIDE = {"libvirt_bridges": [BRIDGE], "libvirt_pools": POOLS}
WAIT = f"Wait for {VM}"


def _inventory(
    project: Project, answer: str = READY, reports: str | None = None, **changes: Any
) -> str:
    data = {**RUN_WIDE, **MACHINE, **changes}
    run_wide = {key: data.pop(key) for key in RUN_WIDE}
    given = {"responses": {ASKED: answer}, **run_wide}
    hypervisor = fake("metal", reports, **given) if reports else fake("metal", **given)
    vm = (VM, {"ssh_hostname": "127.0.0.1", "ssh_port": 1, **run_wide, **data})
    return project.inventory(
        hypervisor=[hypervisor], lab=[vm], quay=[vm], database=[vm], redis=[vm]
    )


def _run(project: Project, inventory: str, *options: str, until: str | None = None) -> Result:
    return project.run(
        "-y", "-vv", inventory, "tasks/hypervisor.py", "--limit", "hypervisor", *options,
        until=until,
    )  # fmt: skip


@pytest.fixture(scope="module")
def installed(shared_project: Project) -> Result:
    """A run up to the wait for its VM, which doesn't exist."""
    return _run(shared_project, _inventory(shared_project, "missing|virsh\n" + READY), until=WAIT)


def test_operations_come_in_order(installed: Result) -> None:
    assert installed.operations == [
        "Install libvirt and QEMU",
        "Start libvirt",
        "Check for conflicts in libvirt",
        "Create the known_hosts file",
        "Create the networks",
        "Create the storage pools",
        "Fetch the base images",
        f"Create {VM}'s seed image",
        f"Create {VM}'s disks",
        f"Run {VM}",
        WAIT,
    ]


@pytest.mark.parametrize(
    "part",
    [
        "qemu-system-x86",
        "net-define",
        "net-autostart quaylab",
        f"vgcreate --quiet --addtag quaylab virt-pool {DISK}",
        "pool-define",
        "porkchop.redhat.com/released/rhel-guest-image-7.5-146.x86_64.qcow2",
        f"lvrename --quiet virt-pool {VM}-root.new {VM}-root",
        "vol-create virt-pool",
        "system define",
        f"autostart {VM}",
        f"start {VM}",
    ],
)
def test_the_example_lab_is_created(installed: Result, part: str) -> None:
    assert [command for command in installed.commands("metal") if part in command]


def test_the_password_is_not_printed(project: Project) -> None:
    inventory = _inventory(project, cloud_user_passwd="hunter2")
    result = project.run(
        "-y", "-vvv", "--debug", inventory, "tasks/hypervisor.py", "--limit", "hypervisor",
        until=WAIT,
    )  # fmt: skip
    assert f"Create {VM}'s seed image" in result.output
    assert "hunter2" not in result.output
    assert "$6$" not in result.output


def test_a_dry_run_changes_nothing(project: Project) -> None:
    result = project.run(
        "--dry", "--json", _inventory(project), "tasks/hypervisor.py", "--limit", "hypervisor"
    )
    assert result.code == 0, result.output
    assert f"Run {VM}" in result.plan
    assert result.commands("metal") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"libvirt_bridges": [{**BRIDGE, "dhcp_end": "10.0.0.1"}]}, "libvirt_bridges[0].dhcp_end"),
        ({"resources": {**MACHINE["resources"], "network": "lab"}}, "resources.network: lab"),  # type: ignore[dict-item]
        ({"image_checksum": None}, "image_checksum: not set for the image of quay.quaylab.lan"),
        ({"cloud_user_passwd": None}, "cloud_user_passwd: neither it nor ssh_pub_key is set"),
        ({"image_checksum": "md5:0"}, "image_checksum: 'md5:0'"),
    ],
    ids=["DHCP", "network", "checksum", "password", "form"],
)
def test_bad_data(project: Project, changes: dict[str, Any], message: str) -> None:
    result = _run(project, _inventory(project, **changes))
    assert result.code == 1
    assert f"  - {message}" in result.output or f": {message}" in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
    assert not project.credentials.exists()


def _domain_of_others() -> str:
    made = lab(lab_name="theirs")
    packed = base64.b64encode(xml.domain(made, made.machines[VM]).encode()).decode()
    return f"{READY}\ndomain|running|enable|{packed}"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("enabled\nanswers", "virt_type: kvm, and @fake/metal has no /dev/kvm"),
        ("kvm\nanswers", f"libvirt_pools: {DISK} of virt-pool is not a disk of @fake/metal"),
        (f"kvm\ndevice||xfs|{DISK}", f"libvirt_pools: {DISK} of virt-pool holds something (xfs)"),
        (f"kvm\ndevice|root|LVM2_member|{DISK}", "belongs to the volume group root"),
        (
            _domain_of_others(),
            f"{VM}: @fake/metal has a VM of this name that this lab has not made",
        ),
    ],
    ids=["kvm", "no disk", "in use", "group", "VM"],
)
def test_a_hypervisor_that_does_not_fit(project: Project, answer: str, problem: str) -> None:
    result = _run(project, _inventory(project, answer))
    assert result.code == 1
    assert problem in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("metal") == []


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        (report(uid="1000"), "_sudo: on @fake/metal commands run as uid 1000"),
        (report(os="arch||"), "@fake/metal: its operating system is arch"),
        (report(arch="aarch64"), "@fake/metal: its architecture is aarch64"),
    ],
    ids=["privilege", "system", "architecture"],
)
def test_a_host_that_cannot_be_a_hypervisor(project: Project, reports: str, message: str) -> None:
    result = _run(project, _inventory(project, reports=reports))
    assert result.code == 1
    assert message in result.output
    assert result.operations == []


def test_the_task_runs_on_hypervisors_only(project: Project) -> None:
    inventory = project.inventory(
        quay=[fake("quay")], database=[fake("quay")], redis=[fake("quay")]
    )
    result = project.run("-y", inventory, "tasks/hypervisor.py")
    assert result.code == 0, result.output
    assert result.operations == []


def test_deploy_leaves_the_hypervisor_out(project: Project) -> None:
    """Even one that no container could run on, such as Fedora with Podman's shim."""
    shim = "\nclient /usr/bin/podman\nversion podman version 5"
    metal = fake("metal", report(memory_kb="1024") + shim)
    vm = [fake("vm", ssh_hostname="192.168.254.12")]
    inventory = project.inventory(hypervisor=[metal], lab=vm, quay=vm, database=vm, redis=vm)
    result = project.run("-y", "-vv", inventory, "deploy.py", until="Create the superuser")
    assert result.commands("metal") == []
    assert any("--name=quaylab-quay" in command for command in result.commands("vm"))


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ((), []),
        (
            ("--data", f"purge={VM}"),
            [
                "Stop resolving the lab's domain",
                "Remove the VMs",
                "Remove the networks",
                "Remove the storage pools",
                "Remove credentials and host keys",
            ],
        ),
    ],
    ids=["without purge", "with purge"],
)
def test_teardown(project: Project, options: tuple[str, ...], operations: list[str]) -> None:
    (project.path / lab().known_hosts).parent.mkdir()
    (project.path / lab().known_hosts).touch()
    result = _teardown(project, *options)
    assert result.code == 0, result.output
    assert result.operations == operations
    undefined = [each for each in result.commands("metal") if "undefine" in each]
    assert len(undefined) == (1 if options else 0)


def _with_vm() -> str:
    """Return the answer of a hypervisor that has the VM."""
    made = lab()
    packed = base64.b64encode(xml.domain(made, made.machines[VM]).encode()).decode()
    return f"{READY}\ndomain|running|enable|{packed}\nhost_key|{VM}|ssh-ed25519 AAAA"


def _teardown(project: Project, *options: str) -> Result:
    """Run the teardown on a hypervisor that has the VM."""
    return project.run(
        "-y", "-vv", _inventory(project, _with_vm()), "tasks/teardown_hypervisor.py",
        "--limit", "hypervisor", *options,
    )  # fmt: skip


@pytest.mark.parametrize("known", [None, f"{VM} ssh-ed25519 BBBB\n"], ids=["none", "other keys"])
@pytest.mark.parametrize("task", ["up", "reimage", "down"])
def test_a_lab_of_the_same_name_from_another_folder_stays(
    project: Project, known: str | None, task: str
) -> None:
    if known:
        (project.path / lab().known_hosts).parent.mkdir()
        (project.path / lab().known_hosts).write_text(known)
    if task == "down":
        result = _teardown(project, "--data", f"purge={VM}")
    else:
        options = ("--data", f"reimage={VM}") if task == "reimage" else ()
        result = _run(project, _inventory(project, _with_vm()), *options)
    assert result.code == 1
    assert f"lab_name: the lab quaylab on @fake/metal ({VM}) was made from another" in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("metal") == []
