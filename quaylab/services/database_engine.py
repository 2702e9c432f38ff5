"""The interface of the two kinds of database, PostgreSQL and MySQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings


# For several nodes of Quay: each request that is being served has a connection of its own, and the
# images' default is 100 for all.
MAX_CONNECTIONS = 300


class DatabaseEngine(ABC):
    """A kind of database.

    Attributes:
        port: the port inside the container, and by default outside as well.
        uid: the server's uid in the container.
        prefix: the prefix of the environment variables of sclorg's images.
        start: the command that starts the server.
        data: the path in the container at which its data is mounted.
        health: a shell command that succeeds once it accepts connections by TCP; while the data is
            initialised the server listens on its socket only.
        refuses_password: a shell command that succeeds if it refuses its own password.
        client: a shell command, its client as Quay's role by TCP, with the environment file's
            variables. Whatever runs inside Quay's database uses it: the role owns the database,
            and a compromised Quay may have put functions and views there for an administrator to
            call (CVE-2018-1058).
        scheme: the scheme of Quay's DB_URI.
        packaged: name and version of Debian 13's package, as in ``images/``.
        numbers_of_major: how many numbers of a version name the format of its data.
        own_databases: databases that every server has for itself.
        own_users: the users that a server of ours has besides Quay's.
    """

    port: ClassVar[int]
    uid: ClassVar[int]
    prefix: ClassVar[str]
    start: ClassVar[str]
    data: ClassVar[str]
    health: ClassVar[str]
    refuses_password: ClassVar[str]
    client: ClassVar[str]
    scheme: ClassVar[str]
    packaged: ClassVar[tuple[str, str]]
    numbers_of_major: ClassVar[int]
    own_databases: ClassVar[tuple[str, ...]]
    own_users: ClassVar[tuple[str, ...]]

    @abstractmethod
    def image(self, settings: Settings) -> str:
        """Return the image that the settings name."""

    def setting_problems(self, settings: Settings) -> Iterator[str]:
        """Yield what is wrong with its settings."""
        yield from ()

    @abstractmethod
    def tls(self, authority: str) -> dict[str, Any]:
        """Return the options with which Quay's client verifies chain and name.

        Args:
            authority: the path of the CAs' file in Quay's container.
        """

    def uri_options(self, authority: str) -> dict[str, Any]:
        """Return those of them that DB_URI needs as well."""
        return {}
