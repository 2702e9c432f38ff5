"""Credentials: made once per registry, kept in one 0600 file on the machine that runs pyinfra."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from quaylab.problems import Refusal

DIRECTORY = Path("credentials")
ENVIRONMENT_PREFIX = "QUAYLAB_"
# What may be given by the environment, and why a value may be impossible.
GIVEN = ("database_password", "redis_password", "superuser_password")
# Keys of an object store; with Swift its user and password.
STORAGE = ("storage_access_key", "storage_secret_key")
_TITLES = {
    "database_password": "password of Quay's role in the database",
    "redis_password": "password of Redis",
    "storage_access_key": "access key (with Swift the user) of the object store",
    "storage_secret_key": "secret key (with Swift the password) of the object store",
}
# Losing or changing these loses the registry: encrypted rows can't be read any more.
NEVER_CHANGED = ("database_secret_key", "secret_key")


class Credentials(BaseModel):
    """All secrets of one registry. ``identity`` is public, a part of the ``fingerprint``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    database_password: SecretStr
    redis_password: SecretStr
    superuser_password: SecretStr = Field(min_length=8)
    # Set from a rotation until Quay took the new one, so that a killed rotation can be finished.
    superuser_password_before: SecretStr | None = None
    # Quay takes at most 63 characters.
    database_secret_key: SecretStr = Field(max_length=63)
    secret_key: SecretStr
    storage_access_key: SecretStr | None = None
    storage_secret_key: SecretStr | None = None
    # Of quay:swift, where Ceph's Swift interface is wanted.
    swift_password: SecretStr | None = None
    # Ceph's own certificate, by the same CA.
    ceph_certificate: str | None = None
    ceph_certificate_key: SecretStr | None = None
    ceph_ssh_key: SecretStr | None = None
    ca_certificate: str | None = None
    ca_key: SecretStr | None = None
    certificate: str | None = None
    certificate_key: SecretStr | None = None

    @property
    def fingerprint(self) -> str:
        """What data is labelled with: whose it is, and by which key its rows are encrypted. The
        few digits of the key's hash tell a change, and nothing else."""
        key = self.database_secret_key.get_secret_value()
        return f"{self.identity}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    def settled(self) -> Credentials:
        """The same once a rotation is through."""
        return self.model_copy(update={"superuser_password_before": None})

    def revealed(self) -> dict[str, str | None]:
        """The plain values."""
        return {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value
            for key, value in self
        }


def generate() -> Credentials:
    """Fresh credentials; passwords are letters and digits, which need no quoting anywhere."""
    return Credentials(
        identity=secrets.token_hex(8),
        database_password=_password(),
        redis_password=_password(),
        superuser_password=_password(),
        database_secret_key=SecretStr(secrets.token_hex(24)),
        secret_key=SecretStr(secrets.token_hex(24)),
    )


def with_storage_keys(credentials: Credentials) -> Credentials:
    """Credentials with the keys of an object store that is made here, in the form of S3's."""
    if credentials.storage_access_key and credentials.storage_secret_key:
        return credentials
    access = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))
    keys = {"storage_access_key": SecretStr(access), "storage_secret_key": _password(40)}
    return credentials.model_copy(update=keys)


def with_swift_password(credentials: Credentials) -> Credentials:
    """Credentials with a password for Swift at a Ceph that is made here."""
    if credentials.swift_password:
        return credentials
    return credentials.model_copy(update={"swift_password": _password()})


