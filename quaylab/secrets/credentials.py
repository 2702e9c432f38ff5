"""Credentials, made once per registry and stored in one 0600 file on the machine with pyinfra."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, SecretStr, ValidationError

from quaylab.locks import FileLock, LockHeld
from quaylab.problems import Refusal
from quaylab.secrets import credentials_file, given, making, passwords
from quaylab.secrets.credentials_file import replace
from quaylab.secrets.given import SECRETS, variable
from quaylab.services import ServiceSecrets

DIRECTORY = Path("credentials")
# How many former passwords of the superuser are stored. Few, as Quay doubles its lock-out time
# after each wrong password.
RETIRED_PASSWORDS = 4


class Credentials(ServiceSecrets):
    """All secrets of one registry. ``identity`` is public; it is part of the fingerprint.

    ``openshift_server`` and ``openshift_namespace`` are public as well: where the registry is if it
    is in a cluster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    ca_certificate: str | None = None
    ca_key: SecretStr | None = None
    certificate: str | None = None
    certificate_key: SecretStr | None = None
    openshift_server: str | None = None
    openshift_namespace: str | None = None

    @property
    def fingerprint(self) -> str:
        """The label of data: the owner's identity, and a few digits of a hash of the key that
        encrypts its rows. They reveal a change of the key, but not the key."""
        key = self.database_secret_key.get_secret_value()
        return f"{self.identity}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    @property
    def superuser_passwords(self) -> tuple[str, ...]:
        """The passwords that Quay may have, in the order to try them. The new one comes last: it is
        wrong until Quay has been given it, and each wrong one locks the user out for longer."""
        found = (*self.superuser_passwords_before, self.superuser_password)
        plain = dict.fromkeys(each.get_secret_value() for each in found)
        return tuple(each for each in plain if passwords.is_valid_for_quay(each))

    def with_confirmed_password(self) -> Credentials:
        """Return the credentials for when Quay is known to have the superuser's new password."""
        former = dict.fromkeys(
            (*self.superuser_passwords_before, *self.superuser_passwords_retired)
        )
        former.pop(self.superuser_password, None)
        retired = tuple(former)[:RETIRED_PASSWORDS]
        return self.model_copy(
            update={
                "superuser_passwords_before": (),
                "superuser_passwords_retired": retired,
                "rotation_begun": False,
            }
        )

    def with_former_passwords(self) -> Credentials:
        """Return the credentials for when a restored database may have any former password."""
        if self.superuser_passwords_before or not self.superuser_passwords_retired:
            return self
        possible = (self.superuser_password, *self.superuser_passwords_retired)
        return self.model_copy(update={"superuser_passwords_before": possible})

    def plain_values(self) -> dict[str, Any]:
        """Return the values without SecretStr: texts, lists of texts, True or False, or None."""
        return {key: _plain(value) for key, value in self}


# The passwords that every registry has; hosts have to be updated when one changes.
PASSWORDS = [
    key
    for key in given.STORED
    if Credentials.model_fields[key].is_required() and not SECRETS[key].is_permanent
]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def generate() -> Credentials:
    """Generate the credentials that every registry has."""
    required = [key for key, field in Credentials.model_fields.items() if field.is_required()]
    made = {key: SECRETS[key].make() for key in required if key in SECRETS}
    return Credentials.model_validate({"identity": making.identity(), **made})


def with_missing_secrets(credentials: Credentials, keys: Iterable[str]) -> Credentials:
    """Return credentials with the missing ones of ``keys`` generated."""
    missing = [key for key in keys if getattr(credentials, key) is None]
    return credentials.model_copy(update={key: SecretStr(SECRETS[key].make()) for key in missing})


