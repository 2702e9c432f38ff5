"""Credentials: made once per registry, kept in one 0600 file on the machine that runs pyinfra."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ConfigDict, SecretStr, ValidationError

from quaylab.locks import FileLock, LockHeld
from quaylab.problems import Refusal
from quaylab.secrets import credentials_file, given, making, passwords
from quaylab.secrets.credentials_file import replace
from quaylab.secrets.given import SECRETS, variable
from quaylab.services import ServiceSecrets

DIRECTORY = Path("credentials")
# How many of the superuser's passwords are remembered: after each wrong one Quay lets nobody in for
# twice as long as before.
RETIRED_PASSWORDS = 4


class Credentials(ServiceSecrets):
    """All secrets of one registry. ``identity`` is public, a part of the ``fingerprint``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
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

    @property
    def superuser_passwords(self) -> tuple[str, ...]:
        """Those that Quay may have, in the order to try: after each wrong one it lets nobody in for
        longer, and the one that is to be is wrong until Quay was told."""
        found = (*self.superuser_passwords_before, self.superuser_password)
        plain = dict.fromkeys(each.get_secret_value() for each in found)
        return tuple(each for each in plain if passwords.quay_takes(each))

    def settled(self) -> Credentials:
        """The same once Quay is known to have the superuser's password."""
        had = dict.fromkeys((*self.superuser_passwords_before, *self.superuser_passwords_retired))
        had.pop(self.superuser_password, None)
        retired = tuple(had)[:RETIRED_PASSWORDS]
        return self.model_copy(
            update={"superuser_passwords_before": (), "superuser_passwords_retired": retired}
        )

    def restoring(self) -> Credentials:
        """The same while a restored database may bring back any of the former passwords."""
        if self.superuser_passwords_before or not self.superuser_passwords_retired:
            return self
        had = (self.superuser_password, *self.superuser_passwords_retired)
        return self.model_copy(update={"superuser_passwords_before": had})

    def revealed(self) -> dict[str, Any]:
        """The plain values: texts, lists of them, or None."""
        return {key: _plain(value) for key, value in self}


# Those that every registry has, and that its hosts have to be told when they change.
PASSWORDS = [
    key
    for key in given.KEPT
    if Credentials.model_fields[key].is_required() and not SECRETS[key].is_permanent
]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def generate(random: Random = making.SYSTEM) -> Credentials:
    """Fresh credentials of those that every registry has."""
    required = [key for key, field in Credentials.model_fields.items() if field.is_required()]
    made = {key: SECRETS[key].make(random) for key in required if key in SECRETS}
    return Credentials.model_validate({"identity": making.identity(random), **made})


def completed(
    credentials: Credentials, keys: Iterable[str], random: Random = making.SYSTEM
) -> Credentials:
    """Credentials with those of some secrets made up that they lack."""
    missing = [key for key in keys if getattr(credentials, key) is None]
    return credentials.model_copy(
        update={key: SecretStr(SECRETS[key].make(random)) for key in missing}
    )


def rotated(
    credentials: Credentials, keys: Iterable[str], random: Random = making.SYSTEM
) -> Credentials:
    """Credentials with new passwords; a rotation that was not finished is not begun anew.

    Args:
        keys: which to change; the keys that encrypt data never are.
    """
    if credentials.superuser_passwords_before:
        return credentials
    changes: dict[str, Any] = {key: SecretStr(SECRETS[key].make(random)) for key in keys}
    if "superuser_password" in changes:
        changes["superuser_passwords_before"] = (credentials.superuser_password,)
    return credentials.model_copy(update=changes)


