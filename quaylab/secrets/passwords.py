"""The passwords and keys that services accept, to check those of a user."""

from __future__ import annotations

import string
from dataclasses import dataclass

ASCII = string.ascii_letters + string.digits + string.punctuation
# The punctuation that sclorg's images of PostgreSQL, MySQL and Redis accept.
SIGNS = "~!@#$%^&*()_+-=<>,.?;:|/"
# Quay hashes passwords with bcrypt, which ignores further bytes.
BCRYPT_LONGEST = 72
# The lowest limit of the services, which is MySQL's.
LONGEST = 256


@dataclass(frozen=True)
class Rule:
    """The passwords that a service accepts: length in characters, and punctuation."""

    shortest: int = 8
    longest: int = LONGEST
    signs: str = string.punctuation

    def problem(self, value: str) -> str | None:
        """Say why a value is no such password, or None. The text doesn't contain the value."""
        characters = frozenset(string.ascii_letters + string.digits + self.signs)
        if self.shortest <= len(value) <= self.longest and characters.issuperset(value):
            return None
        signs = "ASCII's punctuation" if self.signs == string.punctuation else self.signs
        return (
            f"must have {self.shortest} to {self.longest} characters, each an ASCII letter, a "
            f"digit, or one of {signs}; no white space"
        )


ANYWHERE = Rule()
CONTAINER = Rule(signs=SIGNS)
QUAY_USER = Rule(longest=BCRYPT_LONGEST)
# An object store's keys are made by others and may be short.
OBJECT_STORE = Rule(shortest=1)


def is_valid_for_quay(password: str) -> bool:
    """Whether Quay may have this password; it answers others with an internal error. Longer ones
    than are allowed now are possible, as Quay only looks at their beginning."""
    return len(password) >= 8 and frozenset(ASCII).issuperset(password)