def with_new_passwords(credentials: Credentials, keys: Iterable[str]) -> Credentials:
    """Return credentials with new passwords, or the same ones if a rotation is unfinished.

    Args:
        keys: the passwords to change; keys that encrypt data must not be among them.
    """
    if credentials.rotation_begun:
        return credentials
    changes: dict[str, Any] = {key: SecretStr(SECRETS[key].make()) for key in keys}
    if "superuser_password" in changes:
        # After a restore, for example, Quay may have an older one than the present one.
        before = (credentials.superuser_password, *credentials.superuser_passwords_before)
        changes["superuser_passwords_before"] = tuple(dict.fromkeys(before))
        changes["rotation_begun"] = True
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
        """Lock the file, so that no other process changes it.

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
        required: Iterable[str] = (),
        ask: Callable[[str], str] | None = None,
        external: Collection[str] = (),
        needs_ca: bool = False,
    ) -> Credentials:
        """Return the stored credentials, or new ones. Values in the environment take precedence.

        Args:
            required: passwords of external services, which Quaylab can't generate.
            ask: asks for one of them at a terminal; None without a terminal.
            external: all passwords of external services.
            needs_ca: whether the file should have the lab's CA: without it, and without a
                checksum, the file has been cut off.

        Raises:
            Refusal: the file is damaged or readable by others, or a value is missing or invalid.
        """
        problems = list(given.misspelt_variables(environment))
        values_given = {
            key: environment[name] for key, name in given.variables_in(environment).items()
        }
        stored = self._read(needs_ca)
        for key in required:
            if getattr(stored, key, None) is not None:
                continue
            if key not in values_given and ask:
                values_given[key] = ask(f"{SECRETS[key].title}, which runs elsewhere: ")
            elif key not in values_given:
                problems.append(
                    f"{variable(key)}: not set; it has to hold the {SECRETS[key].title}, which "
                    "runs elsewhere; set it in the environment, or run at a terminal"
                )
        values = (stored or generate()).plain_values()
        problems += self._apply(values_given, values, external, is_stored=stored is not None)
        if (
            stored
            and not problems
            and not passwords.is_valid_for_quay(values["superuser_password"])
        ):
            problems.append(
                f"{self.path}: Quay does not accept superuser_password; give another as "
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

    def is_saved(self, credentials: Credentials) -> bool:
        """Whether both files hold exactly these credentials, with their checksum."""
        try:
            ca = self.ca_path.read_text() if self.ca_path.exists() else None
        except (OSError, ValueError):
            return False
        return ca == credentials.ca_certificate and credentials_file.read(self.path) == (
            _values(credentials),
            True,
        )

    def replaces_passwords(self, credentials: Credentials) -> bool:
        """Whether these credentials have new passwords for an existing registry, also of a rotation
        that a killed run has begun."""
        if not self.exists:
            return False
        before = self.load(environment={})
        changed = any(getattr(before, key) != getattr(credentials, key) for key in PASSWORDS)
        return changed or bool(credentials.superuser_passwords_before)

    def save(self, credentials: Credentials) -> None:
        """Replace the file atomically, and write the CA's certificate, if there is one, for clients
        beside it.

        Raises:
            OSError: a file can't be written; the old one is unchanged.
        """
        replace(self.path, credentials_file.dump(_values(credentials)), 0o600)
        if credentials.ca_certificate:
            replace(self.ca_path, credentials.ca_certificate, 0o644)
        else:
            # A CA that signs nothing here any more.
            self.ca_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the credentials file and the CA's, once the registry's data is gone."""
        for path in (self.path, self.ca_path):
            path.unlink(missing_ok=True)

    def _apply(
        self,
        given_values: Mapping[str, str],
        values: dict[str, Any],
        external: Collection[str],
        is_stored: bool,
    ) -> Iterator[str]:
        """Put given values into ``values``, and yield why others are refused.

        Args:
            external: all passwords of external services.
            is_stored: whether ``values`` are those of the file, and not just generated.
        """
        for key, value in given_values.items():
            if is_stored and value == values[key]:
                continue
            if problem := given.problem(key, value, external):
                yield f"{variable(key)}: {problem}"
            elif is_stored and SECRETS[key].is_permanent:
                yield (
                    f"{variable(key)}: differs from {self.path}; it can never change, because the "
                    "database is encrypted with it: unset the variable"
                )
            else:
                if is_stored and key == "superuser_password":
                    # Quay's users are in its database: it has one of the old passwords until a
                    # run has changed it there.
                    before = [values[key], *values["superuser_passwords_before"]]
                    values["superuser_passwords_before"] = [
                        each for each in before if each != value
                    ]
                values[key] = value

    def _read(self, needs_ca: bool) -> Credentials | None:
        """Read the file; None if it doesn't exist."""
        found = credentials_file.read(self.path)
        if found is None:
            return None
        values, is_complete = found
        # The key's name in older files, which had only one such password.
        if before := values.pop("superuser_password_before", None):
            values["superuser_passwords_before"] = [before]
        if needs_ca and not is_complete and "ca_certificate" not in values:
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
    """Return the values that the file stores."""
    return {key: value for key, value in credentials.plain_values().items() if value}
