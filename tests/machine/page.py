"""The commands of a page, which tests run as they stand there."""

from __future__ import annotations

import re
import textwrap

from tests.machine.machines import PROJECT


def commands(page: str, section: str) -> list[str]:
    """Return the blocks of commands below a heading of a page in docs/."""
    text = (PROJECT / "docs" / page).read_text()
    _, _, rest = text.partition(f"\n## {section}\n")
    own = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", own, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]
