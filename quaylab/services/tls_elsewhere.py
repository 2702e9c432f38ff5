"""TLS to an external database or Redis: which settings go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from quaylab.secrets import certificates
from quaylab.services.base import Service
from quaylab.versions import is_legacy, quay_version

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings


def authority_problems(
    service: Service, settings: Settings, authority: Path | None
) -> Iterator[str]:
    """Yield what is wrong with a setting such as ``redis_ca``.

    Args:
        authority: the setting's value.
    """
    if authority is None:
        return
    name = service.name
    yield from certificates.authority_problems(f"{name}_ca", authority)
    if service.external_address(settings) is None:
        yield (
            f"{name}_ca: is for one that runs elsewhere, and {name}_host isn't set; "
            "Quaylab's own has no TLS: leave it out"
        )
    if is_legacy(quay_version(settings)):
        yield (
            f"{name}_ca: {quay_version(settings)} is given its CAs in the browser, when it is "
            "set up; leave it out"
        )
