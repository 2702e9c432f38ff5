"""What hosts report of themselves."""

from __future__ import annotations

import pytest

from tests.unit.samples import machine


@pytest.mark.parametrize(
    ("os_id", "os_like", "debian", "red_hat"),
    [
        ("debian", (), True, False),
        ("ubuntu", ("debian",), True, False),
        ("linuxmint", ("ubuntu", "debian"), True, False),
        ("rhel", ("fedora",), False, True),
        ("fedora", (), False, True),
        ("rocky", ("rhel", "centos", "fedora"), False, True),
        ("eurolinux", ("rhel", "fedora"), False, True),
        ("alpine", (), False, False),
        ("", (), False, False),
    ],
)
def test_family(os_id: str, os_like: tuple[str, ...], debian: bool, red_hat: bool) -> None:
    found = machine(os_id=os_id, os_like=os_like)
    assert (found.debian_family, found.red_hat_family) == (debian, red_hat)


@pytest.mark.parametrize(("version", "major"), [("7.9", 7), ("13", 13), ("22.04", 22), ("", 0)])
def test_major_version(version: str, major: int) -> None:
    assert machine(os_version=version).os_major == major
