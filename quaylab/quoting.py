"""Text as the files that it lands in take it, where no library writes them."""

from __future__ import annotations


def systemd(text: str) -> str:
    """A word in double quotes of a unit, where % begins a specifier: systemd.syntax(7).

    Raises:
        ValueError: it has lines, which no quotes hold together.
    """
    if "\n" in text or "\0" in text:
        raise ValueError("a unit's value is one line")
    for special in ("\\", '"'):
        text = text.replace(special, f"\\{special}")
    return '"' + text.replace("%", "%%") + '"'
