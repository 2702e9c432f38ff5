"""The commands for VMs; where possible they run in a real shell."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facts.libvirt import Libvirt
from operations.runtime.commands import LOCK, encoded
from operations.virtual import machines
from operations.virtual.hypervisor import VIRSH
from quaylab.virtual import cloud_init
from quaylab.virtual.found import DiskFile, Hypervisor, Object
from quaylab.virtual.lab import GB, IMAGES, Lab
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.shell import Shell
from tests.unit.virtual import FILES, VM, bare, lab, there


def _host(report: Hypervisor) -> FakeHost:
    return FakeHost({Libvirt: report}, "@local")


def _shell(report: Hypervisor, name: str, made: Lab) -> list[str]:
    return _host(report).shell(getattr(machines, name), lab=made, machine=made.machines[VM])


# --- disks ---


def test_a_root_disk_is_an_overlay() -> None:
    made = lab(**FILES)
    root = _shell(bare(made), "disks", made)[0]
    base, path = made.machines[VM].image.path, f"{IMAGES}/{VM}-root.qcow2"
    assert f"qemu-img create -q -f qcow2 -b {base} -F qcow2 {path}.new" in root
    assert f"mv {path}.new {path}" in root
    assert "umask 077" in root


@pytest.mark.parametrize(("image", "size"), [(3 * GB, 10 * GB), (40 * GB, 40 * GB)])
def test_a_root_disk_that_is_a_logical_volume(
    shell: Shell, tmp_path: Path, image: int, size: int
) -> None:
    """It is at least as large as its image, and gets its name last, so that an incomplete one is
    never used."""
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


def test_a_root_disk_that_cannot_be_converted_gets_no_name(shell: Shell, tmp_path: Path) -> None:
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
    _, *commands = host.operate(machines.disks, lab=made, machine=made.machines[VM])
    assert ["vol-create" in text(command) for command in commands] == [False, True, False, True]
    assert f"{VM}-disk2" in base64.b64decode(stdin(commands[-1])).decode()


def test_existing_disks_are_left_alone() -> None:
    host = _host(there(lab()))
    assert host.shell(machines.disks, lab=lab(), machine=lab().machines[VM]) == []
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


@pytest.mark.parametrize(
    ("size", "seen", "words"),
    [
        (20, 20, []),
        (20, 10, ["blockresize"]),
        (20, None, []),
        (10, 10, ["lvextend", "blockresize"]),
    ],
    ids=["done", "killed half way", "unknown", "small"],
)
def test_a_disk_that_the_vm_sees_too_small_is_resized_there(
    size: int, seen: int | None, words: list[str]
) -> None:
    disks = [{"size": 20, "pool": "virt-pool"}, {"size": 10, "pool": "virt-pool"}]
    made = lab(resources={"disks": disks})
    path, report = made.machines[VM].disks[0].path, there(lab())
    files = {**report.files, path: DiskFile("raw", size * GB)}
    live = {path: seen * GB} if seen else {}
    commands = _shell(dataclasses.replace(report, files=files, live_sizes=live), "disks", made)
    found = " ".join(commands)
    assert [word for word in ("lvextend", "blockresize") if word in found] == words
    assert (len(commands) == 0) is (not words)


# --- seeds ---


def test_a_seed_is_made_of_secret_files() -> None:
    made = lab()
    host = _host(bare(made))
    host.shell_output = (False, [])
    _, write, iso = host.operate(machines.seeded, lab=made, machine=made.machines[VM])
    for name in ("meta-data", "user-data"):
        assert f"chmod 0600 {made.machines[VM].directory}/{name}.new" in text(write)
    assert "$6$" not in text(write)
    assert "xorrisofs" in text(iso)


def test_the_seed_holds_the_host_key(shell: Shell, tmp_path: Path) -> None:
    """All but xorrisofs runs for real; its stub saves what it is given."""
    made = lab()
    machine = made.machines[VM]
    host = _host(bare(made))
    host.shell_output = (False, [])
    *_, iso = host.shell(machines.seeded, lab=made, machine=machine)
    user_data = cloud_init.user_data(machine)
    (tmp_path / "user-data").write_text(user_data)
    (tmp_path / "meta-data").write_text(cloud_init.meta_data(machine))
    shell.stub(
        "xorrisofs",
        'while test $# -gt 1; do test "$1" != -output || out=$2; shift; done;\n'
        'cp "$1/user-data" "$out"; dirname "$1" >"$out.from"',
    )
    command = iso.replace(machine.directory, str(tmp_path)).replace(IMAGES, str(tmp_path))
    (tmp_path / "tmp.killed").mkdir()
    done = shell.run(command)
    assert done.returncode == 0, done.stderr
    seed = (tmp_path / f"{VM}-seed.iso").read_text()
    public = (tmp_path / "ssh_host_ed25519_key.pub").read_text().strip()
    assert seed.startswith(user_data)
    assert f"  ed25519_public: {public}" in seed
    assert "BEGIN OPENSSH PRIVATE KEY" in seed
    # Only root can read what a killed run leaves there, and the next run removes it.
    assert (tmp_path / f"{VM}-seed.iso.new.from").read_text() == f"{tmp_path}\n"
    assert not [*tmp_path.glob("tmp.*")]
    # Again, with the same key, which known_hosts may have already.
    assert shell.run(command).returncode == 0
    assert (tmp_path / f"{VM}-seed.iso").read_text() == seed


@pytest.fixture
def saved() -> list[str]:
    return cloud_init.user_data(lab().machines[VM]).splitlines()


def test_an_existing_seed_is_left_alone(saved: list[str]) -> None:
    host = _host(there(lab()))
    host.shell_output = (True, saved)
    assert host.shell(machines.seeded, lab=lab(), machine=lab().machines[VM]) == []
    assert host.noops == [f"{VM} has its seed"]


def test_a_killed_runs_seed_is_used(saved: list[str]) -> None:
    host = _host(dataclasses.replace(there(lab()), domains={}))
    host.shell_output = (True, saved)
    assert host.shell(machines.seeded, lab=lab(), machine=lab().machines[VM]) == []


def test_a_run_killed_before_the_seed_was_built_is_finished(saved: list[str]) -> None:
    """The user data may be right, and yet another file missing."""
    made = lab()
    host = _host(bare(made))
    host.shell_output = (True, saved)
    remove, write, _ = host.operate(machines.seeded, lab=made, machine=made.machines[VM])
    assert text(remove) == f"rm -f {IMAGES}/{VM}-seed.iso"
    assert "meta-data" in text(write)
    assert stdin(write).endswith(encoded("".join(f"{line}\n" for line in saved).encode()))


@pytest.mark.parametrize(
    "changes",
    [{"cloud_user_passwd": "other"}, {"install_packages": ["vim"]}, {"update": True}],
    ids=["password", "packages", "update"],
)
def test_a_first_boot_cannot_be_changed_afterwards(
    changes: dict[str, Any], saved: list[str]
) -> None:
    made = lab(**changes)
    host = _host(there(lab()))
    host.shell_output = (True, saved)
    (command,) = host.shell(machines.seeded, lab=made, machine=made.machines[VM])
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


def test_with_qemu_the_message_does_not_name_virt_type() -> None:
    made = lab(virt_type="qemu")
    assert "virt_type" not in _shell(bare(made), "running", made)[-1]


def test_a_running_vm_is_left_alone() -> None:
    host = _host(there(lab()))
    assert host.shell(machines.running, lab=lab(), machine=lab().machines[VM]) == []
    assert host.noops == [f"{VM} is running"]


def test_a_vm_that_was_shut_off_is_started() -> None:
    report = there(lab())
    off = dataclasses.replace(report, domains={VM: Object(report.domains[VM].xml, False, True)})
    (command,) = _shell(off, "running", lab())
    assert f" start {VM} " in command


@pytest.mark.parametrize(
    ("changes", "commands"),
    [
        (
            {"resources": {"ram": 16384}},
            [f"setmaxmem --config {VM} 16384MiB", f"setmem --config {VM} 16384MiB"],
        ),
        (
            {"resources": {"vcpus": 4}},
            [f"setvcpus --config --maximum {VM} 4", f"setvcpus --config {VM} 4"],
        ),
    ],
    ids=["memory", "processors"],
)
def test_another_size_is_for_the_next_start(
    changes: dict[str, Any], commands: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a definition anew, which would lose what was attached by hand."""
    made = lab(**changes)
    assert _shell(there(lab()), "running", made) == [
        f"{VIRSH} {command} >/dev/null" for command in commands
    ]
    assert f"{VM} gets {'memory' if 'ram' in str(changes) else 'processors'} when" in caplog.text


