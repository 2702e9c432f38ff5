"""What ./lab verify says of a host that it can't ask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.hosts import lab

ASKS = """\
sudo: a terminal is required to read the password; either use the -S option to read from standard \
input or configure an askpass helper
sudo: a password is required
"""


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (ASKS, "h: sudo: a terminal is required to read the password; .*_sudo_password.*NOPASSWD"),
        ("setlocale: no\n" + ASKS, "h: sudo: a terminal is required .*NOPASSWD"),
        ("bash: printf: broken\n", "h: bash: printf: broken$"),
    ],
    ids=["password", "after a warning", "another reason"],
)
def test_a_host_that_can_not_be_asked(errors: str, message: str) -> None:
    shell: Any = SimpleNamespace(run=lambda _: SimpleNamespace(stdout="", stderr=errors))
    with pytest.raises(pytest.UsageError, match=message):
        lab._report("h", shell)
