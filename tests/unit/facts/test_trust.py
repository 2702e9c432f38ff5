"""Names that a host resolves, and certificates that it trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from facts.trust import BundleHolds, Name, NameState
from tests.unit.shell import Shell

NAME, MARK = "quay.quaylab.lan", "# quaylab"


@pytest.mark.parametrize(
    ("resolves", "lines", "state"),
    [
        (False, "127.0.0.1 localhost\n", NameState(False, None)),
        (True, f"10.0.0.1 {NAME}\n", NameState(True, None)),
        (True, f"10.0.0.1 {NAME} {MARK}\n", NameState(True, "10.0.0.1")),
        (
            True,
            f"10.0.0.1 other.{NAME} {MARK}\n",
            NameState(True, None, has_former_name=True),
        ),
        (
            True,
            f"10.0.0.1 other.lan {MARK}\n10.0.0.1 {NAME} {MARK}\n",
            NameState(True, "10.0.0.1", has_former_name=True),
        ),
        (
            True,
            f"10.0.0.1 other.lan {MARK}-vms lab\n10.0.0.1 other.lan no{MARK}\n",
            NameState(True, None),
        ),
    ],
    ids=["unknown", "known", "by our line", "of a former name", "both", "lines of others"],
)
def test_name(shell: Shell, tmp_path: Path, resolves: bool, lines: str, state: NameState) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(lines)
    shell.stub("getent", f"exit {0 if resolves else 2}")
    command = Name().command(hostname=NAME, mark=MARK).get_raw_value()
    found = shell.lines(command.replace("/etc/hosts", str(hosts)))
    assert Name().process(found) == state


@pytest.mark.parametrize(
    ("dns", "uses_dns", "another"),
    [
        ("10.0.0.2 STREAM", True, True),
        ("fd00::2 STREAM", True, True),
        ("10.0.0.1 STREAM", True, False),
        ("10.0.0.2 STREAM", False, False),
        ("", True, False),
    ],
    ids=["another", "only IPv6", "ours, by a resolver that reads the file", "no DNS", "unknown"],
)
def test_dns_is_asked_beside_our_line(
    shell: Shell, tmp_path: Path, dns: str, uses_dns: bool, another: bool
) -> None:
    hosts, switch = tmp_path / "hosts", tmp_path / "nsswitch.conf"
    hosts.write_text(f"10.0.0.1 {NAME} {MARK}\n")
    switch.write_text(f"passwd: files\nhosts:  files {'dns' if uses_dns else ''}\n")
    shell.stub("getent", f'test "$1" != -s || printf %s "{dns and dns + chr(10)}"')
    command = Name().command(hostname=NAME, mark=MARK).get_raw_value()
    command = command.replace("/etc/hosts", str(hosts)).replace("/etc/nsswitch.conf", str(switch))
    assert Name().process(shell.lines(command)) == NameState(True, "10.0.0.1", another)
    assert (f"getent -s dns ahosts {NAME}" in shell.calls) is uses_dns


@pytest.mark.parametrize(
    ("bodies", "holds"),
    [
        (["MIIB+a/bMIIC"], True),
        (["MIIB+a/bMIIC", "second="], True),
        (["MIIB+a/bMIIX"], False),
        (["MIIB+a/bMIIC", "third="], False),
        (["-no-option"], False),
    ],
)
def test_bundle(shell: Shell, tmp_path: Path, bodies: list[str], holds: bool) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(
        "-----BEGIN CERTIFICATE-----\r\nMIIB+a/b\r\nMIIC\r\n-----END CERTIFICATE-----\n"
        "-----BEGIN CERTIFICATE-----\nsecond=\n-----END CERTIFICATE-----\n"
    )
    command = BundleHolds().command(bundle=str(bundle), bodies=bodies)
    assert BundleHolds().process(shell.lines(command)) is holds


def test_missing_bundle_holds_nothing(shell: Shell, tmp_path: Path) -> None:
    command = BundleHolds().command(bundle=str(tmp_path / "missing"), bodies=["MIIB"])
    assert BundleHolds().process(shell.lines(command)) is False
