"""Files on this machine that settings name: combinations and formats."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from quaylab.secrets import certificates
from quaylab.settings.loading import Settings

# `docker load` unpacks this format, Python's tarfile only from 3.14 on.
ZSTANDARD = b"\x28\xb5\x2f\xfd"


def problems(settings: Settings) -> list[str]:
    """Return what is wrong with the files, each by its setting."""
    found = []
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        missing = "tls_key" if settings.tls_certificate else "tls_certificate"
        found.append(f"{missing}: not set; a certificate and its key go together")
    if (settings.image_source == "archive") != (settings.image_archive is not None):
        found.append("image_archive: set it together with image_source=archive, and only with that")
    if settings.company_ca:
        found += certificates.authority_problems("company_ca", settings.company_ca)
    archive = settings.image_archive
    if settings.image_source == "archive" and archive and not _is_archive(archive):
        found.append(
            f"image_archive: {archive} is not an archive; make it with: docker save --output"
        )
    if settings.pull_secret and not _has_logins(settings.pull_secret):
        found.append(
            f"pull_secret: {settings.pull_secret} is not a config.json with logins; where Docker "
            "keeps them in a credential store, log in without one (`credsStore`)"
        )
    if settings.quay_license and not _is_text(settings.quay_license):
        found.append(
            f"quay_license: {settings.quay_license} is not text in UTF-8; name the license as it "
            "was sent to you"
        )
    return found


def _is_text(path: Path) -> bool:
    try:
        path.read_text()
    except UnicodeDecodeError:
        return False
    return True


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(ZSTANDARD)) == ZSTANDARD:
            return True
    try:
        return tarfile.is_tarfile(path)
    except EOFError:  # cut off before its first file
        return False


def _has_logins(path: Path) -> bool:
    try:
        logins = json.loads(path.read_text())["auths"]
        return bool(logins) and all(map(_is_login, logins.values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _is_login(entry: dict[str, object]) -> bool:
    """Whether an entry holds a login: with a credential store Docker leaves it empty."""
    return any(isinstance(entry.get(key), str) for key in ("auth", "identitytoken", "username"))
