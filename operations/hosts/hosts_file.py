"""Our lines in a host's /etc/hosts, each with a mark at its end."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand


def rewrite(mark: str, *lines: str) -> StringCommand:
    """Return a command that replaces all lines with this mark by the given ones."""
    # Not `sed -i`: in a container /etc/hosts is a mount, which can be written but not replaced. As
    # bytes: of a line with other characters than the locale's, grep would print nothing.
    marked = (QuoteString(f"{line} {mark}") for line in lines)
    return StringCommand(
        "kept=$(LC_ALL=C grep -av", QuoteString(f" {mark}$"), "/etc/hosts 2>/dev/null);",
        "printf '%s\\n' ${kept:+\"$kept\"}", *marked, ">/etc/hosts",
    )  # fmt: skip