class Store:
    """The credentials file of one registry, locked for as long as this object lives."""

    def __init__(self, lab_name: str, directory: Path = DIRECTORY) -> None:
        self.path = directory / f"{lab_name}.yaml"
        self.ca_path = directory / f"{lab_name}-ca.pem"
        self._lock: FileLock | None = None

    @property
    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def lock(self) -> FileLock:
        """Hold the file for this process, to be changed by no other.

        Raises:
            Refusal: another run holds it, or the directory can't be written.
        """
        directory, path = self.path.parent, self.path.with_suffix(".lock")
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(None, "no right to write there")
            self._lock = FileLock(path)
        except LockHeld as held:
            raise Refusal(
                [f"lab_name: another run uses {self.path}: {held}; wait until it has ended"]
            ) from None
        except OSError as error:
            raise Refusal(
                [
                    f"{error.filename or directory}: can't be written: {error.strerror}; run as a "
                    f"user who may write in the directory {directory}: runs keep credentials there"
                ]
            ) from None
        return self._lock

    def load(
        self,
        environment: Mapping[str, str] = os.environ,
        foreign: Iterable[str] = (),
        ask: Callable[[str], str] | None = None,
        elsewhere: Collection[str] = (),
        needs_ca: bool = False,
    ) -> Credentials:
        """The kept credentials, or fresh ones; the environment's values come first.

        Args:
            foreign: passwords of services that run elsewhere, which can't be made here.
            ask: how to ask for one of them at a terminal; None where there is none.
            elsewhere: all passwords of services that run elsewhere.
            needs_ca: whether a file without the lab's CA can only be a part of one; a checksum
                shows that it is whole.

        Raises:
            Refusal: the file is damaged, too open, or a value is missing or impossible.
        """
        problems = list(given.misspelt(environment))
        values_given = {key: environment[name] for key, name in given.given_by(environment).items()}
        kept = self._read(needs_ca)
        for key in foreign:
            if getattr(kept, key, None) is not None:
                continue
            if key not in values_given and ask:
                values_given[key] = ask(f"{SECRETS[key].title}, which runs elsewhere: ")
            elif key not in values_given:
                problems.append(
                    f"{variable(key)}: not set, the {SECRETS[key].title}, which runs elsewhere; "
                    f"give it as {variable(key)} in the environment, or run at a terminal"
                )
        values = (kept or generate()).revealed()
        for key, value in values_given.items():
            if kept and value == values[key]:
                continue
            if problem := given.problem(key, value, elsewhere):
                problems.append(f"{variable(key)}: {problem}")
            elif kept and SECRETS[key].is_permanent:
                problems.append(
                    f"{variable(key)}: differs from {self.path}; it can never change, because the "
                    "database is encrypted with it: unset the variable"
                )
            else:
                if kept and key == "superuser_password":
                    # Quay's users are in its database: it has to be told, and till then knows one
                    # of the old ones.
                    before = [values[key], *values["superuser_passwords_before"]]
                    values["superuser_passwords_before"] = [
                        each for each in before if each != value
                    ]
                values[key] = value
        if kept and not problems and not passwords.quay_takes(values["superuser_password"]):
            problems.append(
                f"{self.path}: superuser_password is none that Quay takes; give another as "
                f"{variable('superuser_password')}"
            )
        try:
            credentials = Credentials.model_validate(values)
        except ValidationError as error:
            problems += [
                f"{variable(str(item['loc'][0]))}: {item['msg']}" for item in error.errors()
            ]
        if problems:
            raise Refusal(problems)
        return credentials

    def keeps(self, credentials: Credentials) -> bool:
        """Whether the file holds just these with their checksum, and the CA's file its part."""
        try:
            ca = self.ca_path.read_text() if self.ca_path.exists() else None
        except (OSError, ValueError):
            return False
        return ca == credentials.ca_certificate and credentials_file.read(self.path) == (
            _values(credentials),
            True,
        )

    def replaces_passwords(self, credentials: Credentials) -> bool:
        """Whether these bring new passwords to a registry that is there, or what a killed run has
        left of that."""
        if not self.exists:
            return False
        before = self.load(environment={})
        changed = any(getattr(before, key) != getattr(credentials, key) for key in PASSWORDS)
        return changed or bool(credentials.superuser_passwords_before)

    def save(self, credentials: Credentials) -> None:
        """Replace the file atomically; the CA's public certificate goes beside it for clients.

        Raises:
            OSError: a file can't be written; the old one is still there, whole.
        """
        replace(self.path, credentials_file.dump(_values(credentials)), 0o600)
        if credentials.ca_certificate:
            replace(self.ca_path, credentials.ca_certificate, 0o644)

    def remove(self) -> None:
        """Remove the credentials file, once the data that they belong to is gone."""
        for path in (self.path, self.ca_path):
            path.unlink(missing_ok=True)

    def _read(self, needs_ca: bool) -> Credentials | None:
        """What the file holds; None if it isn't there."""
        found = credentials_file.read(self.path)
        if found is None:
            return None
        values, whole = found
        # As it was called while there was only one.
        if before := values.pop("superuser_password_before", None):
            values["superuser_passwords_before"] = [before]
        if needs_ca and not whole and "ca_certificate" not in values:
            raise credentials_file.unusable(
                self.path, "is cut off: it has no ca_certificate, and no checksum at its end"
            )
        try:
            return Credentials.model_validate(values)
        except ValidationError as error:
            # The keys only: the error's own text could quote a secret.
            keys = sorted({str(item["loc"][0]) for item in error.errors()})
        raise credentials_file.unusable(
            self.path, f"is damaged, or cut off: {', '.join(keys)} missing, unknown or wrong"
        )


def _values(credentials: Credentials) -> dict[str, Any]:
    """What is written of them."""
    return {key: value for key, value in credentials.revealed().items() if value}
