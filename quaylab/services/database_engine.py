"""What PostgreSQL and MySQL are asked where Quay's database can be either."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings


class DatabaseEngine(ABC):
    """A kind of database.

    Attributes:
        port: the one inside the container, and by default outside as well.
        uid: of its server in the container.
        prefix: of the environment's variables by sclorg's contract.
        start: the command that starts it.
        data: where its data is mounted.
        health: a shell command that succeeds once it takes connections by TCP: while the data is
            initialised the server listens on its socket only.
        refuses_password: a shell command that succeeds if it refuses its own password.
        scheme: of Quay's DB_URI.
        packaged: name and version of Debian 13's package, as in ``images/``.
        numbers_of_major: how many numbers of its version tell which data it reads.
    """

    port: ClassVar[int]
    uid: ClassVar[int]
    prefix: ClassVar[str]
    start: ClassVar[str]
    data: ClassVar[str]
    health: ClassVar[str]
    refuses_password: ClassVar[str]
    scheme: ClassVar[str]
    packaged: ClassVar[tuple[str, str]]
    numbers_of_major: ClassVar[int]

    @abstractmethod
    def image(self, settings: Settings) -> str:
        """The image that the settings name."""

    def setting_problems(self, settings: Settings) -> Iterator[str]:
        """What is wrong with its settings."""
        yield from ()

    @abstractmethod
    def tls(self, authority: str) -> dict[str, Any]:
        """What Quay's client has to be told to verify chain and name.

        Args:
            authority: the CAs' file as Quay finds it.
        """

    def uri_options(self, authority: str) -> dict[str, Any]:
        """What of that DB_URI has to tell as well."""
        return {}
