"""Where things are: on the hosts, and in this folder."""

from __future__ import annotations

from pathlib import Path

# Configuration on a host. Only root may enter: below it, files belong to the uid of the container
# that reads them.
ETC = "/etc/quaylab"
# What runs note on a host, and what they keep there.
VAR = "/var/lib/quaylab"

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "quaylab" / "scripts"
IMAGES = ROOT / "images"
