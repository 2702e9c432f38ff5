"""VMs at the level of commands, and those that can be run for real, for real."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from facts.libvirt import Libvirt
from operations import virtual_machines
from operations.commands import LOCK
from quaylab.virtual import cloud_init
from quaylab.virtual.found import DiskFile, Hypervisor, Object
from quaylab.virtual.lab import GB, IMAGES, Lab
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.shell import Shell
from tests.unit.virtual import FILES, VM, bare, lab, there

CONTENT = b"an image\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


def _host(report: Hypervisor) -> FakeHost:
    return FakeHost({Libvirt: report}, "@local")


def _shell(report: Hypervisor, name: str, made: Lab) -> list[str]:
    return _host(report).shell(getattr(virtual_machines, name), lab=made, machine=made.machines[VM])


# --- base images ---


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.qcow2"
    path.write_bytes(CONTENT)
    return path


def _fetch(shell: Shell, folder: Path, qcow2: bool = True, **image: str) -> tuple[str, list[Path]]:
    """Run the command in a folder; what it says, and what is there then."""
    made = lab(**image)
    (command,) = _host(bare(made)).shell(virtual_machines.images, lab=made)
    kind = "qcow2" if qcow2 else "raw"
    shell.stub("qemu-img", f"""echo '    "format": "{kind}",'""")
    images = folder / "images"
    done = shell.run(command.replace(IMAGES, str(images)).replace(LOCK, str(folder / "lock")))
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr, list(images.iterdir())


@pytest.mark.parametrize(
    "checksum",
    [f"sha256:{DIGEST}", f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"],
    ids=["sha256", "sha512"],
)
def test_an_image_with_its_checksum(
    shell: Shell, tmp_path: Path, source: Path, checksum: str
) -> None:
    told, (image,) = _fetch(shell, tmp_path, image_uri=f"file://{source}", image_checksum=checksum)
    assert told == ""
    assert image.read_bytes() == CONTENT
    assert image.name == f"quaylab-base-{checksum[7:23]}.qcow2"


def test_a_wrong_checksum_leaves_nothing(shell: Shell, tmp_path: Path, source: Path) -> None:
    wanted = f"sha256:{OTHER}"
    told, left = _fetch(shell, tmp_path, image_uri=f"file://{source}", image_checksum=wanted)
    assert told.startswith(
        f"image_checksum: file://{source} has sha256:{DIGEST}, wanted is {OTHER}"
    )
    assert left == []


def test_no_such_image(shell: Shell, tmp_path: Path) -> None:
    told, left = _fetch(shell, tmp_path, image_uri="file:///nowhere/a.qcow2")
    assert "image_uri: file:///nowhere/a.qcow2 can't be fetched" in told
    assert left == []


def test_what_is_no_qcow2(shell: Shell, tmp_path: Path, source: Path) -> None:
    told, left = _fetch(
        shell,
        tmp_path,
        qcow2=False,
        image_uri=f"file://{source}",
        image_checksum=f"sha256:{DIGEST}",
    )
    assert told.startswith(f"image_uri: file://{source} is no qcow2 image")
    assert left == []


@pytest.mark.parametrize(
    "line",
    [f"{DIGEST}  source.qcow2", f"{DIGEST} *source.qcow2", f"SHA256 (source.qcow2) = {DIGEST}"],
    ids=["text", "binary", "BSD"],
)
def test_a_list_of_checksums(shell: Shell, tmp_path: Path, source: Path, line: str) -> None:
    shell.stub("curl", f"printf '%s\\n' '{OTHER}  another.qcow2' '{line}'")
    told, left = _fetch(
        shell,
        tmp_path,
        image_uri=f"file://{source}",
        image_checksum="sha256:https://example.com/SHA256SUMS",
    )
    assert told == ""
    assert len(left) == 1


def test_a_list_without_it(shell: Shell, tmp_path: Path, source: Path) -> None:
    shell.stub("curl", f"echo '{DIGEST}  another.qcow2'")
    told, left = _fetch(
        shell,
        tmp_path,
        image_uri=f"file://{source}",
        image_checksum="sha256:https://example.com/SHA256SUMS",
    )
    assert "wanted is one, but the list has none of it" in told
    assert left == []


def test_a_download_goes_through_the_proxy(shell: Shell, tmp_path: Path) -> None:
    shell.stub("curl", 'test "$https_proxy" = http://proxy:1 && printf "an image\\n" >"$6"')
    made = lab(image_checksum=f"sha256:{DIGEST}", https_proxy="http://proxy:1")
    (command,) = _host(bare(made)).shell(virtual_machines.images, lab=made)
    shell.stub("qemu-img", """echo '"format": "qcow2"'""")
    done = shell.run(command.replace(IMAGES, str(tmp_path)).replace(LOCK, str(tmp_path / "lock")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"quaylab-base-{DIGEST[:16]}.qcow2").read_bytes() == CONTENT


def test_an_image_that_is_there_is_not_fetched() -> None:
    host = _host(there(lab()))
    assert host.shell(virtual_machines.images, lab=lab()) == []
    assert host.noops[0].endswith("is there")


# --- disks ---


def test_a_root_disk_is_an_overlay() -> None:
    made = lab(**FILES)
    root = _shell(bare(made), "disks", made)[0]
    base, path = made.machines[VM].image.path, f"{IMAGES}/{VM}-root.qcow2"
    assert f"qemu-img create -q -f qcow2 -b {base} -F qcow2 {path}.new" in root
    assert f"mv {path}.new {path}" in root


@pytest.mark.parametrize(("image", "size"), [(3 * GB, 10 * GB), (40 * GB, 40 * GB)])
def test_a_root_disk_that_is_a_logical_volume(
    shell: Shell, tmp_path: Path, image: int, size: int
) -> None:
    """At least as large as its image; its name comes last, so half of one is never taken."""
    made = lab()
    root = _shell(bare(made), "disks", made)[0]
    shell.stub("qemu-img", f"""test $1 = convert || echo '"virtual-size": {image},'""")
    for tool in ("lvcreate", "lvrename", "lvremove", "virsh", "sync"):
        shell.stub(tool, ":")
    done = shell.run(root.replace(LOCK, str(tmp_path / "lock")))
    assert done.returncode == 0, done.stderr
    volume, tools = f"{VM}-root", [call.split()[0] for call in shell.calls]
    assert tools == ["qemu-img", "lvcreate", "qemu-img", "sync", "lvrename", "virsh"]
    assert f"--size {size}b --name {volume}.new virt-pool" in shell.calls[1]
    assert shell.calls[2].endswith(f"/dev/virt-pool/{volume}.new")
    assert shell.calls[4].endswith(f"virt-pool {volume}.new {volume}")


def test_a_root_disk_that_can_not_be_converted_gets_no_name(shell: Shell, tmp_path: Path) -> None:
    root = _shell(bare(lab()), "disks", lab())[0]
    shell.stub("qemu-img", """test $1 != convert && echo '"virtual-size": 1,'""")
    for tool in ("lvcreate", "lvrename", "lvremove", "virsh"):
        shell.stub(tool, ":")
    done = shell.run(root.replace(LOCK, str(tmp_path / "lock")))
    assert done.returncode != 0
    assert not any(call.startswith("lvrename") for call in shell.calls)


def test_further_disks_are_volumes_of_their_pools() -> None:
    host = _host(bare(lab()))
    made = lab()
    _, *commands = host.operate(virtual_machines.disks, lab=made, machine=made.machines[VM])
    assert ["vol-create" in text(command) for command in commands] == [False, True, False, True]
    assert f"{VM}-disk2" in base64.b64decode(stdin(commands[-1])).decode()


def test_disks_that_are_there_are_left_alone() -> None:
    host = _host(there(lab()))
    assert host.shell(virtual_machines.disks, lab=lab(), machine=lab().machines[VM]) == []
    assert host.noops == [f"the disks of {VM} are there"]


@pytest.mark.parametrize(
    ("where", "active", "words"),
    [
        ({}, True, ["lvextend --quiet --size", "blockresize"]),
        ({}, False, ["lvextend --quiet --size"]),
        (FILES, True, ["blockresize"]),
        (FILES, False, ["qemu-img resize -q"]),
    ],
    ids=["volume, running", "volume, off", "file, running", "file, off"],
)
def test_a_disk_is_grown_in_place(where: dict[str, Any], active: bool, words: list[str]) -> None:
    before = lab(**where)
    disks = [{"size": 10, "pool": "virt-pool"}, {"size": 20, "pool": "virt-pool"}]
    made = lab(**where, resources={"disks": disks})
    report = there(before)
    domains = {VM: Object(report.domains[VM].xml, active, True)}
    (command,) = _shell(dataclasses.replace(report, domains=domains), "disks", made)
    tools = ("lvextend --quiet --size", "blockresize", "qemu-img resize -q")
    assert [tool for tool in tools if tool in command] == words
    assert str(20 * GB) in command


# --- seeds ---


def test_a_seed_is_made_of_secret_files(shell: Shell) -> None:
    made = lab()
    host = _host(bare(made))
    host.shell_output = (False, [])
    machine = made.machines[VM]
    user, meta, iso = host.operate(virtual_machines.seeded, lab=made, machine=machine)
    told = base64.b64decode(stdin(user)).decode()
    assert told.startswith("#cloud-config")
    for command in (user, meta):
        assert "chmod 0600" in text(command)
        assert "$6$" not in text(command)
    assert "xorrisofs" in text(iso)


def test_the_seed_holds_the_host_key(shell: Shell, tmp_path: Path) -> None:
    """Run for real but for the ISO's maker, which keeps what it was given."""
    made = lab()
    machine = made.machines[VM]
    host = _host(bare(made))
    host.shell_output = (False, [])
    *_, iso = host.shell(virtual_machines.seeded, lab=made, machine=machine)
    user_data = cloud_init.user_data(machine)
    (tmp_path / "user-data").write_text(user_data)
    (tmp_path / "meta-data").write_text(cloud_init.meta_data(machine))
    shell.stub(
        "xorrisofs",
        'while test $# -gt 1; do test "$1" != -output || out=$2; shift; done;\n'
        'cp "$1/user-data" "$out"',
    )
    command = iso.replace(machine.directory, str(tmp_path)).replace(IMAGES, str(tmp_path))
    done = shell.run(command)
    assert done.returncode == 0, done.stderr
    seed = (tmp_path / f"{VM}-seed.iso").read_text()
    public = (tmp_path / "ssh_host_ed25519_key.pub").read_text().strip()
    assert seed.startswith(user_data)
    assert f"  ed25519_public: {public}" in seed
    assert "BEGIN OPENSSH PRIVATE KEY" in seed
    # Again, with the same key: the VM may be known by it already.
    assert shell.run(command).returncode == 0
    assert (tmp_path / f"{VM}-seed.iso").read_text() == seed