@pytest.mark.parametrize(
    ("changed", "command"),
    [
        ("<currentMemory unit='KiB'>1048576</currentMemory><vcpu>2</vcpu>", "setmem --config"),
        ("<vcpu current='1'>2</vcpu>", "setvcpus --config"),
    ],
    ids=["memory", "processors"],
)
def test_a_change_of_size_that_was_killed_half_way_is_finished(changed: str, command: str) -> None:
    report = there(lab())
    half = report.domains[VM].xml.replace("<vcpu>2</vcpu>", changed)
    domains = {VM: Object(half, True, True)}
    *_, last = _shell(dataclasses.replace(report, domains=domains), "running", lab())
    assert f" {command} {VM} " in last


def test_another_virt_type_keeps_what_was_attached_by_hand() -> None:
    made, report = lab(virt_type="qemu"), there(lab())
    card = '<interface type="bridge"><source bridge="br0" /></interface>'
    existing = report.domains[VM].xml.replace("<serial type", f"{card}<serial type", 1)
    domains = {VM: Object(existing, True, True)}
    host = _host(dataclasses.replace(report, domains=domains))
    (command,) = host.operate(machines.running, lab=made, machine=made.machines[VM])
    assert " define " in text(command)
    defined = base64.b64decode(stdin(command)).decode()
    assert card in defined
    assert defined.startswith('<domain xmlns:quaylab="https://quaylab.lan/vm/1" type="qemu">')
    assert defined.count("<cpu ") == 1 and '<cpu mode="maximum" />' in defined
    assert f'<quaylab:vm image="{made.machines[VM].image.checksum}" />' in defined


