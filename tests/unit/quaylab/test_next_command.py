"""The next command, derived from the current one."""

from __future__ import annotations

import pytest

from quaylab.next_command import next_command

RESTORE = "tasks/restore_database.py"


@pytest.mark.parametrize(
    ("given", "next_one"),
    [
        (
            ["-y", "inventory.py", "deploy.py"],
            f"pyinfra -y inventory.py {RESTORE} --data restore=x",
        ),
        (
            ["my site/inventory.py", "tasks/quay.py", "--sudo", "--data", "lab_name=a b"],
            f"pyinfra 'my site/inventory.py' {RESTORE} --sudo --data 'lab_name=a b' "
            "--data restore=x",
        ),
        (
            ["inventory.py", "deploy.py", "--data", "restore=old"],
            f"pyinfra inventory.py {RESTORE} --data restore=x",
        ),
        (
            ["inventory.py", "deploy.py", "--data=restore=old", "--data=lab_name=a=b"],
            f"pyinfra inventory.py {RESTORE} --data lab_name=a=b --data restore=x",
        ),
        (
            ["--ssh-password", "hunter2", "--key-password=hunter2", "inventory.py", "deploy.py"],
            f"pyinfra --ssh-password PASSWORD --key-password PASSWORD inventory.py {RESTORE} "
            "--data restore=x",
        ),
        (
            ["inventory.py", "deploy.py", "--data", "_sudo_password=hunter2"],
            f"pyinfra inventory.py {RESTORE} --data _sudo_password=PASSWORD --data restore=x",
        ),
    ],
    ids=["plain", "options stay", "its own data is replaced", "with =", "passwords", "of sudo"],
)
def test_next_command(given: list[str], next_one: str) -> None:
    assert next_command(given, RESTORE, restore="x") == next_one