@pytest.fixture
def kept() -> list[str]:
    return cloud_init.user_data(lab().machines[VM]).splitlines()


def test_a_seed_that_is_there_is_left_alone(kept: list[str]) -> None:
    host = _host(there(lab()))
    host.shell_output = (True, kept)
    assert host.shell(virtual_machines.seeded, lab=lab(), machine=lab().machines[VM]) == []
    assert host.noops == [f"{VM} has its seed"]


def test_a_killed_runs_seed_is_used(kept: list[str]) -> None:
    host = _host(dataclasses.replace(there(lab()), domains={}))
    host.shell_output = (True, kept)
    assert host.shell(virtual_machines.seeded, lab=lab(), machine=lab().machines[VM]) == []


@pytest.mark.parametrize(
    "changes",
    [{"cloud_user_passwd": "other"}, {"install_packages": ["vim"]}, {"update": True}],
    ids=["password", "packages", "update"],
)
def test_a_first_boot_can_not_be_changed_afterwards(
    changes: dict[str, Any], kept: list[str]
) -> None:
    made = lab(**changes)
    host = _host(there(lab()))
    host.shell_output = (True, kept)
    (command,) = host.shell(virtual_machines.seeded, lab=made, machine=made.machines[VM])
    assert f"--data reimage={VM}" in command
    assert "exit 1" in command