@pytest.mark.parametrize(("active", "live"), [(True, True), (False, False)])
def test_a_new_disk_is_attached(active: bool, live: bool) -> None:
    disks = [{"size": 10, "pool": "virt-pool"}] * 3
    made = lab(resources={"disks": disks})
    report = there(lab())
    domains = {VM: Object(report.domains[VM].xml, active, True)}
    host = _host(dataclasses.replace(report, domains=domains))
    attach = host.operate(machines.running, lab=made, machine=made.machines[VM])[0]
    assert ("--live" in text(attach)) == live
    assert "--config" in text(attach)
    assert "<serial>disk3</serial>" in base64.b64decode(stdin(attach)).decode()


@pytest.mark.parametrize("free", [True, False], ids=["a free port", "no free port"])
def test_a_disk_for_which_a_running_vm_has_no_port(
    shell: Shell, tmp_path: Path, free: bool
) -> None:
    made = lab(resources={"disks": [{"size": 10, "pool": "virt-pool"}] * 3})
    (attach,) = _host(there(lab())).operate(machines.running, lab=made, machine=made.machines[VM])
    port = "true" if free else "echo No more available PCI slots >&2; false"
    shell.stub("virsh", f'cat >{tmp_path}/device; case "$*" in *--live*) {port} ;; esac')
    done = shell.run(text(attach), stdin(attach))
    assert (done.returncode == 0) is free
    lives = ["--live" in call for call in shell.calls]
    assert lives == ([True] if free else [True, False])
    assert all("--config" in call for call in shell.calls)
    assert "<serial>disk3</serial>" in (tmp_path / "device").read_text()
    if not free:
        assert "No more available PCI slots\nresources: disk3 could not be attached" in done.stderr
        assert "shut it down and start it" in done.stderr


@pytest.mark.parametrize(
    ("live", "late"),
    [(("root", "disk1", "disk2"), False), (("root", "disk1"), True), ((), False)],
    ids=["attached", "not yet", "unknown"],
)
def test_a_disk_that_waits_for_the_next_start_is_named(
    live: tuple[str, ...], late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {f"/dev/virt-pool/{VM}-{name}": 10 * GB for name in live}
    report = dataclasses.replace(there(lab()), live_sizes=sizes)
    assert _shell(report, "running", lab()) == []
    assert (f"{VM} gets disk2 when it is shut down" in caplog.text) is late


def test_a_reimaged_vm_loses_its_root_disk_only() -> None:
    made = lab(reimage=VM)
    commands = _shell(there(lab()), "reimaged", made)
    joined = "\n".join(commands)
    assert " destroy " in commands[0] and " undefine " in commands[1]
    assert f"lvremove --quiet --yes /dev/virt-pool/{VM}-root" in joined
    assert "disk1" not in joined
    files = lab(**FILES, reimage=VM)
    assert f"rm -f {IMAGES}/{VM}-root.qcow2" in _shell(there(lab(**FILES)), "reimaged", files)


def test_an_incomplete_logical_volume_is_not_the_root_disk() -> None:
    report = there(lab())
    half = {f"/dev/virt-pool/{VM}-root.new": DiskFile("raw", 10 * GB)}
    files = {path: each for path, each in report.files.items() if not path.endswith("-root")}
    (command,) = _shell(dataclasses.replace(report, files=files | half), "disks", lab())
    assert "lvremove --quiet --yes" in command