def given_by(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment's variables that give a credential, by its key."""
    variables = {
        key: ENVIRONMENT_PREFIX + key.upper() for key in (*GIVEN, *STORAGE, *NEVER_CHANGED)
    }
    return {key: variable for key, variable in variables.items() if variable in environment}


def rotated(credentials: Credentials, passwords: Iterable[str]) -> Credentials:
    """Credentials with new passwords; a rotation that was not finished is not begun anew.

    Args:
        passwords: which to change; the keys that encrypt data never are.
    """
    if credentials.superuser_password_before is not None:
        return credentials
    fresh = with_swift_password(with_storage_keys(generate()))
    changes = {key: getattr(fresh, key) for key in passwords}
    if "superuser_password" in changes:
        changes["superuser_password_before"] = credentials.superuser_password
    return credentials.model_copy(update=changes)


class Store:
    """The credentials file of one registry, locked for as long as this object lives."""

    def __init__(self, lab_name: str, directory: Path = DIRECTORY) -> None:
        self.path = directory / f"{lab_name}.yaml"
        self.ca_path = directory / f"{lab_name}-ca.pem"
        self._lock: int | None = None

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def lock(self) -> None:
        """Hold the file for this process; the kernel lets go when the process ends, however.

        Raises:
            Refusal: another run holds it.
        """
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Refusal(
                [f"lab_name: another run uses {self.path} right now; wait until it has ended"]
            ) from None
        self._lock = lock

    def load(
        self,
        environment: Mapping[str, str] = os.environ,
        foreign: Iterable[str] = (),
        ask: Callable[[str], str] | None = None,
    ) -> Credentials:
        """The kept credentials, or fresh ones; the environment's values come first.

        Args:
            foreign: passwords of services that run elsewhere, which can't be made here.
            ask: how to ask for one of them at a terminal; None where there is none.

        Raises:
            Refusal: the file is damaged, too open, or a value is missing or impossible.
        """
        problems: list[str] = []
        given = {key: environment[name] for key, name in given_by(environment).items()}
        kept = self._read() if self.exists else None
        for key in foreign:
            if getattr(kept, key, None) is not None:
                continue
            if key not in given and ask:
                given[key] = ask(f"{_TITLES[key]}, which runs elsewhere: ")
            elif key not in given:
                variable = ENVIRONMENT_PREFIX + key.upper()
                problems.append(
                    f"{variable}: not set, the {_TITLES[key]}, which runs elsewhere; give it as "
                    f"{variable} in the environment, or run at a terminal"
                )
        values = (kept or generate()).revealed()
        for key, value in given.items():
            variable = ENVIRONMENT_PREFIX + key.upper()
            # What another made may be short.
            shortest = 1 if key in STORAGE else 8
            if len(value) < shortest or any(character.isspace() for character in value):
                problems.append(
                    f"{variable}: must be {shortest} characters or more, without white space"
                )
            elif kept and key in NEVER_CHANGED and value != values[key]:
                problems.append(
                    f"{variable}: differs from {self.path}; it can never change, because the "
                    "database is encrypted with it: unset the variable"
                )
            else:
                if kept and key == "superuser_password" and value != values[key]:
                    # Quay's users are in its database: it has to be told, and till then knows the
                    # old one, which may not get lost.
                    values["superuser_password_before"] = (
                        values["superuser_password_before"] or values[key]
                    )
                values[key] = value
        try:
            credentials = Credentials.model_validate(values)
        except ValidationError as error:
            problems += [
                f"{ENVIRONMENT_PREFIX}{item['loc'][0]}".upper() + f": {item['msg']}"
                for item in error.errors()
            ]
        if problems:
            raise Refusal(problems)
        return credentials

    def keeps(self, credentials: Credentials) -> bool:
        """Whether the file holds just these, and the CA's file its part of them."""
        ca = self.ca_path.read_text() if self.ca_path.exists() else None
        return self.exists and self._read() == credentials and ca == credentials.ca_certificate

    def save(self, credentials: Credentials) -> None:
        """Replace the file atomically; the CA's public certificate goes beside it for clients."""
        given = {key: value for key, value in credentials.revealed().items() if value is not None}
        text = yaml.dump(given, Dumper=_BlockDumper, sort_keys=False)
        _replace(self.path, text, 0o600)
        if credentials.ca_certificate:
            _replace(self.ca_path, credentials.ca_certificate, 0o644)

    def remove(self) -> None:
        """Forget the credentials, once the data that they belong to is gone."""
        for path in (self.path, self.ca_path):
            path.unlink(missing_ok=True)

    def _read(self) -> Credentials:
        if self.path.stat().st_mode & 0o077:
            raise Refusal([f"{self.path}: readable by others; run: chmod 600 {self.path}"])
        remedy = "restore it from a backup; never delete it while the registry has data"
        try:
            return Credentials.model_validate(yaml.safe_load(self.path.read_text()))
        except (yaml.YAMLError, ValueError):
            # The error's own text could quote a secret.
            raise Refusal([f"{self.path}: damaged; {remedy}"]) from None


def _password(length: int = 32) -> SecretStr:
    alphabet = string.ascii_letters + string.digits
    return SecretStr("".join(secrets.choice(alphabet) for _ in range(length)))


class _BlockDumper(yaml.SafeDumper):
    """Keys and certificates as the blocks that they are, for people to read and copy."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BlockDumper.add_representer(str, _represent)


def _replace(path: Path, text: str, mode: int) -> None:
    """Write ``path`` so that a reader or a crash sees the old or the new file, never a part."""
    new = path.with_suffix(path.suffix + ".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