# --- domains ---


def test_a_vm_is_defined_and_started() -> None:
    commands = _shell(bare(lab()), "running", lab())
    assert [each.partition("system ")[2].split()[0] for each in commands] == [
        "define",
        "autostart",
        "start",
    ]
    assert "set virt_type=qemu" in commands[-1]


def test_with_qemu_nothing_is_said_of_virt_type() -> None:
    made = lab(virt_type="qemu")
    assert "virt_type" not in _shell(bare(made), "running", made)[-1]


def test_a_running_vm_is_left_alone() -> None:
    host = _host(there(lab()))
    assert host.shell(virtual_machines.running, lab=lab(), machine=lab().machines[VM]) == []
    assert host.noops == [f"{VM} is running"]


def test_a_vm_that_was_shut_off_is_started() -> None:
    report = there(lab())
    off = dataclasses.replace(report, domains={VM: Object(report.domains[VM].xml, False, True)})
    (command,) = _shell(off, "running", lab())
    assert f" start {VM} " in command


@pytest.mark.parametrize(
    "changes",
    [{"resources": {"ram": 16384}}, {"resources": {"vcpus": 4}}, {"virt_type": "qemu"}],
    ids=["memory", "processors", "virt_type"],
)
def test_another_size_is_for_the_next_start(changes: dict[str, Any]) -> None:
    made = lab(**changes)
    (command,) = _shell(there(lab()), "running", made)
    assert " define " in command


