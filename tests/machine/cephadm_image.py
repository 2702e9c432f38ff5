"""An image for cephadm where no registry is reachable: Debian's, with a manager that can load it.

Debian's python3-bcrypt and python3-cryptography can't be loaded into the manager's interpreters
(they are PyO3's); these older ones from PyPI can.
"""

from __future__ import annotations

from tests.machine import wheels

WHEELS = ("bcrypt==3.2.2", "cryptography==3.3.2", "pyOpenSSL==20.0.1", "six==1.17.0")
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
COPY wheels /opt/older
ENV PYTHONPATH=/opt/older
"""


def build(base: str) -> str:
    """Build the image on top of the packaged one; return its reference."""
    return wheels.build("cephadm", base, WHEELS, DOCKERFILE)
