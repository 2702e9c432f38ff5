"""Which passwords and keys the services take, for what the environment or a terminal gives."""

from __future__ import annotations

import string
from dataclasses import dataclass

ASCII = string.ascii_letters + string.digits + string.punctuation
# What sclorg's images of PostgreSQL, MySQL and Redis let through, of signs.
SIGNS = "~!@#$%^&*()_+-=<>,.?;:|/"
# bcrypt, by which Quay keeps passwords, looks at no more bytes.
BCRYPT_LONGEST = 72
# The shortest of the services' own limits, which is MySQL's.
LONGEST = 256


@dataclass(frozen=True)
class Rule:
    """What a service takes for a password: its length in characters, and of signs which."""

    shortest: int = 8
    longest: int = LONGEST
    signs: str = string.punctuation

    def problem(self, value: str) -> str | None:
        """Why a value can't be that password, or None; the value itself isn't told."""
        characters = frozenset(string.ascii_letters + string.digits + self.signs)
        if self.shortest <= len(value) <= self.longest and characters.issuperset(value):
            return None
        signs = "ASCII's signs" if self.signs == string.punctuation else self.signs
        return (
            f"must be {self.shortest} to {self.longest} characters: letters and digits without "
            f"accents, and {signs}; no white space"
        )


ANYWHERE = Rule()
CONTAINER = Rule(signs=SIGNS)
QUAY_USER = Rule(longest=BCRYPT_LONGEST)
# Those of object stores are made by others, and may be short.
OBJECT_STORE = Rule(shortest=1)


def quay_takes(password: str) -> bool:
    """Whether a password can be the one that Quay has: others end in an error of its own. Longer
    ones than are asked for now can, as it looks at their beginning only."""
    return len(password) >= 8 and frozenset(ASCII).issuperset(password)
