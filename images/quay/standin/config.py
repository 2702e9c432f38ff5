"""Quay's configuration bundle, read and checked without touching the network."""

import base64
import hmac
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from cryptography.fernet import Fernet

from standin import StartError

REQUIRED = (
    "AUTHENTICATION_TYPE",
    "BUILDLOGS_REDIS",
    "DATABASE_SECRET_KEY",
    "DB_URI",
    "DEFAULT_TAG_EXPIRATION",
    "DISTRIBUTED_STORAGE_CONFIG",
    "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS",
    "DISTRIBUTED_STORAGE_PREFERENCE",
    "PREFERRED_URL_SCHEME",
    "SECRET_KEY",
    "SERVER_HOSTNAME",
    "SETUP_COMPLETE",
    "TAG_EXPIRATION_OPTIONS",
    "USER_EVENTS_REDIS",
)
HOSTNAME = re.compile(r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+)(:[0-9]{1,5})?", re.IGNORECASE)
DURATION = re.compile(r"[0-9]+[smhdw]")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SECRET_KEY_LENGTH = 63
BUNDLE = "conf/stack/"
# Keys that would change answers, and that the stand-in doesn't support.
NOT_DONE = ("FEATURE_QUOTA_MANAGEMENT", "FEATURE_AUTO_PRUNE", "FEATURE_SUPERUSERS_FULL_ACCESS")
# Quay's own messages.
TESTING = (
    "Detected TESTING: true on startup. TESTING property is either missing from config.yaml or set "
    "to 'true'."
)


@dataclass(frozen=True)
class Settings:
    """The parts of config.yaml that the stand-in uses."""

    bundle: Path
    values: dict[str, Any]

    @property
    def hostname(self) -> str:
        """The registry's public name, with its port if there is one."""
        return str(self.values["SERVER_HOSTNAME"])

    @property
    def scheme(self) -> str:
        """http or https, as clients see it."""
        return str(self.values["PREFERRED_URL_SCHEME"])

    @property
    def url(self) -> str:
        """The prefix of absolute addresses."""
        return f"{self.scheme}://{self.hostname}"

    @property
    def certificate(self) -> Path:
        """The mounted certificate, if there is one."""
        return self.bundle / "ssl.cert"

    @property
    def key(self) -> Path:
        """The mounted key, if there is one."""
        return self.bundle / "ssl.key"

    @cached_property
    def serves_tls(self) -> bool:
        """Whether this container terminates TLS itself."""
        mounted = self.certificate.exists() and self.key.exists()
        return mounted and not self.values.get("EXTERNAL_TLS_TERMINATION")

    @property
    def super_users(self) -> list[str]:
        """The names of the superusers."""
        return list(self.values.get("SUPER_USERS") or [])

    @property
    def is_testing(self) -> bool:
        """Quay's testing mode, which is on by default."""
        return bool(self.values.get("TESTING", True))

    @property
    def tag_expiration_seconds(self) -> int:
        """For how long a deleted tag can be restored; Quay's answers about accounts have it."""
        duration = str(self.values["DEFAULT_TAG_EXPIRATION"])
        return int(duration[:-1]) * UNIT_SECONDS[duration[-1]]

    @property
    def storage(self) -> tuple[str, dict[str, Any]]:
        """Driver name and arguments of the preferred storage location."""
        location = self.values["DISTRIBUTED_STORAGE_PREFERENCE"][0]
        driver, arguments = self.values["DISTRIBUTED_STORAGE_CONFIG"][location]
        return driver, arguments

    def derived_key(self, purpose: str, setting: str = "SECRET_KEY") -> bytes:
        """Return a separate key for each purpose, the same on every node with this bundle."""
        return hmac.digest(str(self.values[setting]).encode(), purpose.encode(), "sha256")

    def cipher(self, purpose: str, setting: str = "SECRET_KEY") -> Fernet:
        """Return a cipher with such a key."""
        return Fernet(base64.urlsafe_b64encode(self.derived_key(purpose, setting)))


def load() -> Settings:
    """Read the bundle; refuse what Quay would refuse, with its name."""
    bundle = Path(os.environ["QUAYCONF"]) / "stack"
    file = bundle / "config.yaml"
    try:
        values = yaml.safe_load(file.read_text())
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise StartError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise StartError(f"{file} holds no settings")
    settings = Settings(bundle, values)
    _check(settings)
    if settings.is_testing:
        print(TESTING, file=sys.stderr, flush=True)
    return settings


def _check(settings: Settings) -> None:
    values = settings.values
    missing = [key for key in REQUIRED if values.get(key) in (None, "", [], {})]
    if missing:
        raise StartError(f"config.yaml lacks {', '.join(missing)}")
    if unknown := [key for key in NOT_DONE if values.get(key) is True]:
        raise StartError(f"the stand-in has no {', '.join(unknown)}")
    if not HOSTNAME.fullmatch(settings.hostname):
        raise StartError(
            f"SERVER_HOSTNAME {settings.hostname}: must be host[:port], "
            "where the host has a dot or is localhost"
        )
    if settings.scheme not in ("http", "https"):
        raise StartError("PREFERRED_URL_SCHEME must be http or https")
    if len(str(values["DATABASE_SECRET_KEY"])) > SECRET_KEY_LENGTH:
        raise StartError(f"DATABASE_SECRET_KEY is longer than {SECRET_KEY_LENGTH} characters")
    if not DURATION.fullmatch(str(values["DEFAULT_TAG_EXPIRATION"])):
        raise StartError("DEFAULT_TAG_EXPIRATION must be a number and a unit, such as 2w")
    if values["DEFAULT_TAG_EXPIRATION"] not in values["TAG_EXPIRATION_OPTIONS"]:
        raise StartError("DEFAULT_TAG_EXPIRATION must be one of TAG_EXPIRATION_OPTIONS")
    _check_redis(values)
    _check_locations(values)
    arguments = values.get("DB_CONNECTION_ARGS")
    if arguments is not None and not (
        arguments.get("threadlocals") is True and arguments.get("autorollback") is True
    ):
        raise StartError("DB_CONNECTION_ARGS needs threadlocals: true and autorollback: true")
    # Upstream's validator finds MySQL's CA only by this path to the bundle.
    authority = ((arguments or {}).get("ssl") or {}).get("ca")
    if authority and not str(authority).startswith(BUNDLE):
        raise StartError(f"DB_CONNECTION_ARGS: ssl.ca must begin with {BUNDLE}")


def _check_redis(values: dict[str, Any]) -> None:
    ports = set()
    for key in ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS"):
        entry = values[key]
        if not isinstance(entry, dict) or not entry.get("host"):
            raise StartError(f"{key} lacks host")
        if not isinstance(entry.get("port", 6379), int):
            raise StartError(f"{key}: port must be an integer")
        ports.add(entry.get("port", 6379))
    # Upstream's validator checks one server with the other's port.
    if len(ports) > 1:
        raise StartError("the ports of BUILDLOGS_REDIS and USER_EVENTS_REDIS must be equal")


def _check_locations(values: dict[str, Any]) -> None:
    known = values["DISTRIBUTED_STORAGE_CONFIG"]
    for key in ("DISTRIBUTED_STORAGE_PREFERENCE", "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"):
        for location in values[key]:
            if location not in known:
                raise StartError(f"{key}: no location {location} in DISTRIBUTED_STORAGE_CONFIG")
    for location, entry in known.items():
        if not (isinstance(entry, list) and len(entry) == 2):
            raise StartError(f"storage location {location} must be [driver, arguments]")
