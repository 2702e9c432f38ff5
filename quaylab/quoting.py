"""How texts are written into files: into systemd's units, and into YAML that people read."""

from __future__ import annotations

import yaml


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


class BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines, such as keys and certificates, as blocks, which people can
    read and copy."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


BlockDumper.add_representer(str, _represent_text)