@pytest.mark.parametrize(("active", "live"), [(True, True), (False, False)])
def test_a_new_disk_is_attached(active: bool, live: bool) -> None:
    disks = [{"size": 10, "pool": "virt-pool"}] * 3
    made = lab(resources={"disks": disks})
    report = there(lab())
    domains = {VM: Object(report.domains[VM].xml, active, True)}
    host = _host(dataclasses.replace(report, domains=domains))
    attach = host.operate(virtual_machines.running, lab=made, machine=made.machines[VM])[0]
    assert ("--live" in text(attach)) == live
    assert "--config" in text(attach)
    assert "<serial>disk3</serial>" in base64.b64decode(stdin(attach)).decode()


def test_a_vm_made_anew_loses_its_root_disk_only() -> None:
    made = lab(reimage=VM)
    commands = _shell(there(lab()), "reimaged", made)
    joined = "\n".join(commands)
    assert " destroy " in commands[0] and " undefine " in commands[1]
    assert f"lvremove --quiet --yes /dev/virt-pool/{VM}-root" in joined
    assert "disk1" not in joined
    files = lab(**FILES, reimage=VM)
    assert f"rm -f {IMAGES}/{VM}-root.qcow2" in _shell(there(lab(**FILES)), "reimaged", files)


def test_half_a_logical_volume_is_not_the_root_disk() -> None:
    report = there(lab())
    half = {f"/dev/virt-pool/{VM}-root.new": DiskFile("raw", 10 * GB, None)}
    files = {path: each for path, each in report.files.items() if not path.endswith("-root")}
    (command,) = _shell(dataclasses.replace(report, files=files | half), "disks", lab())
    assert "lvremove --quiet --yes" in command
