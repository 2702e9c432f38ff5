"""Quoting for file formats that no library writes for us."""

from __future__ import annotations


def systemd(text: str) -> str:
    """Return a text in double quotes for a unit file, with % escaped: systemd.syntax(7).

    Raises:
        ValueError: the text has several lines, which can't be quoted.
    """
    if "\n" in text or "\0" in text:
        raise ValueError("a unit's value is one line")
    for special in ("\\", '"'):
        text = text.replace(special, f"\\{special}")
    return '"' + text.replace("%", "%%") + '"'
